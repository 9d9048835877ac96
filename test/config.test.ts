import { expect, it } from 'vitest';
import { readConfig } from '../src/app/config.ts';

const good = { DATABASE_URL: 'postgresql://localhost/reservations', JWT_SECRET: 'x'.repeat(32) };

it('readConfig fills in defaults for the ports, the answer timeout and the allowed origins, and freezes the result', () => {
  expect(readConfig(good)).toMatchObject({
    port: 8080,
    ocpp: { plainPort: 9000 },
    answerTimeoutMs: 15_000,
    allowedOrigins: [],
  });
  expect(Object.isFrozen(readConfig(good))).toBe(true);
});

it('one configuration error names every missing and every malformed variable', () => {
  const bad = { DATABASE_URL: 'mysql://x', PORT: 'eighty', CHARGER_ANSWER_TIMEOUT_SECONDS: '0', LOG_LEVEL: 'loud' };
  for (const name of ['DATABASE_URL', 'PORT', 'CHARGER_ANSWER_TIMEOUT_SECONDS', 'LOG_LEVEL', 'JWT_SECRET']) {
    expect(() => readConfig(bad)).toThrow(name);
  }
  expect(() => readConfig({ JWT_SECRET: 'x'.repeat(32) })).toThrow('DATABASE_URL: is required');
});

it('the configuration needs exactly one kind of token key, and a JWT_SECRET of at least 32 characters', () => {
  const { DATABASE_URL } = good;
  expect(() => readConfig({ DATABASE_URL })).toThrow('JWT_SECRET: set exactly one');
  expect(() => readConfig({ ...good, JWKS_URL: 'https://id.example/keys' })).toThrow('set exactly one');
  expect(() => readConfig({ DATABASE_URL, JWT_SECRET: 'short' })).toThrow('32 characters');
  const shared = { JWKS_URL: 'https://id.example/keys', JWT_ISSUER: 'https://id.example', JWT_AUDIENCE: 'chargers' };
  expect(readConfig({ DATABASE_URL, ...shared }).tokens.key).toMatchObject({ jwksUrl: 'https://id.example/keys' });
});

it('JWKS_URL needs an issuer and an audience, must be https unless it is local, and excludes HS256', () => {
  const { DATABASE_URL } = good;
  const names = { JWT_ISSUER: 'https://id.example', JWT_AUDIENCE: 'chargers' };
  const set = (JWKS_URL: string, more: object = names) => readConfig({ DATABASE_URL, JWKS_URL, ...more });
  expect(() => set('https://id.example/keys', {})).toThrow(/JWT_ISSUER: is required[\s\S]*JWT_AUDIENCE: is required/);
  expect(() => set('http://id.example/keys')).toThrow('must be https');
  expect(() => set('http://127.0.0.1:1/keys')).not.toThrow();
  expect(() => set('https://id.example/keys', { ...names, JWT_ALGORITHMS: 'RS256,HS256' })).toThrow('JWT_ALGORITHMS');
});

it('malformed ALLOWED_ORIGINS and TRUSTED_PROXIES are refused', () => {
  expect(() => readConfig({ ...good, ALLOWED_ORIGINS: '*' })).toThrow('ALLOWED_ORIGINS');
  expect(() => readConfig({ ...good, TRUSTED_PROXIES: 'somewhere' })).toThrow('TRUSTED_PROXIES');
  expect(() => readConfig({ ...good, ALLOWED_ORIGINS: 'https://app.example, *' })).toThrow(
    'ALLOWED_ORIGINS: must be origins such as https://app.example',
  );
  expect(readConfig({ ...good, TRUSTED_PROXIES: '10.0.0.0/8, 127.0.0.1' }).trustedProxies).toHaveLength(2);
});
