// Limits the rate of each peer: a token bucket that fills at a steady rate up to a burst.
import { LRUCache } from 'lru-cache';

export interface Rate {
  readonly perSecond: number;
  readonly burst: number;
}

/** Caps the debt, so that one large read cannot lock a peer out for minutes. */
const MAX_DEBT_SECONDS = 10;

export class RateLimit {
  #tokens: number;
  #filledAt: Date;

  constructor(
    private readonly rate: Rate,
    now: Date,
  ) {
    this.#tokens = rate.burst;
    this.#filledAt = now;
  }

  /** Takes `amount`, into debt if need be; returns waitMs(). */
  take(now: Date, amount = 1): number {
    this.#fill(now);
    this.#tokens = Math.max(-MAX_DEBT_SECONDS * this.rate.perSecond, this.#tokens - amount);
    return this.#wait;
  }

  /**
   * Takes `amount` and returns 0 if the bucket has it; otherwise takes nothing and returns the milliseconds until it
   * will.
   */
  tryTake(now: Date, amount: number): number {
    this.#fill(now);
    if (this.#tokens < amount) return Math.ceil(((amount - this.#tokens) * 1000) / this.rate.perSecond);
    this.#tokens -= amount;
    return 0;
  }

  giveBack(amount: number): void {
    this.#tokens = Math.min(this.rate.burst, this.#tokens + amount);
  }

  /** Whole tokens that are left. */
  left(now: Date): number {
    this.#fill(now);
    return Math.max(0, Math.floor(this.#tokens));
  }

  /** Milliseconds until the debt is paid; 0: there is none. */
  waitMs(now: Date): number {
    this.#fill(now);
    return this.#wait;
  }

  get #wait(): number {
    return this.#tokens >= 0 ? 0 : Math.ceil((-this.#tokens * 1000) / this.rate.perSecond);
  }

  #fill(now: Date): void {
    const passedMs = Math.max(0, now.getTime() - this.#filledAt.getTime());
    this.#tokens = Math.min(this.rate.burst, this.#tokens + (passedMs * this.rate.perSecond) / 1000);
    this.#filledAt = now;
  }
}

/** Beyond this many peers the one that has been quiet the longest is forgotten: its next bucket is full. */
const MAX_PEERS = 50_000;

/** A bucket for each peer, all with the same rate. */
export class RateLimits {
  readonly #peers = new LRUCache<string, RateLimit>({ max: MAX_PEERS });

  constructor(readonly rate: Rate) {}

  of(peer: string, now: Date): RateLimit {
    const known = this.#peers.get(peer);
    if (known) return known;
    const limit = new RateLimit(this.rate, now);
    this.#peers.set(peer, limit);
    return limit;
  }
}
