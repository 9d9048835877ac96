// When a caller's token ends what it opened.
import type { Caller } from '../auth/caller.ts';
import type { Clock } from '../common/clock.ts';

/** The longest that a timer can wait. */
const MAX_TIMER_MS = 2 ** 31 - 1;

/** Calls once the token has expired, however far off that is; the function returned calls it off. */
export function onExpiry(clock: Clock, { expiresAt }: Caller, expire: () => void): () => void {
  let callOff = () => {};
  const wait = () => {
    const leftMs = expiresAt.getTime() - clock.now().getTime();
    callOff = clock.after(Math.min(leftMs, MAX_TIMER_MS), leftMs <= MAX_TIMER_MS ? expire : wait);
  };
  wait();
  return () => callOff();
}
