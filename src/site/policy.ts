// The site's reservation policy: a pure function of policy and request to "allowed" or the refusal.
// It must not know where the facts come from.
import type { Refusal } from '../common/refusal.ts';

export interface ReservationPolicy {
  readonly enabled: boolean;
  readonly minDurationMinutes: number;
  readonly maxDurationMinutes: number;
  readonly defaultDurationMinutes: number;
  /** Refuse a connector that is known to be in use or out of order, before the charger is asked. */
  readonly precheckStatus: boolean;
  /** A charger that cannot be reserved is held by this server's answers to it. */
  readonly serverSideHoldAllowed: boolean;
  readonly extensionAllowed: boolean;
  /** A charger that refuses to extend is told to cancel, and to hold the same connector under a fresh reservationId. */
  readonly extensionMayReplace: boolean;
}

export const defaultPolicy: ReservationPolicy = {
  enabled: true,
  minDurationMinutes: 0,
  maxDurationMinutes: 180,
  defaultDurationMinutes: 30,
  precheckStatus: false,
  serverSideHoldAllowed: false,
  extensionAllowed: true,
  extensionMayReplace: false,
};

export type PolicyRule = 'ENABLED' | 'MIN_DURATION' | 'MAX_DURATION' | 'EXTENSION_ALLOWED';

export interface PolicyRefusal extends Refusal {
  readonly code: 'POLICY';
  readonly rule: PolicyRule;
  /** The rule's limit in minutes; absent for a rule without one. */
  readonly limitMinutes?: number;
}

/** Refuses with the first rule that the reservation would break. Durations compare to the millisecond, limits included. */
export function checkPolicy(policy: ReservationPolicy, startsAt: Date, expiryDate: Date): PolicyRefusal | undefined {
  const minutes = (expiryDate.getTime() - startsAt.getTime()) / 60_000;
  if (!policy.enabled) return refusal('ENABLED', 'This site does not take reservations.');
  if (minutes < policy.minDurationMinutes) {
    const limit = policy.minDurationMinutes;
    return refusal('MIN_DURATION', `This site reserves for at least ${limit} minutes.`, limit);
  }
  if (minutes > policy.maxDurationMinutes) {
    const limit = policy.maxDurationMinutes;
    return refusal('MAX_DURATION', `This site reserves for at most ${limit} minutes.`, limit);
  }
  return undefined;
}

/** The same rules for a hold that is to last longer; its whole length counts. */
export function checkExtension(policy: ReservationPolicy, startsAt: Date, expiryDate: Date): PolicyRefusal | undefined {
  if (!policy.extensionAllowed) return refusal('EXTENSION_ALLOWED', 'This site does not extend reservations.');
  return checkPolicy(policy, startsAt, expiryDate);
}

const refusal = (rule: PolicyRule, message: string, limitMinutes?: number): PolicyRefusal => ({
  code: 'POLICY',
  rule,
  message,
  ...(limitMinutes !== undefined && { limitMinutes }),
});
