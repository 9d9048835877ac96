// May this hold be made? Pure: the facts of charger, site and idTag against the request. The first obstacle refuses.
// It must not know where the facts come from, nor send anything.
import type { OcppVersion } from '../charger/charger.ts';
import { type ConnectorState, isInUse, isOutOfOrder } from '../charger/connector.ts';
import type { Refusal } from '../common/refusal.ts';
import { type IdTag, maxIdTagLength, statusOf } from '../id-tag/id-tag.ts';
import { checkPolicy, type PolicyRefusal, type ReservationPolicy } from '../site/policy.ts';
import type { Enforcement } from './reservation.ts';

export interface AdmissionFacts {
  readonly siteId: string;
  readonly policy: ReservationPolicy;
  readonly ocppVersion?: OcppVersion;
  readonly isConnected: boolean;
  readonly lastSeenAt?: Date;
  readonly supportsReservation?: boolean;
  readonly supportsConnectorZero?: boolean;
  /** Empty until the charger has reported its connectors. */
  readonly connectors: readonly { readonly connectorId: number; readonly state: ConnectorState }[];
  readonly holds: readonly {
    readonly connectorId: number;
    readonly expiryDate: Date;
  }[];
  /** The one that was asked for: a live reservation has it, or one that the charger has still to let go. */
  readonly isReservationIdInUse: boolean;
  readonly idTag: IdTag | undefined;
  /** Changes with every hold made on the charger. */
  readonly holdVersion: number;
}

export interface HoldRequest {
  readonly chargerId: string;
  readonly connectorId: number;
  readonly idTag: string;
  readonly parentIdTag?: string;
  readonly startsAt: Date;
  readonly expiryDate: Date;
  readonly reservationId?: number;
}

export interface NotFoundRefusal extends Refusal {
  readonly code: 'CHARGER_NOT_FOUND' | 'CONNECTOR_NOT_FOUND' | 'RESERVATION_NOT_FOUND';
}
export interface IdTagRefusal extends Refusal {
  readonly code: 'ID_TAG_INVALID' | 'ID_TAG_BLOCKED' | 'ID_TAG_EXPIRED' | 'ID_TAG_TOO_LONG' | 'NOT_YOUR_ID_TAG';
  readonly idTag: string;
}
export interface TakenRefusal extends Refusal {
  readonly code: 'RESERVED';
  readonly chargerId: string;
  readonly connectorId: number;
  readonly reservedUntil: Date;
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

export const chargerNotFound = (chargerId: string): NotFoundRefusal => ({
  code: 'CHARGER_NOT_FOUND',
  message: `There is no charger "${chargerId}".`,
});

export function admit(facts: AdmissionFacts, request: HoldRequest): AdmissionRefusal | undefined {
  const { chargerId, connectorId, reservationId, startsAt, expiryDate } = request;
  const connectorIds = facts.connectors.map((one) => one.connectorId);
  if (connectorId > 0 && connectorIds.length > 0 && !connectorIds.includes(connectorId)) {
    const known = connectorIds.toSorted((a, b) => a - b).join(', ');
    const message = `Charger "${chargerId}" has no connector ${connectorId}; it has ${known}.`;
    return { code: 'CONNECTOR_NOT_FOUND', message };
  }
  return (
    refuseIdTag(facts, request) ??
    checkPolicy(facts.policy, startsAt, expiryDate) ??
    refuseUnsupported(facts, request) ??
    refuseTaken(facts, chargerId, connectorId) ??
    (facts.isReservationIdInUse && reservationId !== undefined
      ? reservationIdInUse(chargerId, reservationId)
      : undefined) ??
    (facts.isConnected ? undefined : offline(facts, chargerId)) ??
    (facts.policy.precheckStatus ? refuseNotFree(facts, request) : undefined)
  );
}

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

function refuseIdTag(facts: AdmissionFacts, { idTag, parentIdTag, startsAt }: HoldRequest): IdTagRefusal | undefined {
  const status = statusOf(facts.idTag, startsAt);
  if (status === 'INVALID') {
    return { code: 'ID_TAG_INVALID', message: `The idTag "${idTag}" is not known here.`, idTag };
  }
  if (status !== 'ACCEPTED') {
    return { code: `ID_TAG_${status}`, message: `The idTag "${idTag}" is ${status.toLowerCase()}.`, idTag };
  }
  const limit = maxIdTagLength(facts.ocppVersion);
  const tooLong = [idTag, parentIdTag].find((tag) => tag !== undefined && tag.length > limit);
  if (tooLong === undefined) return undefined;
  const message = `"${tooLong}" has ${tooLong.length} characters; this charger takes ${limit}.`;
  return { code: 'ID_TAG_TOO_LONG', message, idTag };
}

function refuseUnsupported(facts: AdmissionFacts, request: HoldRequest): NotSupportedRefusal | undefined {
  const { chargerId, connectorId } = request;
  if (enforcementOf(facts) === 'SERVER') return undefined;
  if (facts.supportsReservation === false) {
    return { code: 'NOT_SUPPORTED', message: `Charger "${chargerId}" cannot be reserved.`, chargerId };
  }
  if (connectorId > 0 || facts.supportsConnectorZero !== false) return undefined;
  const message = `Charger "${chargerId}" cannot choose the connector itself; name one.`;
  return { code: 'CONNECTOR_ZERO_NOT_SUPPORTED', message, chargerId };
}

/** A charger that cannot be reserved is held by this server where the policy allows it. */
export const enforcementOf = ({ supportsReservation, policy }: AdmissionFacts): Enforcement =>
  supportsReservation === false && policy.serverSideHoldAllowed ? 'SERVER' : 'CHARGER';

/** By what the charger last said of its connectors; for connector 0, of all of them. */
function refuseNotFree({ connectors }: AdmissionFacts, request: HoldRequest): NotFreeRefusal | undefined {
  const { chargerId, connectorId } = request;
  const wanted = connectors.filter((one) => connectorId === 0 || one.connectorId === connectorId);
  const [taken] = wanted;
  if (!taken || wanted.some(({ state }) => !isInUse(state) && !isOutOfOrder(state))) return undefined;
  const what = connectorId > 0 ? `Connector ${connectorId}` : 'Every connector';
  const message = `${what} of charger "${chargerId}" is in use or out of order.`;
  return { code: 'CONNECTOR_NOT_FREE', message, chargerId, connectorId, state: taken.state };
}

/** Holds that name a connector and holds that do not never exceed the connectors together. */
function refuseTaken(facts: AdmissionFacts, chargerId: string, connectorId: number): TakenRefusal | undefined {
  const { holds, connectors } = facts;
  const here = holds.find((hold) => connectorId > 0 && hold.connectorId === connectorId);
  const isFull = connectors.length > 0 && holds.length >= connectors.length;
  if (!here && !isFull) return undefined;
  const soonest = new Date(Math.min(...holds.map((hold) => hold.expiryDate.getTime())));
  return taken(chargerId, connectorId, here?.expiryDate ?? soonest);
}

export function taken(chargerId: string, connectorId: number, reservedUntil: Date): TakenRefusal {
  const what = connectorId > 0 ? `Connector ${connectorId} of charger "${chargerId}"` : `Charger "${chargerId}"`;
  const message = `${what} is reserved until ${reservedUntil.toISOString()}.`;
  return { code: 'RESERVED', message, chargerId, connectorId, reservedUntil };
}
