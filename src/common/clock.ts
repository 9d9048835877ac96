// The only place where the server reads the time (the simulator and the embedded PostgreSQL have timers of their own).
// Everything else receives `now`, or a Clock when it must also wait.

export interface Clock {
  now(): Date;
  /** Runs `task` once after `delayMs`, of at most MAX_DELAY_MS; the returned function cancels it. */
  after(delayMs: number, task: () => void): () => void;
}

/** The longest delay of a timer, 24.8 days: Node fires a longer one, or an infinite one, at once. */
export const MAX_DELAY_MS = 2 ** 31 - 1;

export const systemClock: Clock = {
  now: () => new Date(),
  after(delayMs, task) {
    const timer = setTimeout(task, delayMs);
    return () => clearTimeout(timer);
  },
};

/** Settles as the promise does, or resolves with undefined after `deadlineMs`, whichever comes first. */
export function withDeadline<T>(clock: Clock, promise: Promise<T>, deadlineMs: number): Promise<T | undefined> {
  return new Promise((resolve, reject) => {
    const callOff = clock.after(deadlineMs, () => resolve(undefined));
    promise.then(resolve, reject).finally(callOff);
  });
}

export const pause = (clock: Clock, ms: number): Promise<void> =>
  new Promise((resolve) => {
    clock.after(ms, resolve);
  });

export const addMs = (date: Date, ms: number): Date => new Date(date.getTime() + ms);
export const MINUTE_MS = 60_000;
