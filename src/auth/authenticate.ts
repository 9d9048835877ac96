// Turns an Authorization header (a token or an API key) into a Caller, for every protocol. It caches good credentials
// for seconds and limits the bad credentials that one address may send.
import { LRUCache } from 'lru-cache';
import { networkOf } from '../common/client-address.ts';
import type { Clock } from '../common/clock.ts';
import type { Metrics } from '../common/metrics.ts';
import { RateLimits } from '../common/rate-limit.ts';
import { API_KEY_PREFIX } from '../model/access/api-key.ts';
import type { Caller } from '../model/access/caller.ts';

/** The credential is not valid. The message says why but never quotes the credential. */
export class CredentialError extends Error {
  override readonly name = 'CredentialError';
}

/** The credential cannot be checked now: the key set cannot be fetched. */
export class KeysAway extends Error {
  override readonly name = 'KeysAway';

  /** True for a fresh failure (it has a cause); repeated ones were logged already. */
  get isNews(): boolean {
    return this.cause !== undefined;
  }
}

/** An address or a caller has exceeded a rate limit: for requests, for their cost, or for bad credentials. */
export class RateLimited extends Error {
  override readonly name = 'RateLimited';
  readonly retryAfterSeconds: number;

  constructor(message: string, waitMs: number) {
    super(message);
    this.retryAfterSeconds = Math.max(1, Math.ceil(waitMs / 1000));
  }
}

/** `from`: the address of the client. Throws CredentialError, KeysAway and RateLimited. */
export type Authenticate = (authorization: string | undefined, from: string) => Promise<Caller>;

interface Ports {
  readonly verifyToken: (token: string) => Promise<Caller>;
  readonly verifyApiKey: (key: string) => Promise<Caller>;
  readonly clock: Clock;
  readonly metrics: Metrics;
}

/**
 * How long a good credential is cached, since clients send it with each request. API keys shorter: another node may
 * revoke them.
 */
const REMEMBER_TOKEN_MS = 30_000;
const REMEMBER_KEY_MS = 5000;
const MAX_REMEMBERED = 10_000;
/** Rate limit for the bad credentials of one address. */
const FAILURES = { perSecond: 1, burst: 50 };
const MAX_LENGTH = 8192;

/** The caller of a cached credential, which counts as good before `until`, in milliseconds since 1970. */
interface Remembered {
  readonly caller: Caller;
  readonly until: number;
}

export class Authenticator {
  readonly #remembered = new LRUCache<string, Remembered>({ max: MAX_REMEMBERED });
  readonly #failures = new RateLimits(FAILURES);

  constructor(private readonly ports: Ports) {}

  readonly authenticate: Authenticate = async (authorization, from) => {
    const [scheme, credential, ...more] = (authorization ?? '').split(' ');
    if (scheme?.toLowerCase() !== 'bearer' || !credential || more.length > 0)
      throw new CredentialError('Send a signed token or an API key: "Authorization: Bearer <token>".');
    const { clock, metrics } = this.ports;
    const now = clock.now();
    const known = this.#remembered.get(credential);
    if (known && known.until > now.getTime()) return known.caller;
    const failures = this.#failures.of(networkOf(from), now);
    // Checking an API key costs a database query, so it is charged to the limit first and refunded if the key is good.
    // Checking a token costs only CPU, so it comes first: a good token passes whatever others at its address send.
    const isKey = credential.startsWith(API_KEY_PREFIX);
    if (isKey && failures.tryTake(now, 1) > 0) throw this.#tooMany();
    try {
      const caller = await this.#verify(credential);
      if (isKey) failures.giveBack(1);
      this.#remember(credential, caller, now);
      return caller;
    } catch (error) {
      if (!(error instanceof CredentialError)) {
        if (isKey) failures.giveBack(1);
        throw error;
      }
      metrics.badCredentials.inc();
      if (!isKey && failures.tryTake(now, 1) > 0) throw this.#tooMany();
      throw error;
    }
  };

  #tooMany(): RateLimited {
    this.ports.metrics.refusedRequests.inc({ limit: 'credentials' });
    return new RateLimited('Too many bad credentials came from this address; wait.', 1000 / FAILURES.perSecond);
  }

  /** Drops a revoked API key from the cache of this node. */
  forget(apiKeyId: string): void {
    for (const [credential, { caller }] of this.#remembered.entries())
      if (caller.apiKeyId === apiKeyId) this.#remembered.delete(credential);
  }

  #verify(credential: string): Promise<Caller> {
    if (credential.length > MAX_LENGTH)
      throw new CredentialError(`The credential is longer than ${MAX_LENGTH} characters.`);
    const { verifyToken, verifyApiKey } = this.ports;
    return credential.startsWith(API_KEY_PREFIX) ? verifyApiKey(credential) : verifyToken(credential);
  }

  #remember(credential: string, caller: Caller, now: Date): void {
    const forMs = caller.apiKeyId === undefined ? REMEMBER_TOKEN_MS : REMEMBER_KEY_MS;
    const until = Math.min(now.getTime() + forMs, caller.expiresAt.getTime());
    this.#remembered.set(credential, { caller, until });
  }
}
