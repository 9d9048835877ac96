// A reservation, its states, and what each happening makes of it. Pure; it must not know the database or the wire.
//
//   SCHEDULED   booked, nothing sent yet        -> PENDING (its start has come), CANCELLED, FAILED
//   PENDING     ReserveNow is on its way        -> ACCEPTED, REJECTED, UNKNOWN, FAILED, CANCELLING, REMOVED, USED;
//                                                  SCHEDULED (a booking whose charger is not ready yet)
//   UNKNOWN     sent, no answer                 -> ACCEPTED, REJECTED, CANCELLING, CANCELLED, FAILED, REMOVED, USED
//   ACCEPTED    the charger holds it            -> ACCEPTED (extended), UNKNOWN, CANCELLING, USED, EXPIRED, REMOVED
//   CANCELLING  CancelReservation is unanswered -> CANCELLED, USED, REMOVED
//   USED, CANCELLED, EXPIRED, REMOVED, REJECTED, FAILED are final, but for the audited correction: CANCELLED, EXPIRED,
//   REMOVED or FAILED become USED by a transaction that by its own timestamp began inside the hold.

import { present } from '../../common/present.ts';
import type { ConnectorState } from '../charger/connector.ts';
import type { TokenType } from '../charger/id-tag.ts';

export type HoldingStatus = 'PENDING' | 'UNKNOWN' | 'ACCEPTED' | 'CANCELLING';
/** Holds its connector: on the charger, or, booked for later, its window. */
export type LiveStatus = HoldingStatus | 'SCHEDULED';
export type FinalStatus = 'USED' | 'CANCELLED' | 'EXPIRED' | 'REMOVED' | 'REJECTED' | 'FAILED';
export type ReservationStatus = LiveStatus | FinalStatus;

export type RefusalReason = 'OCCUPIED' | 'FAULTED' | 'UNAVAILABLE' | 'REJECTED' | 'NOT_SUPPORTED';
export type CancelReason = 'DRIVER_REQUEST' | 'OPERATOR_REQUEST' | 'POLICY' | 'PREEMPTED' | 'MOVED';
export type RemovalReason = 'CHARGER_FAULTED' | 'CHARGER_UNAVAILABLE' | 'CHARGER_LOST' | 'NO_TRANSACTION';
/** Why a hold ends on a connector in that state. */
export const removalReason = (state: ConnectorState): RemovalReason =>
  state === 'FAULTED' ? 'CHARGER_FAULTED' : state === 'UNAVAILABLE' ? 'CHARGER_UNAVAILABLE' : 'CHARGER_LOST';
export type Reason = RefusalReason | CancelReason | RemovalReason | 'NO_SHOW' | 'TIMEOUT' | 'OFFLINE' | 'REPLACED';

/** Who keeps others away: the charger itself, or, where it cannot be reserved, this server's answers to it. */
export type Enforcement = 'CHARGER' | 'SERVER';

/** What a 2.x charger tells of a reservation that it ended. */
export type ReservationUpdate = 'EXPIRED' | 'REMOVED' | 'NO_TRANSACTION';

interface Facts {
  readonly id: string;
  /** The int32 on the wire; unique among the charger's live reservations, never a key of ours. */
  readonly reservationId: number;
  readonly siteId: string;
  readonly chargerId: string;
  /** 0: the charger chooses. */
  readonly connectorId: number;
  /** The charger chooses among the connectors with that plug. */
  readonly plugType?: string;
  /** Absent: the group alone may use it. */
  readonly idTag?: string;
  readonly tokenType: TokenType;
  readonly parentIdTag?: string;
  /** The group that it counts for, in lower case: parentIdTag, or else the holder's own. */
  readonly holderGroup?: string;
  /** Of the site's policy, as it allowed the reservation. */
  readonly policyVersion: number;
  readonly startsAt: Date;
  readonly expiryDate: Date;
  readonly createdAt: Date;
  /** The subject of the token that made it. */
  readonly createdBy: string;
  readonly version: number;
  /** When the charger first accepted it. */
  readonly acceptedAt?: Date;
  /** Made for later: it is activated at its start. */
  readonly isBooking: boolean;
  /** How often it was extended. */
  readonly extensions: number;
  /** The holder cancelled it so late that it counts. */
  readonly isLateCancel: boolean;
  /** It followed so soon on one that was left unused that it counts. */
  readonly isReReservation: boolean;
  /** The reservation that ends once this one holds. */
  readonly movedFrom?: string;
  /** Another idTag charged on the held connector although it was refused. */
  readonly isBreached: boolean;
  readonly enforcement: Enforcement;
  /** What the charger told of it after it had ended here. */
  readonly chargerSaid?: ReservationUpdate;
}

export interface Use {
  readonly transactionId: string;
  readonly usedConnectorId?: number;
}

export type Reservation = Facts &
  (
    | { readonly status: 'PENDING' | 'ACCEPTED' }
    /** The reason why it was not activated, though its start has come. */
    | { readonly status: 'SCHEDULED'; readonly reason?: Reason }
    | { readonly status: 'UNKNOWN'; readonly reason: 'TIMEOUT' | 'CHARGER_LOST' | 'REPLACED' }
    | { readonly status: 'CANCELLING'; readonly reason: CancelReason }
    | ({ readonly status: 'USED'; readonly endedAt: Date } & Use)
    | {
        readonly status: Exclude<FinalStatus, 'USED'>;
        readonly endedAt: Date;
        readonly reason: Reason;
        /** Of a booking that failed: a connector of the site that would have fitted then. */
        readonly alternative?: Alternative;
      }
  );

export interface Alternative {
  readonly chargerId: string;
  readonly connectorId: number;
}

/** What the charger accepted: it may be asked several times, and answer late. */
export interface Held {
  readonly reservationId: number;
  readonly expiryDate: Date;
}

export type Happening =
  /** Without `held`, its connector says so. */
  | { readonly type: 'accepted'; readonly held?: Held }
  | { readonly type: 'refused'; readonly reason: RefusalReason }
  | { readonly type: 'unanswered'; readonly reason: 'TIMEOUT' | 'CHARGER_LOST' }
  | { readonly type: 'unreachable' }
  /** The charger was asked again whether it holds the reservation, and did not answer. */
  | { readonly type: 'unverified'; readonly reason: 'TIMEOUT' | 'CHARGER_LOST' }
  /** The charger holds it until that date now. */
  | { readonly type: 'extended'; readonly expiryDate: Date }
  /** The charger let the old id go and will be asked to hold this one in its place. */
  | { readonly type: 'replaced'; readonly reservationId: number; readonly expiryDate: Date }
  | { readonly type: 'cancel-requested'; readonly reason: CancelReason; readonly isLate?: boolean }
  /** The start of a booking has come: the charger is being asked. */
  | { readonly type: 'activated' }
  /** The charger is not ready for the booking yet: it will be asked again. */
  | { readonly type: 'postponed'; readonly reason: Reason }
  | { readonly type: 'abandoned'; readonly reason: Reason; readonly alternative?: Alternative }
  /** The charger says that it holds the reservation no longer: it accepted the cancel, or knew of none. */
  | { readonly type: 'released'; readonly reason: CancelReason }
  | { readonly type: 'removed'; readonly reason: RemovalReason }
  | { readonly type: 'expired' }
  /** `startedAt` is the transaction's own timestamp: a late message of an early start still wins. */
  | ({ readonly type: 'used'; readonly startedAt: Date } & Use)
  | { readonly type: 'breached' };

export const holdingStatuses = ['PENDING', 'UNKNOWN', 'ACCEPTED', 'CANCELLING'] as const satisfies HoldingStatus[];
export const isHolding = (status: ReservationStatus): status is HoldingStatus =>
  (holdingStatuses as readonly string[]).includes(status);

export const liveStatuses = ['SCHEDULED', ...holdingStatuses] as const satisfies LiveStatus[];
export const isLive = (status: ReservationStatus): status is LiveStatus =>
  (liveStatuses as readonly string[]).includes(status);

/** What reaching the expiry date makes of each status that holds. A cancel that was on its way stays a cancel. */
export const atExpiry = {
  SCHEDULED: { status: 'FAILED', reason: 'TIMEOUT' },
  PENDING: { status: 'FAILED', reason: 'TIMEOUT' },
  UNKNOWN: { status: 'FAILED', reason: 'TIMEOUT' },
  ACCEPTED: { status: 'EXPIRED', reason: 'NO_SHOW' },
  CANCELLING: { status: 'CANCELLED', reason: undefined },
} as const;

/**
 * The reservation after the happening, with version + 1; `undefined` where the happening changes nothing in its
 * status (it came late, or twice). `at` becomes the end of a reservation that ends.
 */
export function apply(reservation: Reservation, happening: Happening, at: Date): Reservation | undefined {
  const { status } = reservation;
  switch (happening.type) {
    case 'accepted': {
      const isThis = !happening.held || isHeldAs(reservation, happening.held);
      if (status === 'ACCEPTED' && !isThis) return next(reservation, { status: 'UNKNOWN', reason: 'TIMEOUT' });
      const isOpen = status === 'PENDING' || status === 'UNKNOWN';
      return isOpen && isThis
        ? next({ ...reservation, acceptedAt: reservation.acceptedAt ?? at }, { status: 'ACCEPTED' })
        : undefined;
    }
    case 'refused':
      if (status !== 'PENDING' && status !== 'UNKNOWN') return undefined;
      return end(reservation, 'REJECTED', happening.reason, at);
    case 'unanswered':
      return status === 'PENDING' ? next(reservation, { status: 'UNKNOWN', reason: happening.reason }) : undefined;
    case 'unreachable':
      return status === 'PENDING' ? end(reservation, 'FAILED', 'OFFLINE', at) : undefined;
    case 'unverified':
      return status === 'ACCEPTED' ? next(reservation, { status: 'UNKNOWN', reason: happening.reason }) : undefined;
    case 'extended': {
      const { expiryDate } = happening;
      const isOpen = status === 'ACCEPTED' || status === 'UNKNOWN' || status === 'SCHEDULED';
      if (!isOpen || expiryDate <= reservation.expiryDate) return undefined;
      const longer = { ...reservation, expiryDate, extensions: reservation.extensions + 1 };
      return status === 'SCHEDULED'
        ? next(longer, { status })
        : next({ ...longer, acceptedAt: reservation.acceptedAt ?? at }, { status: 'ACCEPTED' });
    }
    case 'replaced': {
      if (status !== 'ACCEPTED') return undefined;
      const { reservationId, expiryDate } = happening;
      const extensions = reservation.extensions + 1;
      return next({ ...reservation, reservationId, expiryDate, extensions }, { status: 'UNKNOWN', reason: 'REPLACED' });
    }
    case 'cancel-requested': {
      if (!isLive(status) || status === 'CANCELLING') return undefined;
      const marked = { ...reservation, isLateCancel: happening.isLate ?? false };
      // The charger knows nothing of a booking.
      if (status === 'SCHEDULED') return end(marked, 'CANCELLED', happening.reason, at);
      return next(marked, { status: 'CANCELLING', reason: happening.reason });
    }
    case 'activated':
      return status === 'SCHEDULED' ? next(reservation, { status: 'PENDING' }) : undefined;
    case 'postponed':
      return status === 'PENDING' || status === 'UNKNOWN'
        ? next(reservation, { status: 'SCHEDULED', reason: happening.reason })
        : undefined;
    case 'abandoned': {
      if (status !== 'SCHEDULED' && status !== 'PENDING' && status !== 'UNKNOWN') return undefined;
      const { reason, alternative } = happening;
      return next(reservation, { status: 'FAILED', reason, endedAt: at, ...present({ alternative }) });
    }
    case 'released':
      return isHolding(status) ? end(reservation, 'CANCELLED', happening.reason, at) : undefined;
    case 'removed':
      return isHolding(status) ? end(reservation, 'REMOVED', happening.reason, at) : undefined;
    case 'expired': {
      if (!isLive(status)) return undefined;
      const outcome = atExpiry[status];
      const reason = 'reason' in reservation && status === 'CANCELLING' ? reservation.reason : outcome.reason;
      return end(reservation, outcome.status, reason ?? 'NO_SHOW', at);
    }
    case 'used': {
      if (!isLive(status) && !mayBeCorrected(reservation, happening.startedAt)) return undefined;
      const { transactionId, usedConnectorId } = happening;
      return next(reservation, { status: 'USED', endedAt: at, transactionId, ...present({ usedConnectorId }) });
    }
    case 'breached':
      return status === 'ACCEPTED' && !reservation.isBreached
        ? { ...reservation, isBreached: true, version: reservation.version + 1 }
        : undefined;
    default:
      return happening satisfies never;
  }
}

/** What the charger accepted is what stands here. */
const isHeldAs = (reservation: Reservation, { reservationId, expiryDate }: Held): boolean =>
  reservation.reservationId === reservationId && reservation.expiryDate.getTime() === expiryDate.getTime();

/** The charger has never accepted it, as far as is known here. */
export const isFirstAsked = ({ acceptedAt }: Reservation): boolean => acceptedAt === undefined;

/** Domain rule 3: only a transaction whose own timestamp lies inside the hold may correct a final status. */
function mayBeCorrected(reservation: Reservation, startedAt: Date): boolean {
  if (!['CANCELLED', 'EXPIRED', 'REMOVED', 'FAILED'].includes(reservation.status) || !('endedAt' in reservation))
    return false;
  const end = Math.min(reservation.endedAt.getTime(), reservation.expiryDate.getTime());
  return startedAt >= reservation.startsAt && startedAt.getTime() < end;
}

type Condition<S = Reservation> = S extends Reservation ? Omit<S, keyof Facts> : never;
type Conditions = Partial<Record<'reason' | 'endedAt' | 'alternative' | keyof Use, unknown>>;

function next(reservation: Reservation, condition: Condition): Reservation {
  const { status, reason, endedAt, alternative, transactionId, usedConnectorId, ...facts } = reservation as Facts &
    Conditions & { status: ReservationStatus };
  return { ...facts, version: facts.version + 1, ...condition };
}

const end = (reservation: Reservation, status: Exclude<FinalStatus, 'USED'>, reason: Reason, at: Date): Reservation =>
  next(reservation, { status, reason, endedAt: at });
