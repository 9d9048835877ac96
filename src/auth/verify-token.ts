// Verifies a signed JWT, by a shared secret or a key set, and turns it into a Caller. It does not depend on the
// protocol that delivered the token.
import { createHmac, timingSafeEqual } from 'node:crypto';
import { createLocalJWKSet, createRemoteJWKSet, errors, type JWTPayload, type JWTVerifyGetKey, jwtVerify } from 'jose';
import { z } from 'zod';
import { addMs, type Clock } from '../common/clock.ts';
import type { Caller, Reach, Role } from '../model/access/caller.ts';
import { permissionsOf } from '../model/access/rights.ts';
import { CredentialError, KeysAway } from './authenticate.ts';

const names = (max: number) => z.array(z.string().min(1).max(255)).max(max);
const roles = z.enum(['driver', 'operator', 'admin']);
const claims = z.object({
  role: roles.optional(),
  /** The form that many identity providers issue: the widest of our roles counts, other roles are ignored. */
  roles: z.array(z.string()).max(100).optional(),
  idTags: names(100).optional(),
  groups: names(100).optional(),
  sites: names(1000).optional(),
  /** OAuth 2.0 scopes, separated by spaces (RFC 8693, 4.2). Our scopes cut down the permissions of the role. */
  scope: z.string().max(5000).optional(),
});

export type TokenKey =
  | { readonly secret: string }
  | { readonly jwksUrl: string; readonly algorithms: readonly string[] };

export interface TokenSettings {
  readonly key: TokenKey;
  readonly issuer?: string;
  readonly audience?: string;
  /** Tolerated difference between the clock of the token's issuer and ours. */
  readonly toleranceSeconds: number;
}

export type VerifyToken = (token: string) => Promise<Caller>;

/**
 * A key set is fetched again after KEYS_KEPT_MS; for an unknown key at once, but not within KEYS_COOLDOWN_MS of the
 * last fetch.
 */
const KEYS_KEPT_MS = 600_000;
const KEYS_COOLDOWN_MS = 30_000;
const KEYS_TIMEOUT_MS = 5000;
const KEYS_AWAY_MS = 1000;
/** Scopes of OpenID Connect: they ask for claims and restrict nothing. Any other unknown scope grants nothing. */
const OF_IDENTITY = new Set(['openid', 'profile', 'email', 'phone', 'address', 'offline_access']);
/** The last second that a Date can represent. */
const MAX_SECONDS = 8.64e12;

/**
 * Throws a CredentialError that names what is wrong with the token but never quotes it; KeysAway if no key set is
 * usable.
 */
export function tokenVerifier(settings: TokenSettings, clock: Clock): VerifyToken {
  const { key, issuer, audience, toleranceSeconds } = settings;
  const options = {
    ...(issuer && { issuer }),
    ...(audience && { audience }),
    algorithms: 'secret' in key ? ['HS256'] : [...key.algorithms],
    requiredClaims: ['sub', 'exp'],
    clockTolerance: toleranceSeconds,
  };
  const verifyWith = 'secret' in key ? withSecret(key.secret) : withKeySet(key.jwksUrl, clock);
  return async (token) => {
    try {
      return toCaller(await verifyWith(token, { ...options, currentDate: clock.now() }), toleranceSeconds);
    } catch (error) {
      if (error instanceof errors.JWTExpired) throw new CredentialError('The token has expired; get a new one.');
      if (error instanceof errors.JWTClaimValidationFailed)
        throw new CredentialError(`The token is not valid: its claim "${error.claim}" ${whatIsWrong(error.reason)}.`);
      if (error instanceof errors.JWSSignatureVerificationFailed) throw wrongSignature;
      if (error instanceof errors.JOSEError) throw new CredentialError(`The token is not valid: ${error.code}.`);
      throw error;
    }
  };
}

type Options = NonNullable<Parameters<typeof jwtVerify>[2]>;
type Verify = (token: string, options: Options) => Promise<JWTPayload>;

function withSecret(secret: string): Verify {
  const key = new TextEncoder().encode(secret);
  return async (token, options) => {
    // Checks the signature on this thread first, so that thousands of forged tokens cannot fill the thread pool that
    // jose uses.
    if (isForged(token, key)) throw wrongSignature;
    return (await jwtVerify(token, key, options)).payload;
  };
}

/** Whether the token is certainly forged; only a token with a 32-byte (HS256) signature can be judged here. */
function isForged(token: string, key: Uint8Array): boolean {
  const end = token.lastIndexOf('.');
  const signature = Buffer.from(token.slice(end + 1), 'base64url');
  if (signature.length !== 32) return false;
  return !timingSafeEqual(signature, createHmac('sha256', key).update(token.slice(0, end)).digest());
}

/** No token is accepted without a key set, nor while an outdated key set cannot be fetched again. */
function withKeySet(url: string, clock: Clock): Verify {
  let awayUntil = new Date(0);
  /** The last fetched key set, kept while its endpoint is down. */
  let kept: JWTVerifyGetKey | undefined;
  const fetched = createRemoteJWKSet(new URL(url), {
    cacheMaxAge: KEYS_KEPT_MS,
    cooldownDuration: KEYS_COOLDOWN_MS,
    timeoutDuration: KEYS_TIMEOUT_MS,
  });
  const keys: JWTVerifyGetKey = async (header, token) => {
    // After a failed fetch the endpoint is left alone for KEYS_AWAY_MS; until then the cached key set is used if it is
    // fresh.
    if (clock.now() < awayUntil) {
      if (!kept || !fetched.fresh) throw new KeysAway('The key set could not be fetched a moment ago');
      return kept(header, token);
    }
    try {
      return await fetched(header, token);
    } catch (error) {
      const isOfToken =
        error instanceof errors.JWKSNoMatchingKey ||
        error instanceof errors.JWKSMultipleMatchingKeys ||
        error instanceof errors.JOSENotSupported;
      if (isOfToken) throw error;
      awayUntil = addMs(clock.now(), KEYS_AWAY_MS);
      const known = fetched.jwks();
      kept = known && createLocalJWKSet(known);
      throw new KeysAway('The key set cannot be fetched', { cause: error });
    }
  };
  return async (token, options) => (await jwtVerify(token, keys, options)).payload;
}

/** Created once: nobody needs its stack trace, and capturing one costs more than checking the signature. */
const wrongSignature = new CredentialError('The token is not valid: its signature is wrong.');
const whatIsWrong = (reason: string) => (reason === 'missing' ? 'is missing' : 'has a value that is not accepted');

const rank: Record<z.infer<typeof roles>, number> = { driver: 1, operator: 2, admin: 3 };

function toCaller(payload: JWTPayload, toleranceSeconds: number): Caller {
  const parsed = claims.safeParse(payload);
  if (!parsed.success) throw new CredentialError(`A claim of the token has the wrong form or is too long. ${CLAIMS}`);
  const { role, roles: more = [], scope } = parsed.data;
  const given = [role, ...more.map((one) => roles.safeParse(one).data)].filter((one) => one !== undefined);
  const [widest] = given.toSorted((one, other) => rank[other] - rank[one]);
  if (widest === undefined || !payload.sub || payload.sub.length > 255) throw new CredentialError(CLAIMS);
  const reach = toReach(widest, parsed.data);
  const asked = scope?.split(' ');
  const scopes = asked?.filter((one) => !OF_IDENTITY.has(one));
  const isRestricted = scopes !== undefined && (scopes.length > 0 || asked?.length === 0);
  if (!payload.exp || payload.exp + toleranceSeconds > MAX_SECONDS) throw new CredentialError(CLAIMS);
  return {
    subject: payload.sub,
    expiresAt: new Date(((payload.exp ?? 0) + toleranceSeconds) * 1000),
    permissions: permissionsOf(reach.role, isRestricted ? scopes : undefined),
    ...reach,
  };
}

const CLAIMS =
  'The token needs a "sub" of at most 255 characters and "roles" with one of "driver" (with "idTags"), "operator" (with "sites") or "admin"; each list with at least one entry.';

function toReach(role: Lowercase<Role>, { idTags, groups, sites }: z.infer<typeof claims>): Reach {
  if (role === 'admin') return { role: 'ADMIN' };
  if (role === 'operator' && sites?.length) return { role: 'OPERATOR', sites };
  if (role === 'driver' && idTags?.length) return { role: 'DRIVER', idTags, groups: groups ?? [] };
  throw new CredentialError(CLAIMS);
}
