// Reads the facts that a hold is decided on: asks the database only for what the site's policy needs, and makes
// AdmissionFacts of the result.
import { addMs, MINUTE_MS } from '../common/clock.ts';
import { present } from '../common/present.ts';
import type { AdmissionFacts, OtherHold } from '../model/reservation/admission.ts';
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
import type { FactsQuery, Guards, HoldFacts } from '../storage/reservations/hold-facts.repository.ts';
import type { KnownPolicies } from '../storage/sites/known-policies.ts';

/** The wanted hold; without expiryDate and durationMinutes the policy's default duration applies. */
export interface Asked {
  readonly chargerId: string;
  readonly idTag?: string;
  readonly parentIdTag?: string;
  readonly reservationId?: number;
  readonly startsAt: Date;
  readonly expiryDate?: Date;
  readonly durationMinutes?: number;
  /** The reservation that is being changed, or moved from: it counts for no limit. */
  readonly except?: string;
}

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
  asked: Asked,
  now: Date,
  sql?: Sql,
): Promise<Known | undefined> {
  for (;;) {
    const policies = await known.ofCharger(asked.chargerId, sql);
    if (!policies) return undefined;
    const raw = await holds.facts(queryOf(policies, asked, now), now);
    if (raw && raw.siteId === policies.siteId && raw.policyVersion === policies.version) {
      return toKnown(policies, raw, asked, now);
    }
    // The cached policy is outdated, or the charger was moved to another site or removed: read again.
    known.forget(policies, asked.chargerId);
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
 * The group, and with it the override that applies, is known only from the result, so the query covers what any layer
 * needs.
 */
function queryOf(policies: SitePolicies, asked: Asked, now: Date): FactsQuery {
  const { chargerId, startsAt, except } = asked;
  const { idTag, parentIdTag, reservationId } = asked;
  const wants = {
    lastEnd: isSetAnywhere(policies, 'cooldownMinutes'),
    site: isSetAnywhere(policies, 'minFreeConnectors'),
  };
  const ago = (minutes: number) => addMs(now, -minutes * MINUTE_MS);
  // A hold longer than any layer allows is refused for its length, so the window read ends at the longest allowed one.
  const longest = addMs(startsAt, largestAnywhere(policies, 'maxDurationMinutes') * MINUTE_MS);
  const minutes = asked.durationMinutes ?? largestAnywhere(policies, 'defaultDurationMinutes');
  const wanted = asked.expiryDate ?? addMs(startsAt, minutes * MINUTE_MS);
  const until = wanted < longest ? wanted : longest;
  const aroundMs = largestAnywhere(policies, 'cooldownMinutes') * MINUTE_MS;
  return {
    chargerId,
    ...present({ idTag, parentIdTag, reservationId, except }),
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
  } as FactsQuery;
}

function toKnown(policies: SitePolicies, raw: HoldFacts, asked: Asked, now: Date): Known {
  const { sitePlaces, siteHolds, guards, isHolding = false, isClaimed = false, ...facts } = raw;
  const { chargerId, startsAt } = asked;
  const { group } = facts;
  const policy = resolvePolicy(policies, { chargerId, group });
  const minutes = asked.durationMinutes ?? policy.defaultDurationMinutes;
  const expiryDate = asked.expiryDate ?? addMs(startsAt, minutes * MINUTE_MS);
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
    guards: guardsOf(policies, raw, asked),
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
 * The guards of what the hold counts for: its charger, and idTag, group and site if any layer limits them. Of two
 * racing requests that share a guard, the second decides again.
 */
function guardsOf(policies: SitePolicies, { siteId, group, guards }: HoldFacts, { chargerId, idTag }: Asked): Guards {
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
