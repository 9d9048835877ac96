// An API key and its text form. The text is returned only once, at creation; the database holds only a hash of
// its secret.
import { createHash, randomBytes, timingSafeEqual } from 'node:crypto';
import type { Permission, Reach } from './caller.ts';

export interface ApiKey {
  readonly id: string;
  readonly name: string;
  readonly reach: Reach;
  readonly scopes: readonly Permission[];
  readonly createdAt: Date;
  readonly createdBy: string;
  readonly expiresAt: Date;
  /** May lag behind the last use by a minute. */
  readonly lastUsedAt?: Date;
  readonly revokedAt?: Date;
  readonly revokedBy?: string;
}

/** Tells an API key from a token. */
export const API_KEY_PREFIX = 'evk_';
const SECRET_BYTES = 32;

export const newSecret = (): Buffer => randomBytes(SECRET_BYTES);

/** SHA-256 is enough: the secret is random (256 bits), so even a fast hash cannot be guessed. */
export const hashOf = (secret: Buffer): Buffer => createHash('sha256').update(secret).digest();

export const isSecretOf = (hash: Buffer, secret: Buffer): boolean =>
  hash.length === 32 && timingSafeEqual(hash, hashOf(secret));

export const toText = (id: string, secret: Buffer): string =>
  `${API_KEY_PREFIX}${id.replaceAll('-', '')}_${secret.toString('base64url')}`;

/** Returns undefined if the text does not have the form of a key. */
export function fromText(text: string): { readonly id: string; readonly secret: Buffer } | undefined {
  const [, hex, secret] = /^evk_([0-9a-f]{32})_([A-Za-z0-9_-]{43})$/.exec(text) ?? [];
  if (hex === undefined || secret === undefined) return undefined;
  const id = hex.replace(/^(.{8})(.{4})(.{4})(.{4})(.{12})$/, '$1-$2-$3-$4-$5');
  return { id, secret: Buffer.from(secret, 'base64url') };
}
