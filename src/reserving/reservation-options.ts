// Reads what a caller may reserve at a charger or a site now, before it reserves. The facts and the decision are those
// of the request itself, so that both give the same answer.
import { addMs, MINUTE_MS } from '../common/clock.ts';
import type { Caller } from '../model/access/caller.ts';
import { maySeeSite } from '../model/access/rights.ts';
import { checkIdentifier, invalidInput } from '../model/refusals/input.ts';
import { chargerNotFound, siteNotFound } from '../model/refusals/not-found.ts';
import type { Refusal } from '../model/refusals/refusal.ts';
import { type AdmissionFacts, type AdmissionRefusal, admit } from '../model/reservation/admission.ts';
import { freeWindows, hasPlug } from '../model/reservation/occupancy.ts';
import { blocks, latestOf, type PolicyReason, type PolicyRefusal } from '../model/site/decide.ts';
import { type OpeningHours, openWindows, type Window } from '../model/site/opening-hours.ts';
import { largestAnywhere, type ReservationPolicy, resolvePolicy, type SitePolicies } from '../model/site/policy.ts';
import { readFacts } from './admission-facts.ts';
import { checkHolder } from './hold-input.ts';
import { rankPlaces } from './place-at-site.ts';
import type { ReservingPorts } from './ports.ts';

export interface OptionsInput {
  /** Exactly one of chargerId and siteId is given. */
  readonly chargerId?: string;
  readonly siteId?: string;
  readonly connectorId: number;
  readonly idTag: string;
}

export interface FreeWindow extends Window {
  readonly chargerId: string;
  readonly connectorId: number;
}

export interface ReservationOptions {
  /** Whether reserveNow, for the default duration, would be sent to the charger now. */
  readonly isAllowed: boolean;
  /** Every rule of the policy that forbids a reservation now. */
  readonly reasons: readonly PolicyReason[];
  /** The first obstacle, if it is not the policy. */
  readonly refusal?: Refusal;
  readonly policy: ReservationPolicy;
  readonly policyVersion: number;
  readonly minDurationMinutes: number;
  /** The longest duration from now that the policy, the opening hours and the next booking allow; absent: none. */
  readonly maxDurationMinutes?: number;
  readonly defaultDurationMinutes: number;
  /** The latest start of a booking; absent: no limit. */
  readonly latestStart?: Date;
  /** How many more live reservations are allowed, by the limits of idTag and group; absent: no limit. */
  readonly remainingActive?: number;
  readonly remainingToday?: number;
  readonly blockedUntil?: Date;
  /** Free times in the next day, or as far as the longest reservation of any layer may reach if that is later. */
  readonly freeWindows: readonly FreeWindow[];
}

const HORIZON_MINUTES = 24 * 60;

export async function reservationOptions(
  ports: ReservingPorts,
  caller: Caller,
  input: OptionsInput,
): Promise<ReservationOptions | Refusal> {
  const { chargerId, siteId, connectorId, idTag } = input;
  if ((chargerId === undefined) === (siteId === undefined))
    return invalidInput('chargerId', 'Give either chargerId or siteId.');
  if (connectorId < 0 || (siteId !== undefined && connectorId > 0))
    return invalidInput('connectorId', 'It must be 0 or more, and 0 if siteId is given.');
  const notYours = checkIdentifier('idTag', idTag) ?? checkHolder(caller, { connectorId, idTag });
  if (notYours) return notYours;
  const now = ports.clock.now();
  const policies =
    siteId === undefined ? await ports.policies.ofCharger(chargerId ?? '') : await ports.policies.ofSite(siteId);
  if (!policies || !maySeeSite(caller, policies.siteId))
    return siteId === undefined ? chargerNotFound(chargerId ?? '') : siteNotFound(siteId);

  // As far as the longest reservation of any layer may reach, but a day at least.
  const horizon = Math.max(HORIZON_MINUTES, largestAnywhere(policies, 'maxDurationMinutes'));
  const window = { from: now, until: addMs(now, horizon * MINUTE_MS) };
  const chargers = await ports.occupancy.of(policies.siteId, window, chargerId);
  // For a site, answers for the connector that the server would choose: one that is connected and ready now.
  const soon = { from: now, until: addMs(now, MINUTE_MS) };
  const reservable = chargers.filter(
    (one) => one.isReservable || resolvePolicy(policies, { chargerId: one.chargerId }).serverSideHoldAllowed,
  );
  const [best] = siteId === undefined ? [] : rankPlaces(reservable, soon, () => true, true);
  const place = best ?? { chargerId: chargerId ?? chargers[0]?.chargerId, connectorId };
  if (place.chargerId === undefined) return { code: 'CHARGER_NOT_FOUND', message: `Site "${siteId}" has no charger.` };
  const { connectorId: where = 0 } = place;
  const wish = { chargerId: place.chargerId, connectorId: where, idTag, startsAt: now, isBooking: false };
  const known = await readFacts(ports.holds, ports.policies, wish, now);
  if (!known || known.facts.siteId !== policies.siteId) return chargerNotFound(wish.chargerId);

  const { facts, expiryDate } = known;
  const open = openTimes(known.policies, window);
  const free = chargers.flatMap((one) =>
    freeWindows(one.places, one.holds, window)
      .filter((each) => connectorId === 0 || each.connectorId === connectorId)
      .flatMap(({ connectorId: id, windows }) =>
        windows
          .flatMap((each) => intersect(each, open({ chargerId: one.chargerId, group: facts.group })))
          .map((each) => ({ chargerId: one.chargerId, connectorId: id, ...each })),
      ),
  );
  const refusal = admit(facts, { ...wish, expiryDate }, now);
  return { ...describe(facts, refusal, free, now), freeWindows: free };
}

/** Gives the open times for a charger and a group; each list of opening hours is evaluated once. */
function openTimes(policies: SitePolicies, window: Window) {
  const known = new Map<readonly OpeningHours[], Window[]>();
  return (who: { readonly chargerId: string; readonly group?: string | undefined }): readonly Window[] => {
    const { openingHours } = resolvePolicy(policies, who);
    if (openingHours === null) return [window];
    const open = known.get(openingHours) ?? openWindows(openingHours, policies.timeZone, window);
    known.set(openingHours, open);
    return open;
  };
}

function describe(
  facts: AdmissionFacts,
  refusal: AdmissionRefusal | undefined,
  free: readonly FreeWindow[],
  now: Date,
): Omit<ReservationOptions, 'freeWindows'> {
  const { policy, policyVersion, endsOfIdTag, endsOfGroup, startingThatDay, group } = facts;
  const reasons = refusal?.code === 'POLICY' ? (refusal as PolicyRefusal).reasons : [];
  const untils = free.filter(({ from }) => from <= now).map(({ until }) => until.getTime());
  const longest = Math.min(policy.maxDurationMinutes, Math.floor((Math.max(0, ...untils) - now.getTime()) / MINUTE_MS));
  const quotas = [
    policy.maxActivePerIdTag === null ? undefined : policy.maxActivePerIdTag - endsOfIdTag.length,
    policy.maxActivePerGroup === null || group === undefined
      ? undefined
      : policy.maxActivePerGroup - endsOfGroup.length,
  ].filter((one) => one !== undefined);
  const blockedUntil = latestOf(blocks(policy, facts, now));
  return {
    isAllowed: refusal === undefined,
    reasons,
    ...(refusal && refusal.code !== 'POLICY' && { refusal }),
    policy,
    policyVersion,
    minDurationMinutes: policy.minDurationMinutes,
    ...(longest >= Math.max(1, policy.minDurationMinutes) && { maxDurationMinutes: longest }),
    defaultDurationMinutes: policy.defaultDurationMinutes,
    ...(policy.maxLeadTimeMinutes !== null && { latestStart: addMs(now, policy.maxLeadTimeMinutes * MINUTE_MS) }),
    ...(quotas.length > 0 && { remainingActive: Math.max(0, Math.min(...quotas)) }),
    ...(policy.maxPerDayPerIdTag !== null && {
      remainingToday: Math.max(0, policy.maxPerDayPerIdTag - startingThatDay),
    }),
    ...(blockedUntil && { blockedUntil }),
  };
}

export interface AvailabilityInput {
  readonly siteId: string;
  readonly from: Date;
  readonly to: Date;
  readonly plugType?: string;
}

export interface ConnectorAvailability {
  readonly chargerId: string;
  readonly connectorId: number;
  readonly plugTypes: readonly string[];
  readonly windows: readonly Window[];
}

const MAX_RANGE_DAYS = 366;

/** Free times for anybody: holds, bookings and opening hours count, the limits of the policy do not. */
export async function readAvailability(
  ports: ReservingPorts,
  caller: Caller,
  { siteId, from, to, plugType }: AvailabilityInput,
): Promise<readonly ConnectorAvailability[] | Refusal> {
  const { occupancy, policies } = ports;

  if (to <= from) return invalidInput('to', 'It must be later than from.');
  if (to.getTime() - from.getTime() > MAX_RANGE_DAYS * 24 * 60 * MINUTE_MS)
    return invalidInput('to', `It must be at most ${MAX_RANGE_DAYS} days after from.`);
  const known = maySeeSite(caller, siteId) ? await policies.ofSite(siteId) : undefined;
  if (!known) return siteNotFound(siteId);
  const window = { from, until: to };
  const chargers = await occupancy.of(siteId, window);
  const openTo = openTimes(known, window);
  return chargers.flatMap(({ chargerId, places, holds }) => {
    const open = openTo({ chargerId });
    const free = new Map(freeWindows(places, holds, window).map((one) => [one.connectorId, one.windows]));
    return places
      .filter((place) => hasPlug(place, plugType))
      .map(({ connectorId, plugTypes }) => {
        const windows = (free.get(connectorId) ?? []).flatMap((each) => intersect(each, open));
        return { chargerId, connectorId, plugTypes, windows };
      });
  });
}

const intersect = (window: Window, others: readonly Window[]): Window[] =>
  others.flatMap(({ from, until }) => {
    const part = { from: from > window.from ? from : window.from, until: until < window.until ? until : window.until };
    return part.from < part.until ? [part] : [];
  });
