// How fast one peer may send: a bucket of tokens that fills at a steady rate.

export interface Rate {
  readonly perSecond: number;
  readonly burst: number;
}

/** What one read of the socket may overdraw counts no further: it would shut the peer out for minutes. */
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

  /** Takes one message's worth, or that much, whether it is there or not; as `waitMs`. */
  take(now: Date, amount = 1): number {
    this.#fill(now);
    this.#tokens = Math.max(-MAX_DEBT_SECONDS * this.rate.perSecond, this.#tokens - amount);
    return this.#wait;
  }

  /** Takes that much where it is there, and tells 0; else takes nothing, and tells the milliseconds until it would be. */
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

  /** Milliseconds until the next message should be read; 0: at once. */
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

/** More peers than that are not told apart for long: the one that has been quiet the longest is forgotten. */
const MAX_PEERS = 50_000;

/** The same rate for each of many peers. */
export class RateLimits {
  readonly #peers = new Map<string, RateLimit>();

  constructor(readonly rate: Rate) {}

  of(peer: string, now: Date): RateLimit {
    const limit = this.#peers.get(peer) ?? new RateLimit(this.rate, now);
    this.#peers.delete(peer); // Behind the others: who has been quiet the longest is forgotten first.
    this.#peers.set(peer, limit);
    const [oldest] = this.#peers.keys();
    if (this.#peers.size > MAX_PEERS && oldest !== undefined) this.#peers.delete(oldest);
    return limit;
  }
}
