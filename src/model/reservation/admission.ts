// Decides whether a hold or a booking may be made, from the facts of charger, site and idTag. Pure: it must not know
// where the facts come from, nor send anything.
import type { OcppVersion } from '../charger/charger.ts';
import { type ConnectorState, standardPlugType } from '../charger/connector.ts';
import { type IdTag, maxIdTagLength, statusOf } from '../charger/id-tag.ts';
import type { NotFoundRefusal } from '../refusals/not-found.ts';
import type { Refusal } from '../refusals/refusal.ts';
import { decide, type PolicyFacts, type PolicyRefusal, policyRefusal } from '../site/decide.ts';
import type { ReservationPolicy } from '../site/policy.ts';
import { conflictOf, freePlaces, type Held, hasPlug, isTaken, type Place } from './occupancy.ts';
import type { Actor, Enforcement, LiveStatus, Reservation } from './reservation.ts';

/** Another live hold or booking on the charger, with what is needed to find conflicts. */
export interface OtherHold extends Held {
  readonly id: string;
  readonly status: LiveStatus;
  readonly group?: string;
}

export interface AdmissionFacts extends PolicyFacts {
  readonly siteId: string;
  /** The policy that applies to this charger and group, and the version of the site's policy it was taken from. */
  readonly policy: ReservationPolicy;
  readonly policyVersion: number;
  readonly ocppVersion?: OcppVersion;
  readonly isConnected: boolean;
  readonly lastSeenAt?: Date;
  readonly supportsReservation?: boolean;
  readonly supportsConnectorZero?: boolean;
  /** Empty until the charger has reported its connectors. */
  readonly connectors: readonly Place[];
  /** Holds and bookings on the charger that touch the window. */
  readonly holds: readonly OtherHold[];
  /**
   * Whether the requested reservationId belongs to a live reservation, or to an ended one whose release is still owed.
   */
  readonly isReservationIdInUse: boolean;
  readonly idTag: IdTag | undefined;
  /** The priority of the hold's group, and whether the requesting group, of higher priority, may pre-empt the hold. */
  readonly priorityOf: (hold: OtherHold) => number;
  readonly isPreemptible: (hold: OtherHold) => boolean;
  /** When the idTag's last unused reservation on this charger ended. */
  readonly lastUnusedEnd?: Date;
}

/** The wanted hold, for whom and when. Without expiryDate and durationMinutes the policy's default duration applies. */
export interface HoldWish {
  readonly chargerId: string;
  readonly connectorId: number;
  /** Any connector with that plug. */
  readonly plugType?: string;
  readonly idTag?: string;
  readonly parentIdTag?: string;
  readonly startsAt: Date;
  readonly expiryDate?: Date;
  readonly durationMinutes?: number;
  readonly reservationId?: number;
  /**
   * True for a later start: stored as SCHEDULED and activated at its start, however soon that is. The charger need not
   * be connected, nor the connector free, yet.
   */
  readonly isBooking: boolean;
  readonly idempotencyKey?: string;
  readonly requestDigest?: string;
  /** The reservation that is being changed, or moved from: it counts for no limit. */
  readonly except?: string;
  /** The reservation that ends once this one holds. */
  readonly movedFrom?: Reservation;
  /** Pre-empts holds of lower priority, if the policy allows it. */
  readonly preempt?: boolean;
  /** Default: the caller's role. */
  readonly actor?: Actor;
}

/** A wish whose end is known: given, or by the policy's default duration. */
export type DatedWish = HoldWish & { readonly expiryDate: Date };

export interface IdTagRefusal extends Refusal {
  readonly code: 'ID_TAG_INVALID' | 'ID_TAG_BLOCKED' | 'ID_TAG_EXPIRED' | 'ID_TAG_TOO_LONG' | 'NOT_YOUR_ID_TAG';
  readonly idTag: string;
}
export interface TakenRefusal extends Refusal {
  readonly code: 'RESERVED';
  readonly chargerId: string;
  readonly connectorId: number;
  readonly reservedFrom: Date;
  readonly reservedUntil: Date;
  /** Whether the caller's group may pre-empt the holds in the way (`preempt`). */
  readonly mayPreempt: boolean;
}
export interface NotFreeRefusal extends Refusal {
  readonly code: 'CONNECTOR_NOT_FREE';
  readonly chargerId: string;
  readonly connectorId: number;
  readonly state: ConnectorState;
}
export interface OfflineRefusal extends Refusal {
  readonly code: 'CHARGER_OFFLINE';
  readonly chargerId: string;
  readonly lastSeenAt?: Date;
}
export interface NotSupportedRefusal extends Refusal {
  readonly code: 'NOT_SUPPORTED' | 'CONNECTOR_ZERO_NOT_SUPPORTED';
  readonly chargerId: string;
}
export interface ReservationIdRefusal extends Refusal {
  readonly code: 'RESERVATION_ID_IN_USE';
  readonly reservationId: number;
}
export type AdmissionRefusal =
  | NotFoundRefusal
  | IdTagRefusal
  | TakenRefusal
  | NotFreeRefusal
  | OfflineRefusal
  | NotSupportedRefusal
  | ReservationIdRefusal
  | PolicyRefusal;

/** Returns the first refusal; a policy refusal lists every broken rule. */
export function admit(facts: AdmissionFacts, request: DatedWish, now: Date): AdmissionRefusal | undefined {
  const { chargerId, reservationId } = request;
  const isNow = !request.isBooking;
  return (
    refuseConnector(facts, request) ??
    refuseIdTag(facts, request) ??
    policyRefusal(decide(facts.policy, facts, request, now)) ??
    refuseUnsupported(facts, request) ??
    refuseTaken(facts, request) ??
    (facts.isReservationIdInUse && reservationId !== undefined
      ? reservationIdInUse(chargerId, reservationId)
      : undefined) ??
    (facts.isConnected || !isNow ? undefined : offline(facts, chargerId)) ??
    (facts.policy.precheckStatus && isNow ? refuseNotFree(facts, request) : undefined)
  );
}

function refuseConnector(
  { connectors }: AdmissionFacts,
  { chargerId, connectorId, plugType }: DatedWish,
): NotFoundRefusal | undefined {
  const ids = connectors.map((one) => one.connectorId);
  if (connectorId > 0 && ids.length > 0 && !ids.includes(connectorId)) {
    const known = ids.toSorted((a, b) => a - b).join(', ');
    const message = `Charger "${chargerId}" has no connector ${connectorId}; it has ${known}.`;
    return { code: 'CONNECTOR_NOT_FOUND', message };
  }
  if (plugType === undefined || connectors.some((one) => hasPlug(one, plugType))) return undefined;
  const known = [...new Set(connectors.flatMap(({ plugTypes }) => plugTypes))].toSorted().join(', ') || 'none known';
  return {
    code: 'CONNECTOR_NOT_FOUND',
    message: `Charger "${chargerId}" has no connector with the plug "${plugType}"; its plugs: ${known}.`,
  };
}

/**
 * Chooses a connector for a plugType, unless the charger can do so itself (OCPP 2.x, a standard plug, allowed by the
 * policy). Prefers connectors free for the whole window; for a hold that begins now, Available ones come first and
 * taken ones last.
 */
export function chooseConnector<Request extends DatedWish>(facts: AdmissionFacts, request: Request): Request {
  const { plugType, connectorId } = request;
  if (plugType === undefined || connectorId > 0 || mayChooseByPlug(facts, plugType)) return request;
  const fitting = facts.connectors.filter((one) => hasPlug(one, plugType));
  const window = { from: request.startsAt, until: request.expiryDate };
  const free = freePlaces(facts.connectors, facts.holds, window).filter((one) => hasPlug(one, plugType));
  const isNow = !request.isBooking;
  const rank = (one: Place) => (isNow && isTaken(one) ? 2 : isNow && one.state !== 'AVAILABLE' ? 1 : 0);
  const [best = fitting[0]] = free.toSorted((a, b) => rank(a) - rank(b) || a.connectorId - b.connectorId);
  const { plugType: _, ...rest } = request;
  return best ? ({ ...rest, connectorId: best.connectorId } as Request) : request;
}

const mayChooseByPlug = (
  { ocppVersion, supportsConnectorZero, supportsReservation, policy }: AdmissionFacts,
  plugType: string,
): boolean =>
  policy.connectorZeroAllowed &&
  (ocppVersion === '2.0.1' || ocppVersion === '2.1') &&
  supportsConnectorZero !== false &&
  supportsReservation !== false &&
  standardPlugType(plugType) !== undefined;

export const reservationIdInUse = (chargerId: string, reservationId: number): ReservationIdRefusal => ({
  code: 'RESERVATION_ID_IN_USE',
  message: `Charger "${chargerId}" has a live reservation with reservationId ${reservationId}; choose another, or leave it out.`,
  reservationId,
});

function offline(facts: AdmissionFacts, chargerId: string): OfflineRefusal {
  const { lastSeenAt } = facts;
  const message = `Charger "${chargerId}" is not connected; nothing was reserved.`;
  return { code: 'CHARGER_OFFLINE', message, chargerId, ...(lastSeenAt && { lastSeenAt }) };
}

function refuseIdTag(facts: AdmissionFacts, { idTag, parentIdTag, startsAt }: DatedWish): IdTagRefusal | undefined {
  const status = idTag === undefined ? 'ACCEPTED' : statusOf(facts.idTag, startsAt);
  if (status === 'INVALID') {
    return {
      code: 'ID_TAG_INVALID',
      message: `The idTag "${idTag}" is not known here; an operator can save it (saveIdTag).`,
      idTag: idTag ?? '',
    };
  }
  if (status !== 'ACCEPTED') {
    return {
      code: `ID_TAG_${status}`,
      message: `The idTag "${idTag}" is ${status.toLowerCase()}.`,
      idTag: idTag ?? '',
    };
  }
  const limit = maxIdTagLength(facts.ocppVersion);
  const tooLong = [idTag, parentIdTag].find((tag) => tag !== undefined && tag.length > limit);
  if (tooLong === undefined) return undefined;
  const message = `"${tooLong}" has ${tooLong.length} characters; this charger takes at most ${limit}.`;
  return { code: 'ID_TAG_TOO_LONG', message, idTag: tooLong };
}

function refuseUnsupported(facts: AdmissionFacts, request: DatedWish): NotSupportedRefusal | undefined {
  const { chargerId, connectorId } = request;
  if (enforcementOf(facts) === 'SERVER') return undefined;
  if (facts.supportsReservation === false) {
    return { code: 'NOT_SUPPORTED', message: `Charger "${chargerId}" cannot be reserved.`, chargerId };
  }
  if (connectorId > 0 || facts.supportsConnectorZero !== false) return undefined;
  const message = `Charger "${chargerId}" cannot choose the connector itself; name one.`;
  return { code: 'CONNECTOR_ZERO_NOT_SUPPORTED', message, chargerId };
}

/** SERVER if the charger does not support reservations and the policy allows server-side holds. */
export const enforcementOf = ({ supportsReservation, policy }: AdmissionFacts): Enforcement =>
  supportsReservation === false && policy.serverSideHoldAllowed ? 'SERVER' : 'CHARGER';

/**
 * Refuses if the connector is in use or out of order by its last report; for connector 0, if every fitting connector
 * is.
 */
function refuseNotFree({ connectors }: AdmissionFacts, request: DatedWish): NotFreeRefusal | undefined {
  const { chargerId, connectorId, plugType } = request;
  const wanted = connectors.filter(
    (one) => (connectorId === 0 && hasPlug(one, plugType)) || one.connectorId === connectorId,
  );
  const [taken] = wanted;
  if (!taken || wanted.some((one) => !isTaken(one))) return undefined;
  const what = connectorId > 0 ? `Connector ${connectorId}` : 'Every connector';
  const message = `${what} of charger "${chargerId}" is in use or out of order.`;
  return { code: 'CONNECTOR_NOT_FREE', message, chargerId, connectorId, state: taken.state };
}

/**
 * Refuses if at any instant of the window a hold, with or without a connectorId, would find no connector of its own.
 */
function refuseTaken(facts: AdmissionFacts, request: DatedWish): TakenRefusal | undefined {
  const { chargerId, connectorId } = request;
  const inTheWay = conflictOf(facts.connectors, facts.holds, toHeld(request));
  if (!inTheWay) return undefined;
  const soonest = inTheWay.toSorted((a, b) => a.until.getTime() - b.until.getTime())[0] ?? toHeld(request);
  return taken(chargerId, connectorId, soonest, victimsOf(facts, request) !== undefined);
}

const toHeld = ({ connectorId, plugType, startsAt, expiryDate }: DatedWish): Held => ({
  connectorId,
  ...(plugType !== undefined && { plugType }),
  from: startsAt,
  until: expiryDate,
});

/**
 * The holds to pre-empt, chosen lowest priority first until the request fits; undefined if those that may be pre-empted
 * do not suffice.
 */
export function victimsOf(facts: AdmissionFacts, request: DatedWish): OtherHold[] | undefined {
  const wished = toHeld(request);
  const victims: OtherHold[] = [];
  for (;;) {
    const rest = facts.holds.filter((hold) => !victims.includes(hold));
    const inTheWay = conflictOf(facts.connectors, rest, wished) as OtherHold[] | undefined;
    if (!inTheWay) return victims;
    const [lowest] = inTheWay
      .filter((hold) => facts.isPreemptible(hold))
      .toSorted((a, b) => facts.priorityOf(a) - facts.priorityOf(b));
    if (!lowest) return undefined;
    victims.push(lowest);
  }
}

export function taken(
  chargerId: string,
  connectorId: number,
  { from, until }: { readonly from: Date; readonly until: Date },
  mayPreempt = false,
): TakenRefusal {
  const what = connectorId > 0 ? `Connector ${connectorId} of charger "${chargerId}"` : `Charger "${chargerId}"`;
  const message = `${what} is reserved from ${from.toISOString()} until ${until.toISOString()}.`;
  const place = { chargerId, connectorId, reservedFrom: from, reservedUntil: until };
  return { code: 'RESERVED', message, ...place, mayPreempt };
}
