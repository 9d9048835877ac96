// How fast one charger may send: a bucket of tokens that fills at a steady rate.

/** A charger that empties its offline queue waits for each answer; none has reason to send faster than this for long. */
const FRAMES_PER_SECOND = 100;
const BURST = 500;

export class RateLimit {
  #tokens = BURST;
  #filledAt: Date;

  constructor(now: Date) {
    this.#filledAt = now;
  }

  /** Takes one frame's worth; the milliseconds until the next should be read, 0 for at once. */
  take(now: Date): number {
    const passedMs = Math.max(0, now.getTime() - this.#filledAt.getTime());
    this.#tokens = Math.min(BURST, this.#tokens + (passedMs * FRAMES_PER_SECOND) / 1000) - 1;
    this.#filledAt = now;
    return this.#tokens >= 0 ? 0 : Math.ceil((-this.#tokens * 1000) / FRAMES_PER_SECOND);
  }
}
