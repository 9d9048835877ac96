// How fast one charger may send: a bucket of tokens that fills at a steady rate.

/** A charger that empties its offline queue waits for each answer; none has reason to send faster than this for long. */
const FRAMES_PER_SECOND = 100;
const BURST = 500;
/** What one read of the socket may overdraw counts no further: it would shut the charger out for minutes. */
const MAX_DEBT = 1000;

export class RateLimit {
  #tokens = BURST;
  #filledAt: Date;

  constructor(now: Date) {
    this.#filledAt = now;
  }

  /** Takes one frame's worth; as `waitMs`. */
  take(now: Date): number {
    this.#fill(now);
    this.#tokens = Math.max(-MAX_DEBT, this.#tokens - 1);
    return this.#wait;
  }

  /** Milliseconds until the next frame should be read; 0: at once. */
  waitMs(now: Date): number {
    this.#fill(now);
    return this.#wait;
  }

  get #wait(): number {
    return this.#tokens >= 0 ? 0 : Math.ceil((-this.#tokens * 1000) / FRAMES_PER_SECOND);
  }

  #fill(now: Date): void {
    const passedMs = Math.max(0, now.getTime() - this.#filledAt.getTime());
    this.#tokens = Math.min(BURST, this.#tokens + (passedMs * FRAMES_PER_SECOND) / 1000);
    this.#filledAt = now;
  }
}
