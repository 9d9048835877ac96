// A clock that runs, and that a test can set forward: timers that fall due in between fire at once.
import { type Clock, MAX_DELAY_MS } from '../../src/common/clock.ts';

interface Timer {
  readonly dueAt: number;
  readonly task: () => void;
  handle: NodeJS.Timeout;
}

export class TestClock implements Clock {
  #offsetMs = 0;
  readonly #timers = new Set<Timer>();

  now(): Date {
    return new Date(Date.now() + this.#offsetMs);
  }

  after(delayMs: number, task: () => void): () => void {
    // Node would fire at once; no code of ours may ask for that.
    if (!(delayMs <= MAX_DELAY_MS)) throw new RangeError(`A timer cannot wait ${delayMs} ms`);
    const timer: Timer = { dueAt: this.now().getTime() + delayMs, task, handle: this.#arm(delayMs, () => fire()) };
    const fire = () => {
      if (this.#timers.delete(timer)) task();
    };
    this.#timers.add(timer);
    return () => {
      clearTimeout(timer.handle);
      this.#timers.delete(timer);
    };
  }

  advance(ms: number): void {
    this.#offsetMs += ms;
    const now = this.now().getTime();
    for (const timer of [...this.#timers].toSorted((a, b) => a.dueAt - b.dueAt)) {
      clearTimeout(timer.handle);
      const run = () => {
        if (this.#timers.delete(timer)) timer.task();
      };
      timer.handle = this.#arm(timer.dueAt - now, run);
    }
  }

  #arm(delayMs: number, task: () => void): NodeJS.Timeout {
    return setTimeout(task, Math.max(0, Math.min(delayMs, MAX_DELAY_MS)));
  }
}
