// The site's reservation policy: a pure function of policy and request to "allowed" or the refusal.
// It must not know where the facts come from.
import type { Refusal } from '../common/refusal.ts';

export interface ReservationPolicy {
  readonly enabled: boolean;
  readonly minDurationMinutes: number;
  readonly maxDurationMinutes: number;
  readonly defaultDurationMinutes: number;
}

export const defaultPolicy: ReservationPolicy = {
  enabled: true,
  minDurationMinutes: 0,
  maxDurationMinutes: 180,
  defaultDurationMinutes: 30,
};

export type PolicyRule = 'ENABLED' | 'MIN_DURATION' | 'MAX_DURATION';

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

const refusal = (rule: PolicyRule, message: string, limitMinutes?: number): PolicyRefusal => ({
  code: 'POLICY',
  rule,
  message,
  ...(limitMinutes !== undefined && { limitMinutes }),
});
