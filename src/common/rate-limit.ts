// How fast one peer may send: a bucket of tokens that fills at a steady rate.

interface Rate {
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

  /** Takes one message's worth; as `waitMs`. */
  take(now: Date): number {
    this.#fill(now);
    this.#tokens = Math.max(-MAX_DEBT_SECONDS * this.rate.perSecond, this.#tokens - 1);
    return this.#wait;
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
