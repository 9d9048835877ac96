// A signed JWT -> Caller. It must not know where the token came in.
import { createRemoteJWKSet, errors, type JWTPayload, type JWTVerifyGetKey, jwtVerify } from 'jose';
import { z } from 'zod';
import type { Clock } from '../common/clock.ts';
import type { TokenKey } from '../config.ts';
import type { Caller } from './caller.ts';

export class TokenError extends Error {}

const claims = z.discriminatedUnion('role', [
  z.object({
    role: z.literal('driver'),
    idTags: z.array(z.string().min(1)).min(1).max(100),
    groups: z.array(z.string().min(1)).max(100).default([]),
  }),
  z.object({ role: z.literal('operator'), sites: z.array(z.string().min(1)).min(1).max(1000) }),
  z.object({ role: z.literal('admin') }),
]);

export type VerifyToken = (token: string) => Promise<Caller>;

/** A token that was good is taken as good for this long: clients send the same one with each request. */
const REMEMBER_MS = 30_000;
const MAX_REMEMBERED = 10_000;

interface Settings {
  readonly key: TokenKey;
  readonly issuer?: string;
  readonly audience?: string;
}

/** Throws a TokenError that says what is wrong with the token, never what it held. */
export function tokenVerifier(settings: Settings, clock: Clock): VerifyToken {
  const { key, issuer, audience } = settings;
  const shared = 'secret' in key ? new TextEncoder().encode(key.secret) : undefined;
  const remote: JWTVerifyGetKey | undefined = 'jwksUrl' in key ? createRemoteJWKSet(new URL(key.jwksUrl)) : undefined;
  const options = {
    ...(issuer && { issuer }),
    ...(audience && { audience }),
    algorithms: shared ? ['HS256'] : ['RS256', 'PS256', 'ES256', 'EdDSA'],
    requiredClaims: ['sub', 'exp'],
  };
  const remembered = new Map<string, { readonly caller: Caller; readonly until: Date }>();
  const verify: VerifyToken = async (token) => {
    const at = { ...options, currentDate: clock.now() };
    try {
      const { payload } = shared
        ? await jwtVerify(token, shared, at)
        : await jwtVerify(token, remote as JWTVerifyGetKey, at);
      return toCaller(payload);
    } catch (error) {
      if (error instanceof errors.JWTExpired) throw new TokenError('The token has expired; get a new one.');
      if (error instanceof errors.JOSEError) throw new TokenError(`The token is not valid: ${error.code}.`);
      throw error;
    }
  };
  return async (token) => {
    const now = clock.now();
    const known = remembered.get(token);
    if (known && known.until > now) return known.caller;
    remembered.delete(token);
    const caller = await verify(token);
    const until = new Date(Math.min(caller.expiresAt.getTime(), now.getTime() + REMEMBER_MS));
    remembered.set(token, { caller, until });
    const [oldest] = remembered.keys();
    if (remembered.size > MAX_REMEMBERED && oldest !== undefined) remembered.delete(oldest);
    return caller;
  };
}

function toCaller(payload: JWTPayload): Caller {
  const parsed = claims.safeParse(payload);
  if (!parsed.success) {
    throw new TokenError(
      'The token needs a claim "role": "driver" (with "idTags"), "operator" (with "sites") or "admin"; each list with one entry at least.',
    );
  }
  const token = { subject: payload.sub ?? '', expiresAt: new Date((payload.exp ?? 0) * 1000) };
  switch (parsed.data.role) {
    case 'driver':
      return { ...token, role: 'DRIVER', idTags: parsed.data.idTags, groups: parsed.data.groups };
    case 'operator':
      return { ...token, role: 'OPERATOR', sites: parsed.data.sites };
    case 'admin':
      return { ...token, role: 'ADMIN' };
    default:
      return parsed.data satisfies never;
  }
}
