// OCPP security profile 1: is this the charger it says it is?
import { createHmac, randomBytes, scrypt, timingSafeEqual } from 'node:crypto';
import { promisify } from 'node:util';
import type { ChargerRepository } from './charger.repository.ts';

const derive = promisify(scrypt) as (
  password: string,
  salt: Buffer,
  length: number,
  options: object,
) => Promise<Buffer>;
/** About 10 ms off the event loop: chargers' passwords are long and random (16 to 40 characters). */
const COST = { N: 4096, r: 8, p: 1 };

export async function hashPassword(password: string): Promise<string> {
  const salt = randomBytes(16);
  return `scrypt$${salt.toString('base64url')}$${(await derive(password, salt, 32, COST)).toString('base64url')}`;
}

export async function isPasswordOf(hash: string, password: string): Promise<boolean> {
  const [, salt = '', expected = ''] = hash.split('$');
  const derived = await derive(password, Buffer.from(salt, 'base64url'), 32, COST);
  return timingSafeEqual(derived, Buffer.from(expected, 'base64url'));
}

export type ChargerAuthentication = 'ACCEPTED' | 'UNKNOWN_CHARGER' | 'WRONG_PASSWORD';
export type AuthenticateCharger = (chargerId: string, password: string | undefined) => Promise<ChargerAuthentication>;

export function authenticateCharger(chargers: ChargerRepository): AuthenticateCharger {
  // A charger that reconnects with the password that was right for the same hash needs no new derivation.
  const key = randomBytes(32);
  const known = new Map<string, string>();
  const digestOf = (hash: string, password: string) =>
    createHmac('sha256', key).update(hash).update(password).digest('base64');

  return async (chargerId, password) => {
    const hash = await chargers.passwordHash(chargerId);
    if (hash === undefined) return 'UNKNOWN_CHARGER';
    if (password === undefined) return 'WRONG_PASSWORD';
    const digest = digestOf(hash, password);
    if (known.get(chargerId) === digest) return 'ACCEPTED';
    if (!(await isPasswordOf(hash, password))) return 'WRONG_PASSWORD';
    known.set(chargerId, digest);
    return 'ACCEPTED';
  };
}
