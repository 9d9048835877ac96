// The facts by which a charger was admitted when it logged in.
import type { SecurityProfile } from './charger.ts';

/** The credentials that admitted a charger. Recording its connection fails if they are no longer valid by then. */
export interface LoginProof {
  readonly profile: SecurityProfile;
  readonly passwordHash?: string;
  readonly fingerprint?: string;
}
