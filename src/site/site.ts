// A site: a place with chargers and one reservation policy.
import type { ReservationPolicy } from './policy.ts';

export interface Site {
  readonly id: string;
  readonly name: string;
  /** IANA name, for example Europe/Berlin. */
  readonly timeZone: string;
  readonly policy: ReservationPolicy;
}

export function isTimeZone(name: string): boolean {
  try {
    new Intl.DateTimeFormat('en', { timeZone: name });
    return true;
  } catch {
    return false;
  }
}
