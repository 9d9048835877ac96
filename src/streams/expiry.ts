// When a caller's credential ends what it opened.

import type { Clock } from '../common/clock.ts';
import type { Log } from '../common/log.ts';
import type { Caller } from '../model/access/caller.ts';

interface Ports {
  readonly clock: Clock;
  readonly log: Log;
  /** Whether an API key is good still. */
  readonly isKeyGood: (apiKeyId: string) => Promise<boolean>;
}

/** The longest that a timer can wait. */
const MAX_TIMER_MS = 2 ** 31 - 1;
/** So often an open connection’s API key is looked at again. */
const RECHECK_KEY_MS = 30_000;

/** Calls once the token or key has expired, however far off that is, or was revoked; the function returned calls it off. */
export function onExpiry(
  { clock, isKeyGood, log }: Ports,
  { expiresAt, apiKeyId }: Caller,
  expire: () => void,
): () => void {
  let isOff = false;
  let callOff = () => {};
  const check = () => {
    if (apiKeyId === undefined) return wait();
    isKeyGood(apiKeyId).then(
      (isGood) => {
        if (!isOff) isGood ? wait() : expire();
      },
      (error) => {
        log.warn({ error, apiKeyId }, 'an API key could not be looked at; trying again');
        if (!isOff) wait();
      },
    );
  };
  const wait = () => {
    const leftMs = expiresAt.getTime() - clock.now().getTime();
    const nextMs = apiKeyId === undefined ? MAX_TIMER_MS : RECHECK_KEY_MS;
    callOff = clock.after(Math.min(leftMs, nextMs), leftMs <= nextMs ? expire : check);
  };
  wait();
  return () => {
    isOff = true;
    callOff();
  };
}

export const expired = ({ apiKeyId }: Caller): string =>
  apiKeyId === undefined ? 'The token has expired' : 'The API key has expired, or was revoked';
