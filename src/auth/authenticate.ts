// An Authorization header -> Caller, whatever the credential is and wherever it came in. Good ones are remembered for a
// moment, and whoever keeps sending bad ones is not listened to for a while.

import { networkOf } from '../common/client-address.ts';
import type { Clock } from '../common/clock.ts';
import type { Metrics } from '../common/metrics.ts';
import { RateLimits } from '../common/rate-limit.ts';
import { API_KEY_PREFIX } from '../model/access/api-key.ts';
import type { Caller } from '../model/access/caller.ts';

/** The credential is not good; the message says why, and never what it held. */
export class CredentialError extends Error {
  override readonly name = 'CredentialError';
}

/** Whether the credential is good cannot be found out now. */
export class KeysAway extends Error {
  override readonly name = 'KeysAway';

  /** Found out now; without a cause it is remembered from a moment ago, when the log was told. */
  get isNews(): boolean {
    return this.cause !== undefined;
  }
}

/** Too many requests, or too many bad credentials, of one address or one caller. */
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

/** Clients send the same one with each request. A key may be revoked at another node. */
const REMEMBER_TOKEN_MS = 30_000;
const REMEMBER_KEY_MS = 5000;
const MAX_REMEMBERED = 10_000;
/** Bad credentials of one address. */
const FAILURES = { perSecond: 1, burst: 50 };
const MAX_LENGTH = 8192;

export class Authenticator {
  readonly #remembered = new Map<string, { readonly caller: Caller; readonly until: Date }>();
  readonly #failures = new RateLimits(FAILURES);

  constructor(private readonly ports: Ports) {}

  readonly authenticate: Authenticate = async (authorization, from) => {
    const [scheme, credential, ...more] = (authorization ?? '').split(' ');
    if (scheme?.toLowerCase() !== 'bearer' || !credential || more.length > 0)
      throw new CredentialError('Send a signed token or an API key: "Authorization: Bearer <token>".');
    const { clock, metrics } = this.ports;
    const now = clock.now();
    const known = this.#remembered.get(credential);
    if (known && known.until > now) return known.caller;
    this.#remembered.delete(credential);
    const failures = this.#failures.of(networkOf(from), now);
    // A key costs a look into the database: taken before it, and given back where the key is good. A token costs no more than
    // the arithmetic, so that a good one is known as such whatever others of the same address send.
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

  /** A key that was revoked here is good no longer. */
  forget(apiKeyId: string): void {
    for (const [credential, { caller }] of this.#remembered)
      if (caller.apiKeyId === apiKeyId) this.#remembered.delete(credential);
  }

  #verify(credential: string): Promise<Caller> {
    if (credential.length > MAX_LENGTH) throw new CredentialError(`It is longer than ${MAX_LENGTH} characters.`);
    const { verifyToken, verifyApiKey } = this.ports;
    return credential.startsWith(API_KEY_PREFIX) ? verifyApiKey(credential) : verifyToken(credential);
  }

  #remember(credential: string, caller: Caller, now: Date): void {
    const forMs = caller.apiKeyId === undefined ? REMEMBER_TOKEN_MS : REMEMBER_KEY_MS;
    const until = new Date(Math.min(caller.expiresAt.getTime(), now.getTime() + forMs));
    this.#remembered.set(credential, { caller, until });
    const [oldest] = this.#remembered.keys();
    if (this.#remembered.size > MAX_REMEMBERED && oldest !== undefined) this.#remembered.delete(oldest);
  }
}
