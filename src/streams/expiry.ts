// Ends a long-lived connection once its caller's token or API key has expired, or the API key was revoked.
import { type Clock, MAX_DELAY_MS } from '../common/clock.ts';
import type { Log } from '../common/log.ts';
import type { Caller } from '../model/access/caller.ts';

interface Ports {
  readonly clock: Clock;
  readonly log: Log;
  /** Whether the API key is still valid. */
  readonly isKeyGood: (apiKeyId: string) => Promise<boolean>;
}

/** How often the API key of an open connection is checked again. */
const RECHECK_KEY_MS = 30_000;

/**
 * Calls `expire` once the token or key has expired, even if that is years ahead, or the key was revoked. The returned
 * function stops the checks.
 */
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
        log.warn({ error, apiKeyId }, 'an API key could not be checked; trying again');
        if (!isOff) wait();
      },
    );
  };
  const wait = () => {
    const leftMs = expiresAt.getTime() - clock.now().getTime();
    const nextMs = apiKeyId === undefined ? MAX_DELAY_MS : RECHECK_KEY_MS;
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
