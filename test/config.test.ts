import { expect, it } from 'vitest';
import { readConfig } from '../src/config.ts';

const good = { DATABASE_URL: 'postgresql://localhost/reservations', JWT_SECRET: 'x'.repeat(32) };

it('takes the documented defaults', () => {
  expect(readConfig(good)).toMatchObject({ port: 8080, ocppPort: 9000, answerTimeoutMs: 15_000, allowedOrigins: [] });
  expect(Object.isFrozen(readConfig(good))).toBe(true);
});

it('names every missing and every malformed variable in one error', () => {
  const bad = { DATABASE_URL: 'mysql://x', PORT: 'eighty', CHARGER_ANSWER_TIMEOUT_SECONDS: '0', LOG_LEVEL: 'loud' };
  for (const name of ['DATABASE_URL', 'PORT', 'CHARGER_ANSWER_TIMEOUT_SECONDS', 'LOG_LEVEL', 'JWT_SECRET']) {
    expect(() => readConfig(bad)).toThrow(name);
  }
  expect(() => readConfig({ JWT_SECRET: 'x'.repeat(32) })).toThrow('DATABASE_URL: is required');
});

it('has no default secret, takes one kind of key, and no short one', () => {
  const { DATABASE_URL } = good;
  expect(() => readConfig({ DATABASE_URL })).toThrow('JWT_SECRET: set exactly one');
  expect(() => readConfig({ ...good, JWKS_URL: 'https://id.example/keys' })).toThrow('set exactly one');
  expect(() => readConfig({ DATABASE_URL, JWT_SECRET: 'short' })).toThrow('32 characters');
  expect(readConfig({ DATABASE_URL, JWKS_URL: 'https://id.example/keys' }).tokens.key).toEqual({
    jwksUrl: 'https://id.example/keys',
  });
});
