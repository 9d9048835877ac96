// Decides whether a site's policy allows a reservation, an extension or a cancel. Pure: from the policy, the facts, the
// request and the time it gives every reason against, in the order of the rules; no reason means it is allowed. A value
// exactly at its limit is allowed; only the limits of strikes block once they are reached. This file must not know
// where the facts come from.
import { addMs, MINUTE_MS } from '../../common/clock.ts';
import type { Refusal } from '../refusals/refusal.ts';
import { firstOpen, localDay, openWindows, type Window } from './opening-hours.ts';
import type { ReservationPolicy } from './policy.ts';
import { blockedUntil, type Strike, type StrikeKind } from './strikes.ts';

export type PolicyRule =
  | 'ENABLED'
  | 'ALLOWED_GROUPS'
  | 'MIN_DURATION'
  | 'MAX_DURATION'
  | 'MAX_LEAD_TIME'
  | 'OPENING_HOURS'
  | 'CONNECTOR_ZERO_ALLOWED'
  | 'MAX_ACTIVE_PER_ID_TAG'
  | 'MAX_ACTIVE_PER_GROUP'
  | 'MAX_PER_DAY_PER_ID_TAG'
  | 'COOLDOWN'
  | 'OVERLAPPING_ALLOWED'
  | 'MIN_FREE_CONNECTORS'
  | 'NO_SHOW_LIMIT'
  | 'NO_SHOW_LIMIT_PER_GROUP'
  | 'LATE_CANCEL_LIMIT'
  | 'LATE_CANCEL_LIMIT_PER_GROUP'
  | 'RE_RESERVATION_LIMIT'
  | 'RE_RESERVATION_LIMIT_PER_GROUP'
  | 'EXTENSION_ALLOWED'
  | 'MAX_EXTENSIONS'
  | 'CHANGE_UNTIL'
  | 'CANCEL_UNTIL';

export interface PolicyReason {
  readonly rule: PolicyRule;
  readonly message: string;
  readonly limitMinutes?: number;
  readonly limitCount?: number;
  /** When the rule would allow the request, as far as is known now; absent: no such time is known. */
  readonly allowedFrom?: Date;
}

export interface PolicyRefusal extends Refusal {
  readonly code: 'POLICY';
  readonly reasons: readonly PolicyReason[];
}

export function policyRefusal(reasons: readonly PolicyReason[]): PolicyRefusal | undefined {
  if (reasons.length === 0) return undefined;
  return { code: 'POLICY', message: reasons.map(({ message }) => message).join(' '), reasons };
}

export interface PolicyRequest {
  readonly startsAt: Date;
  readonly expiryDate: Date;
  /** 0: the charger chooses. */
  readonly connectorId: number;
  readonly idTag?: string;
}

export interface PolicyFacts {
  /** The parentIdTag that the reservation is for, or else the holder's own, in lower case; absent: no group. */
  readonly group?: string;
  readonly timeZone: string;
  /**
   * Live reservations and bookings of the same idTag at the site that touch the request's window, widened by the
   * cooldown.
   */
  readonly ofIdTag: readonly Window[];
  /**
   * End times of all the idTag's live reservations at the site, near the request or not: latest first, cut off at the
   * largest limit of any layer.
   */
  readonly endsOfIdTag: readonly Date[];
  /** As `endsOfIdTag`, for the group. */
  readonly endsOfGroup: readonly Date[];
  /**
   * How many reservations of the idTag begin on the local day on which the request begins: ended ones count; rejected,
   * failed and moved ones do not.
   */
  readonly startingThatDay: number;
  /**
   * End time of the idTag's last reservation at the site that ended after its start: by a use, a cancel by the driver
   * or a no-show.
   */
  readonly lastEndedAt?: Date;
  /**
   * Fewest free connectors of the site at any instant of the window if the request is granted, and the end times
   * (ascending) of the holds at that instant.
   */
  readonly free?: { readonly count: number; readonly ends: readonly Date[] };
  /** Strikes that were not pardoned. */
  readonly strikesOfIdTag: readonly Strike[];
  readonly strikesOfGroup: readonly Strike[];
}

/** Every reason why the policy forbids this reservation or booking; empty: it is allowed. */
export function decide(
  policy: ReservationPolicy,
  facts: PolicyFacts,
  request: PolicyRequest,
  now: Date,
): readonly PolicyReason[] {
  const { startsAt } = request;
  return [
    policy.enabled ? undefined : { rule: 'ENABLED' as const, message: 'Reservations are not enabled here.' },
    allowedGroups(policy, facts),
    ...duration(policy, request),
    maxLeadTime(policy, startsAt, now),
    openingHours(policy, facts, request, { from: startsAt, until: request.expiryDate }),
    request.connectorId > 0 || policy.connectorZeroAllowed
      ? undefined
      : { rule: 'CONNECTOR_ZERO_ALLOWED' as const, message: 'Name a connector: the charger may not choose it here.' },
    maxActive('MAX_ACTIVE_PER_ID_TAG', 'idTag', policy.maxActivePerIdTag, request.idTag, facts.endsOfIdTag),
    maxActive('MAX_ACTIVE_PER_GROUP', 'group', policy.maxActivePerGroup, facts.group, facts.endsOfGroup),
    maxPerDay(policy, facts, request),
    cooldown(policy, facts, request),
    overlapping(policy, facts, { from: startsAt, until: request.expiryDate }),
    minFreeConnectors(policy, facts),
    ...blocks(policy, facts, now),
  ].filter((reason) => reason !== undefined);
}

export interface HoldToChange {
  readonly startsAt: Date;
  readonly expiryDate: Date;
  readonly extensions: number;
}

/**
 * Every reason why the policy forbids extending the reservation to `until`. `facts` leave the reservation itself out.
 * The time checks concern only what is added; the duration is checked as a whole.
 */
export function decideExtension(
  policy: ReservationPolicy,
  facts: Pick<PolicyFacts, 'timeZone' | 'ofIdTag' | 'free'>,
  hold: HoldToChange,
  until: Date,
  now: Date,
): readonly PolicyReason[] {
  const { maxExtensions } = policy;
  const added = { from: hold.expiryDate, until };
  return [
    policy.enabled ? undefined : { rule: 'ENABLED' as const, message: 'Reservations are not enabled here.' },
    policy.extensionAllowed
      ? undefined
      : { rule: 'EXTENSION_ALLOWED' as const, message: 'Reservations cannot be extended here.' },
    maxExtensions === null || hold.extensions < maxExtensions
      ? undefined
      : {
          rule: 'MAX_EXTENSIONS' as const,
          message: `A reservation can be extended ${times(maxExtensions)} at most.`,
          limitCount: maxExtensions,
        },
    changeUntil(policy, hold, now),
    ...duration(policy, { startsAt: hold.startsAt, expiryDate: until }),
    openingHours(policy, facts, { startsAt: hold.startsAt, expiryDate: until }, added, { allowsLater: false }),
    overlapping(policy, facts, added),
    cooldownAfter(policy, facts, until),
    minFreeConnectors(policy, facts),
  ].filter((reason) => reason !== undefined);
}

/**
 * Why the hold may not be changed now: changes end `changeUntilMinutes` before a booking begins, or before a hold that
 * has begun ends.
 */
export function changeUntil(policy: ReservationPolicy, hold: HoldToChange, now: Date): PolicyReason | undefined {
  const { changeUntilMinutes: limit } = policy;
  if (limit === null) return undefined;
  const edge = hold.startsAt > now ? hold.startsAt : hold.expiryDate;
  if (now <= addMs(edge, -limit * MINUTE_MS)) return undefined;
  const message = `A reservation can be changed until ${limit} minutes before it begins, or, once begun, before it ends.`;
  return { rule: 'CHANGE_UNTIL', message, limitMinutes: limit };
}

/**
 * Why the holder may not cancel; empty: it may. A reservation made for now, not as a booking, can always be cancelled.
 */
export function decideCancel(
  policy: ReservationPolicy,
  booking: { readonly startsAt: Date; readonly isBooking: boolean },
  now: Date,
): readonly PolicyReason[] {
  const { cancelUntilMinutes: limit } = policy;
  const { startsAt, isBooking } = booking;
  if (limit === null || !isBooking || now <= addMs(startsAt, -limit * MINUTE_MS)) return [];
  const message = `A booking can be cancelled until ${limit} minutes before it begins.`;
  return [{ rule: 'CANCEL_UNTIL', message, limitMinutes: limit }];
}

/**
 * Whether a cancel counts against the holder: it comes less than `lateCancelMinutes` before a booking begins, or more
 * than `lateCancelMinutes` after the start of a reservation made for now, which has kept others away that long.
 */
export function isLateCancel(
  { lateCancelMinutes: limit }: ReservationPolicy,
  { startsAt, isBooking }: { readonly startsAt: Date; readonly isBooking: boolean },
  now: Date,
): boolean {
  if (limit === null) return false;
  return isBooking ? now > addMs(startsAt, -limit * MINUTE_MS) : now > addMs(startsAt, limit * MINUTE_MS);
}

/**
 * Whether a reservation made at `now` follows within `reReservationMinutes` on an unused one of the same idTag on the
 * same charger, which ended at `lastUnusedEnd`.
 */
export function isReReservation(
  { reReservationMinutes: limit }: ReservationPolicy,
  lastUnusedEnd: Date | undefined,
  now: Date,
): boolean {
  return limit !== null && lastUnusedEnd !== undefined && now <= addMs(lastUnusedEnd, limit * MINUTE_MS);
}

function allowedGroups({ allowedGroups }: ReservationPolicy, { group }: PolicyFacts): PolicyReason | undefined {
  const isAllowed = allowedGroups?.some((one) => one.toLowerCase() === group?.toLowerCase()) ?? true;
  if (isAllowed) return undefined;
  return {
    rule: 'ALLOWED_GROUPS',
    message: 'Only certain groups (parentIdTag) may reserve here, and this request is for none of them.',
  };
}

function duration(
  policy: ReservationPolicy,
  { startsAt, expiryDate }: Pick<PolicyRequest, 'startsAt' | 'expiryDate'>,
): PolicyReason[] {
  const { minDurationMinutes: min, maxDurationMinutes: max } = policy;
  const minutes = (expiryDate.getTime() - startsAt.getTime()) / MINUTE_MS;
  const reasons: PolicyReason[] = [];
  if (minutes < min)
    reasons.push({ rule: 'MIN_DURATION', message: `A reservation lasts at least ${min} minutes.`, limitMinutes: min });
  if (minutes > max)
    reasons.push({ rule: 'MAX_DURATION', message: `A reservation lasts at most ${max} minutes.`, limitMinutes: max });
  return reasons;
}

function maxLeadTime({ maxLeadTimeMinutes: limit }: ReservationPolicy, startsAt: Date, now: Date) {
  if (limit === null || startsAt <= addMs(now, limit * MINUTE_MS)) return undefined;
  const allowedFrom = addMs(startsAt, -limit * MINUTE_MS);
  const message = `A reservation may begin at most ${limit} minutes ahead.`;
  return { rule: 'MAX_LEAD_TIME' as const, message, limitMinutes: limit, allowedFrom };
}

function openingHours(
  policy: ReservationPolicy,
  { timeZone }: Pick<PolicyFacts, 'timeZone'>,
  whole: Pick<PolicyRequest, 'startsAt' | 'expiryDate'>,
  window: Window,
  { allowsLater = true } = {},
): PolicyReason | undefined {
  const { openingHours: hours } = policy;
  // A reservation over the maximum duration is refused for that alone: it may span centuries, too many days to check
  // against the calendar.
  if (hours === null || duration(policy, whole).some(({ rule }) => rule === 'MAX_DURATION')) return undefined;
  const isOpen = openWindows(hours, timeZone, window).some(
    ({ from, until }) => from <= window.from && until >= window.until,
  );
  if (isOpen) return undefined;
  const allowedFrom = allowsLater ? firstOpen(hours, timeZone, window) : undefined;
  const message = `The whole reservation must lie within the opening hours (${timeZone}).`;
  return { rule: 'OPENING_HOURS', message, ...(allowedFrom && { allowedFrom }) };
}

function maxActive(
  rule: 'MAX_ACTIVE_PER_ID_TAG' | 'MAX_ACTIVE_PER_GROUP',
  what: string,
  limit: number | null,
  who: string | undefined,
  ends: readonly Date[],
): PolicyReason | undefined {
  if (limit === null || who === undefined || ends.length < limit) return undefined;
  // `ends` has the latest first: once ends[limit - 1] has passed, only limit - 1 reservations are left.
  const allowedFrom = ends[limit - 1];
  const message = `One ${what} may have at most ${limit} live reservations here.`;
  return { rule, message, limitCount: limit, ...(allowedFrom && { allowedFrom }) };
}

function maxPerDay(
  { maxPerDayPerIdTag: limit }: ReservationPolicy,
  { startingThatDay, timeZone }: PolicyFacts,
  { startsAt, idTag }: PolicyRequest,
): PolicyReason | undefined {
  if (limit === null || idTag === undefined || startingThatDay < limit) return undefined;
  const message = `At most ${limit} reservations of one idTag may begin on one day here.`;
  const allowedFrom = localDay(startsAt, timeZone).until;
  return { rule: 'MAX_PER_DAY_PER_ID_TAG', message, limitCount: limit, ...(limit > 0 && { allowedFrom }) };
}

/**
 * The cooldown lies between the end of one reservation and the start of the next, in whichever order the two were made.
 */
function cooldown(
  { cooldownMinutes: limit }: ReservationPolicy,
  { ofIdTag, lastEndedAt }: PolicyFacts,
  { startsAt, expiryDate, idTag }: PolicyRequest,
): PolicyReason | undefined {
  if (limit === 0 || idTag === undefined) return undefined;
  const pauseMs = limit * MINUTE_MS;
  const tooNear = ofIdTag.filter(
    ({ from, until }) =>
      (until <= startsAt && startsAt < addMs(until, pauseMs)) ||
      (from >= expiryDate && from < addMs(expiryDate, pauseMs)),
  );
  const ends = tooNear.map(({ until }) => until);
  if (lastEndedAt && startsAt < addMs(lastEndedAt, pauseMs)) ends.push(lastEndedAt);
  if (ends.length === 0) return undefined;
  const allowedFrom = addMs(new Date(Math.max(...ends.map((end) => end.getTime()))), pauseMs);
  const message = `At least ${limit} minutes must pass between two reservations of one idTag.`;
  return { rule: 'COOLDOWN', message, limitMinutes: limit, allowedFrom };
}

/** An extension must leave the cooldown before the idTag's next reservation. */
function cooldownAfter(
  { cooldownMinutes: limit }: ReservationPolicy,
  { ofIdTag }: Pick<PolicyFacts, 'ofIdTag'>,
  until: Date,
): PolicyReason | undefined {
  if (!ofIdTag.some(({ from }) => from >= until && from < addMs(until, limit * MINUTE_MS))) return undefined;
  const message = `At least ${limit} minutes must pass between two reservations of one idTag, and its next reservation begins too soon.`;
  return { rule: 'COOLDOWN', message, limitMinutes: limit };
}

function overlapping(
  { overlappingAllowed }: ReservationPolicy,
  { ofIdTag }: Pick<PolicyFacts, 'ofIdTag'>,
  window: Window,
): PolicyReason | undefined {
  if (overlappingAllowed) return undefined;
  const others = ofIdTag.filter(({ from, until }) => from < window.until && window.from < until);
  if (others.length === 0) return undefined;
  const allowedFrom = new Date(Math.max(...others.map(({ until }) => until.getTime())));
  const message = 'One idTag may have only one reservation at a time here.';
  return { rule: 'OVERLAPPING_ALLOWED', message, allowedFrom };
}

function minFreeConnectors(
  { minFreeConnectors: limit }: ReservationPolicy,
  { free }: Pick<PolicyFacts, 'free'>,
): PolicyReason | undefined {
  if (limit === 0 || !free || free.count >= limit) return undefined;
  const message = `${limit} connectors of the site must stay free for drivers without a reservation.`;
  const allowedFrom = free.ends[limit - free.count - 1];
  return { rule: 'MIN_FREE_CONNECTORS', message, limitCount: limit, ...(allowedFrom && { allowedFrom }) };
}

/** The latest `allowedFrom` of the reasons; undefined: none has one. */
export const latestOf = (reasons: readonly PolicyReason[]): Date | undefined =>
  reasons.flatMap(({ allowedFrom }) => allowedFrom ?? []).toSorted((a, b) => b.getTime() - a.getTime())[0];

/** The blocks in force at `now` against the idTag and its group. */
export function blocks(
  policy: ReservationPolicy,
  { strikesOfIdTag, strikesOfGroup }: Pick<PolicyFacts, 'strikesOfIdTag' | 'strikesOfGroup'>,
  now: Date,
): PolicyReason[] {
  const spans = {
    windowMs: policy.abuseWindowMinutes * MINUTE_MS,
    blockMs: policy.blockMinutes * MINUTE_MS,
  };
  const check = (
    rule: PolicyRule,
    kind: StrikeKind,
    limit: number | null,
    strikes: readonly Strike[],
    what: string,
  ): PolicyReason | undefined => {
    const when = strikes.filter((strike) => strike.kind === kind).map(({ at }) => at);
    const allowedFrom = limit === null ? undefined : blockedUntil(when, { limit, ...spans }, now);
    if (limit === null || !allowedFrom) return undefined;
    const message = `Blocked until ${allowedFrom.toISOString()}: ${what} ${times(limit)} within ${policy.abuseWindowMinutes} minutes.`;
    return { rule, message, limitCount: limit, allowedFrom };
  };
  return [
    check('NO_SHOW_LIMIT', 'NO_SHOW', policy.noShowLimit, strikesOfIdTag, 'the idTag was a no-show'),
    check('LATE_CANCEL_LIMIT', 'LATE_CANCEL', policy.lateCancelLimit, strikesOfIdTag, 'the idTag cancelled late'),
    check(
      'RE_RESERVATION_LIMIT',
      'RE_RESERVATION',
      policy.reReservationLimit,
      strikesOfIdTag,
      'the idTag reserved again soon after leaving a reservation unused',
    ),
    check('NO_SHOW_LIMIT_PER_GROUP', 'NO_SHOW', policy.noShowLimitPerGroup, strikesOfGroup, 'the group was a no-show'),
    check(
      'LATE_CANCEL_LIMIT_PER_GROUP',
      'LATE_CANCEL',
      policy.lateCancelLimitPerGroup,
      strikesOfGroup,
      'the group cancelled late',
    ),
    check(
      'RE_RESERVATION_LIMIT_PER_GROUP',
      'RE_RESERVATION',
      policy.reReservationLimitPerGroup,
      strikesOfGroup,
      'the group reserved again soon after leaving a reservation unused',
    ),
  ].filter((reason) => reason !== undefined);
}

const times = (count: number): string => (count === 1 ? 'once' : `${count} times`);
