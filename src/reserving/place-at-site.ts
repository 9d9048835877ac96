// Finds connectors of a site that fit: free for the whole window, with the wanted plug, and, if it begins now, ready.
import { addMs, MINUTE_MS } from '../common/clock.ts';
import type { Caller } from '../model/access/caller.ts';
import { maySeeSite } from '../model/access/rights.ts';
import { type NotFoundRefusal, siteNotFound } from '../model/refusals/not-found.ts';
import type { Refusal } from '../model/refusals/refusal.ts';
import { freePlaces, hasPlug, isTaken, type Place } from '../model/reservation/occupancy.ts';
import type { Alternative } from '../model/reservation/reservation.ts';
import type { Window } from '../model/site/opening-hours.ts';
import { resolvePolicy } from '../model/site/policy.ts';
import type { ChargerOccupancy } from '../storage/reservations/occupancy.repository.ts';
import type { ReservingPorts } from './ports.ts';

export interface NoPlaceRefusal extends Refusal {
  readonly code: 'NO_CONNECTOR_FREE';
  readonly siteId: string;
}

interface Wanted {
  readonly startsAt: Date;
  readonly expiryDate?: Date;
  readonly durationMinutes?: number;
  readonly plugType?: string;
  readonly isBooking: boolean;
}

/**
 * The connectors that fit, best first; never empty. If neither an end nor a duration is given, the default duration of
 * the site counts, not that of a charger or a group.
 */
export async function placesAtSite(
  ports: ReservingPorts,
  caller: Caller,
  siteId: string,
  { startsAt, expiryDate, durationMinutes, plugType, isBooking }: Wanted,
): Promise<{ readonly places: readonly Alternative[]; readonly expiryDate: Date } | NoPlaceRefusal | NotFoundRefusal> {
  const policies = maySeeSite(caller, siteId) ? await ports.policies.ofSite(siteId) : undefined;
  if (!policies) return siteNotFound(siteId);
  const minutes = durationMinutes ?? resolvePolicy(policies).defaultDurationMinutes;
  const window = { from: startsAt, until: expiryDate ?? addMs(startsAt, minutes * MINUTE_MS) };
  const chargers = await ports.occupancy.of(siteId, window);
  if (!chargers.some(({ places }) => places.some((one) => hasPlug(one, plugType)))) {
    const what = plugType === undefined ? 'known connector' : `connector with the plug "${plugType}"`;
    return { code: 'CONNECTOR_NOT_FOUND', message: `Site "${siteId}" has no ${what}.` };
  }
  const open = chargers.filter(({ chargerId, isReservable }) => {
    const policy = resolvePolicy(policies, { chargerId });
    return policy.enabled && (isReservable || policy.serverSideHoldAllowed);
  });
  const places = rankPlaces(open, window, (place) => hasPlug(place, plugType), !isBooking);
  if (places.length > 0) return { places, expiryDate: window.until };
  const message = `No connector of site "${siteId}" that fits is free from ${window.from.toISOString()} until ${window.until.toISOString()}.`;
  return { code: 'NO_CONNECTOR_FREE', message, siteId };
}

/**
 * For now only connectors that are connected, in order and not in use, Available first; for later every connector that
 * is free in the window, connected chargers first.
 */
export function rankPlaces(
  chargers: readonly ChargerOccupancy[],
  window: Window,
  fits: (place: Place) => boolean,
  isNow: boolean,
): Alternative[] {
  const ranked = chargers.flatMap(({ chargerId, isConnected, places, holds }) => {
    if (isNow && !isConnected) return [];
    const free = freePlaces(places, holds, window).filter((one) => fits(one) && !(isNow && isTaken(one)));
    return free.map(({ connectorId, state }) => ({
      place: { chargerId, connectorId },
      rank: (isNow && state !== 'AVAILABLE' ? 2 : 0) + (isConnected ? 0 : 1),
    }));
  });
  return ranked.toSorted((a, b) => a.rank - b.rank).map(({ place }) => place);
}

/** Another connector of the site for the rest of a booking whose own connector is not available. */
export async function findAlternative(
  { occupancy, policies, clock }: ReservingPorts,
  booking: {
    readonly siteId: string;
    readonly chargerId: string;
    readonly connectorId: number;
    readonly plugType?: string;
    readonly holderGroup?: string;
    readonly expiryDate: Date;
  },
): Promise<Alternative | undefined> {
  const now = clock.now();
  const { siteId, chargerId, connectorId, plugType, holderGroup, expiryDate } = booking;
  if (expiryDate <= now) return undefined;
  const window = { from: now, until: expiryDate };
  const chargers = await occupancy.of(siteId, window);
  const own = chargers.find((one) => one.chargerId === chargerId)?.places;
  const plugs = own?.find((one) => one.connectorId === connectorId)?.plugTypes ?? [];
  const wanted = plugType === undefined ? plugs : [plugType];
  const fits = (place: Place) => wanted.length === 0 || wanted.some((plug) => hasPlug(place, plug));
  const known = await policies.ofSite(siteId);
  const open = chargers.filter(
    (one) =>
      one.isReservable && known && resolvePolicy(known, { chargerId: one.chargerId, group: holderGroup }).enabled,
  );
  const others = rankPlaces(open, window, fits, true);
  return others.find((one) => one.chargerId !== chargerId || (connectorId > 0 && one.connectorId !== connectorId));
}

/** Refusals that concern one connector or charger: another may accept. */
export const ofThePlace = new Set([
  'RESERVED',
  'CONNECTOR_NOT_FREE',
  'CHARGER_OFFLINE',
  'CHARGER_REFUSED',
  'NOT_SUPPORTED',
  // A charger may have its own policy, and its own limit for the length of an idTag.
  'POLICY',
  'ID_TAG_TOO_LONG',
]);
