// Tests that guessing passwords slows down the guesser and nobody else. Checking a password takes no time here.
import { describe, expect, it } from 'vitest';
import { ChargerLogins } from '../../src/charging/login/authenticate-charger.ts';
import type { Passwords } from '../../src/charging/login/passwords.ts';
import { createMetrics } from '../../src/common/metrics.ts';
import type { CertificateRepository } from '../../src/storage/chargers/certificate.repository.ts';
import type { ChargerRepository } from '../../src/storage/chargers/charger.repository.ts';

const RIGHT = 'the-right-password';
const GUESSER = '203.0.113.9';

function door() {
  let now = new Date('2026-11-26T12:00:00Z');
  const passwords = {
    turn: async () => ({ end: () => {} }),
    wasRight: () => false,
    isPasswordOf: async (_: string, __: string, password: string) => password === RIGHT,
  } as unknown as Passwords;
  const chargers = {
    credentials: async () => ({ passwordHash: 'hash', offeredHashes: [], securityProfile: 1 }),
  } as unknown as ChargerRepository;
  const clock = { now: () => now, after: () => () => {} };
  const certificates = {} as CertificateRepository;
  const logins = new ChargerLogins({ chargers, certificates, passwords, clock, metrics: createMetrics() });
  const login = async (password: string | undefined, address: string, chargerId = 'CH1') =>
    (
      await logins.authenticate({
        chargerId,
        address,
        ...(password !== undefined && { password: Buffer.from(password) }),
        isEncrypted: false,
        isOver: () => false,
      })
    ).verdict;
  const guess = (count: number, address: string) =>
    Promise.all(Array.from({ length: count }, (_, n) => login(`wrong-password-${n}`, address)));
  return { login, guess, pass: (seconds: number) => (now = new Date(now.getTime() + seconds * 1000)) };
}
const wrong = (count: number) => Array(count).fill('WRONG_PASSWORD');
const slowed = (count: number) => Array(count).fill('TOO_MANY_FAILURES');

describe('wrong passwords', () => {
  it('an address may send fifty wrong passwords, then one per second', async () => {
    const { guess, pass } = door();
    const found: string[] = [];
    for (let n = 0; n < 60; n += 1) found.push(...(await guess(1, GUESSER)));
    expect(found).toEqual([...wrong(50), ...slowed(10)]);
    pass(2);
    found.length = 0;
    for (let n = 0; n < 3; n += 1) found.push(...(await guess(1, GUESSER)));
    expect(found).toEqual([...wrong(2), ...slowed(1)]);
  });

  it('wrong passwords from one address keep out neither other addresses nor a charger that came from it before', async () => {
    const { login, guess } = door();
    expect(await login(RIGHT, GUESSER)).toBe('ACCEPTED');
    for (let n = 0; n < 60; n += 1) await login(`wrong-password-${n}`, GUESSER, 'CH2');
    expect(await login(RIGHT, GUESSER, 'CH2')).toBe('TOO_MANY_FAILURES');
    expect(await login(RIGHT, GUESSER)).toBe('ACCEPTED');
    expect(await login(RIGHT, '198.51.100.1', 'CH2')).toBe('ACCEPTED');
    // A charger that came from this address before has a limit of its own: ten wrong passwords.
    for (let n = 0; n < 10; n += 1) expect(await guess(1, GUESSER)).toEqual(wrong(1));
    expect(await guess(1, GUESSER)).toEqual(slowed(1));
  });

  it('a login without a password does not count as a wrong password', async () => {
    const { login } = door();
    for (let n = 0; n < 200; n += 1) expect(await login(undefined, GUESSER, `CH${n}`)).toBe('WRONG_PASSWORD');
    expect(await login(RIGHT, GUESSER)).toBe('ACCEPTED');
  });

  it('wrong passwords from one IPv6 network count together', async () => {
    const { login } = door();
    for (let n = 0; n < 50; n += 1) await login(`wrong-password-${n}`, `2001:db8:1:2::${n}`);
    expect(await login(RIGHT, '2001:db8:1:2:ffff::1')).toBe('TOO_MANY_FAILURES');
    expect(await login(RIGHT, '2001:db8:1:3::1')).toBe('ACCEPTED');
  });
});
