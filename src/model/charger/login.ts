// How a charger came in.
import type { SecurityProfile } from './charger.ts';

/** What a charger was let in by: it must be so still when its connection is recorded. */
export interface Admission {
  readonly profile: SecurityProfile;
  readonly passwordHash?: string;
  readonly fingerprint?: string;
}
