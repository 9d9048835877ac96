// A site: a place with chargers and a reservation policy.
import type { SitePolicies } from './policy.ts';

export interface Site {
  readonly id: string;
  readonly name: string;
  /** IANA name, for example Europe/Berlin. */
  readonly timeZone: string;
  readonly policies: SitePolicies;
}

export function isTimeZone(name: string): boolean {
  try {
    new Intl.DateTimeFormat('en', { timeZone: name });
    return true;
  } catch {
    return false;
  }
}
