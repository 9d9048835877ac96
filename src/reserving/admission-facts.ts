// Reads the facts that a hold is decided on: asks the database only for what the site's policy needs, and makes
// AdmissionFacts of the result.
import { addMs, MINUTE_MS } from '../common/clock.ts';
import type { AdmissionFacts, HoldWish, OtherHold } from '../model/reservation/admission.ts';
import { fewestFree } from '../model/reservation/occupancy.ts';
import { localDay, type Window } from '../model/site/opening-hours.ts';
import {
  isSetAnywhere,
  largestAnywhere,
  type ReservationPolicy,
  resolvePolicy,
  type SitePolicies,
} from '../model/site/policy.ts';
import type { Sql } from '../storage/database.ts';
import { guardKeys, type HoldStore } from '../storage/reservations/hold.repository.ts';
import type { Guards, HoldFacts, Reach } from '../storage/reservations/hold-facts.repository.ts';
import type { KnownPolicies } from '../storage/sites/known-policies.ts';

export interface Known {
  readonly facts: AdmissionFacts;
  readonly expiryDate: Date;
  readonly guards: Guards;
  readonly policies: SitePolicies;
  /** About the reservation in `except`: whether it is ACCEPTED or SCHEDULED, and whether a process has claimed it. */
  readonly isHolding: boolean;
  readonly isClaimed: boolean;
}

/** Reads the facts under the current policy; returns undefined for an unknown charger. */
export async function readFacts(
  holds: Pick<HoldStore, 'facts'>,
  known: KnownPolicies,
  wish: HoldWish,
  now: Date,
  sql?: Sql,
): Promise<Known | undefined> {
  for (;;) {
    const policies = await known.ofCharger(wish.chargerId, sql);
    if (!policies) return undefined;
    const raw = await holds.facts(wish, reachOf(policies, wish, now), now);
    if (raw && raw.siteId === policies.siteId && raw.policyVersion === policies.version) {
      return toKnown(policies, raw, wish, now);
    }
    // The cached policy is outdated, or the charger was moved to another site or removed: read again.
    known.forget(policies, wish.chargerId);
  }
}

const strikeLimits = [
  'noShowLimit',
  'noShowLimitPerGroup',
  'lateCancelLimit',
  'lateCancelLimitPerGroup',
  'reReservationLimit',
  'reReservationLimitPerGroup',
] as const satisfies (keyof ReservationPolicy)[];

const idTagLimits = [
  'maxActivePerIdTag',
  'maxPerDayPerIdTag',
  'cooldownMinutes',
  'overlappingAllowed',
  'reReservationLimit',
] as const satisfies (keyof ReservationPolicy)[];

/**
 * The group, and with it the override that applies, is known only from the result, so the reach covers what any layer
 * needs.
 */
function reachOf(policies: SitePolicies, wish: HoldWish, now: Date): Reach {
  const { startsAt } = wish;
  const wants = {
    lastEnd: isSetAnywhere(policies, 'cooldownMinutes'),
    site: isSetAnywhere(policies, 'minFreeConnectors'),
  };
  const ago = (minutes: number) => addMs(now, -minutes * MINUTE_MS);
  // A hold longer than any layer allows is refused for its length, so the window read ends at the longest allowed one.
  const longest = addMs(startsAt, largestAnywhere(policies, 'maxDurationMinutes') * MINUTE_MS);
  const minutes = wish.durationMinutes ?? largestAnywhere(policies, 'defaultDurationMinutes');
  const wanted = wish.expiryDate ?? addMs(startsAt, minutes * MINUTE_MS);
  const until = wanted < longest ? wanted : longest;
  const aroundMs = largestAnywhere(policies, 'cooldownMinutes') * MINUTE_MS;
  return {
    window: { from: startsAt, until },
    wants,
    ...(isSetAnywhere(policies, 'cooldownMinutes', 'overlappingAllowed') && {
      near: { from: addMs(startsAt, -aroundMs), until: addMs(until, aroundMs) },
    }),
    ...(isSetAnywhere(policies, 'maxActivePerIdTag') && {
      maxOfIdTag: largestAnywhere(policies, 'maxActivePerIdTag'),
    }),
    ...(isSetAnywhere(policies, 'maxActivePerGroup') && {
      maxOfGroup: largestAnywhere(policies, 'maxActivePerGroup'),
    }),
    ...(isSetAnywhere(policies, 'maxPerDayPerIdTag') && { day: localDay(startsAt, policies.timeZone) }),
    ...(isSetAnywhere(policies, ...strikeLimits) && {
      strikesSince: ago(largestAnywhere(policies, 'abuseWindowMinutes') + largestAnywhere(policies, 'blockMinutes')),
    }),
    ...(isSetAnywhere(policies, 'reReservationMinutes') && {
      unusedSince: ago(largestAnywhere(policies, 'reReservationMinutes')),
    }),
  };
}

function toKnown(policies: SitePolicies, raw: HoldFacts, wish: HoldWish, now: Date): Known {
  const { sitePlaces, siteHolds, guards, isHolding = false, isClaimed = false, ...facts } = raw;
  const { chargerId, startsAt } = wish;
  const { group } = facts;
  const policy = resolvePolicy(policies, { chargerId, group });
  const minutes = wish.durationMinutes ?? policy.defaultDurationMinutes;
  const expiryDate = wish.expiryDate ?? addMs(startsAt, minutes * MINUTE_MS);
  const window: Window = { from: startsAt, until: expiryDate };
  const isTooLong = expiryDate.getTime() - startsAt.getTime() > policy.maxDurationMinutes * MINUTE_MS;
  const isCounted = policy.minFreeConnectors > 0 && !isTooLong;
  const free = isCounted ? fewestFree(sitePlaces, siteHolds, window, now) : undefined;
  const policyOf = (hold: OtherHold) => resolvePolicy(policies, { chargerId, group: hold.group });
  return {
    policies,
    isHolding,
    isClaimed,
    expiryDate,
    guards: guardsOf(policies, raw, wish),
    facts: {
      ...facts,
      policy,
      timeZone: policies.timeZone,
      ...(free && { free: { ...free, count: free.count - 1 } }),
      priorityOf: (hold) => policyOf(hold).priority,
      isPreemptible: (hold) => policyOf(hold).preemptionAllowed && policyOf(hold).priority < policy.priority,
    },
  };
}

/**
 * The guards of everything the hold counts for: its charger, and idTag, group and site if any layer limits them. If
 * two racing requests share a guard, the second decides again.
 */
function guardsOf(
  policies: SitePolicies,
  { siteId, group, guards }: HoldFacts,
  { chargerId, idTag }: HoldWish,
): Guards {
  const keys = [guardKeys.charger(chargerId)];
  if (idTag !== undefined && isSetAnywhere(policies, ...idTagLimits)) {
    keys.push(guardKeys.idTag(siteId, idTag));
  }
  if (group !== undefined && isSetAnywhere(policies, 'maxActivePerGroup', 'reReservationLimitPerGroup')) {
    keys.push(guardKeys.group(siteId, group));
  }
  if (isSetAnywhere(policies, 'minFreeConnectors')) keys.push(guardKeys.site(siteId));
  return new Map(keys.map((key) => [key, guards.get(key) ?? 0]));
}
