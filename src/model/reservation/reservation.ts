// A reservation, its states, and what each happening makes of it. Pure: it must not know the database or the wire.
//
//   SCHEDULED: booked, nothing sent yet -> PENDING (its start has come), SCHEDULED (extended), CANCELLED, USED,
//                                                  FAILED
//   PENDING: ReserveNow is on its way -> ACCEPTED, REJECTED, UNKNOWN, FAILED, CANCELLING, CANCELLED, REMOVED,
//                                                  USED; SCHEDULED (a booking whose charger is not ready yet)
//   UNKNOWN: the charger may or may not hold it -> ACCEPTED, REJECTED, CANCELLING, CANCELLED, FAILED, REMOVED, USED;
//                                                  SCHEDULED (a booking whose charger is not ready yet)
//   ACCEPTED: the charger holds it -> ACCEPTED (extended, breached), UNKNOWN, CANCELLING, CANCELLED, USED,
//                                                  EXPIRED, REMOVED
//   CANCELLING: CancelReservation is unanswered -> CANCELLED, USED, REMOVED
//   USED, CANCELLED, EXPIRED, REMOVED, REJECTED, FAILED are final, with one audited correction: CANCELLED, EXPIRED,
//   REMOVED or FAILED becomes USED by a transaction that began inside the hold by its own timestamp.
import { present } from '../../common/present.ts';
import type { ConnectorState } from '../charger/connector.ts';
import type { TokenType } from '../charger/id-tag.ts';

/** The cause of a change: a caller's role, the charger, or this server by itself. */
export type Actor = 'DRIVER' | 'OPERATOR' | 'ADMIN' | 'CHARGER' | 'SERVER';

export type HoldingStatus = 'PENDING' | 'UNKNOWN' | 'ACCEPTED' | 'CANCELLING';
/** A live reservation keeps its connector from others: now, or, while SCHEDULED, in its window. */
export type LiveStatus = HoldingStatus | 'SCHEDULED';
export type FinalStatus = 'USED' | 'CANCELLED' | 'EXPIRED' | 'REMOVED' | 'REJECTED' | 'FAILED';
export type ReservationStatus = LiveStatus | FinalStatus;

export type RefusalReason = 'OCCUPIED' | 'FAULTED' | 'UNAVAILABLE' | 'REJECTED' | 'NOT_SUPPORTED';
export type CancelReason = 'DRIVER_REQUEST' | 'OPERATOR_REQUEST' | 'POLICY' | 'PREEMPTED' | 'MOVED';
export type RemovalReason = 'CHARGER_FAULTED' | 'CHARGER_UNAVAILABLE' | 'CHARGER_LOST' | 'NO_TRANSACTION';
/** The reason for removing a hold, given the state of its connector. */
export const removalReason = (state: ConnectorState): RemovalReason =>
  state === 'FAULTED' ? 'CHARGER_FAULTED' : state === 'UNAVAILABLE' ? 'CHARGER_UNAVAILABLE' : 'CHARGER_LOST';
export type Reason = RefusalReason | CancelReason | RemovalReason | 'NO_SHOW' | 'TIMEOUT' | 'OFFLINE' | 'REPLACED';

/**
 * The side that keeps other idTags off the connector: the charger, or, if it does not support reservations, this
 * server, by the answers it gives when an idTag is presented.
 */
export type Enforcement = 'CHARGER' | 'SERVER';

/** How a 2.x charger reports that it ended a reservation. */
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
  /** The group whose limits the reservation counts for, in lower case: parentIdTag, or else the group of the idTag. */
  readonly holderGroup?: string;
  /** Version of the site's policy that allowed the reservation. */
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
  /** The holder cancelled so late that it counts as a strike. */
  readonly isLateCancel: boolean;
  /** Made so soon after an unused reservation that it counts as a strike. */
  readonly isReReservation: boolean;
  /** The reservation that ends once this one holds. */
  readonly movedFrom?: string;
  /** Another idTag charged at the held connector although it was refused. */
  readonly isBreached: boolean;
  readonly enforcement: Enforcement;
  /** The charger's first status update about the reservation after it had ended here. */
  readonly chargerSaid?: ReservationUpdate;
}

export interface Use {
  readonly transactionId: string;
  readonly usedConnectorId?: number;
}

export type Reservation = Facts &
  (
    | { readonly status: 'PENDING' | 'ACCEPTED' }
    /** Why the last attempt to activate it failed. */
    | { readonly status: 'SCHEDULED'; readonly reason?: Reason }
    | { readonly status: 'UNKNOWN'; readonly reason: 'TIMEOUT' | 'CHARGER_LOST' | 'REPLACED' }
    | { readonly status: 'CANCELLING'; readonly reason: CancelReason }
    | ({ readonly status: 'USED'; readonly endedAt: Date } & Use)
    | {
        readonly status: Exclude<FinalStatus, 'USED'>;
        readonly endedAt: Date;
        readonly reason: Reason;
        /** For a failed booking: another connector of the site that would have fitted then. */
        readonly alternative?: Alternative;
      }
  );

export interface Alternative {
  readonly chargerId: string;
  readonly connectorId: number;
}

/** The values of an accepted ReserveNow: several may be sent with different values, and answered late. */
export interface AcceptedHold {
  readonly reservationId: number;
  readonly expiryDate: Date;
}

export type Happening =
  /** Without `held` there was no answer: the connector reports Reserved, or this server enforces the hold. */
  | { readonly type: 'accepted'; readonly held?: AcceptedHold }
  | { readonly type: 'refused'; readonly reason: RefusalReason }
  | { readonly type: 'unanswered'; readonly reason: 'TIMEOUT' | 'CHARGER_LOST' }
  | { readonly type: 'unreachable' }
  /** A command about the accepted reservation (verification, extension) was not answered. */
  | { readonly type: 'unverified'; readonly reason: 'TIMEOUT' | 'CHARGER_LOST' }
  /** The new expiry date counts: the charger accepted it, or need not be asked. */
  | { readonly type: 'extended'; readonly expiryDate: Date }
  /** The charger cancelled the old id and will be asked to hold this one in its place. */
  | { readonly type: 'replaced'; readonly reservationId: number; readonly expiryDate: Date }
  | { readonly type: 'cancel-requested'; readonly reason: CancelReason; readonly isLate?: boolean }
  /** The start of a booking has come: the charger is being asked. */
  | { readonly type: 'activated' }
  /** The charger is not ready for the booking yet: it will be asked again. */
  | { readonly type: 'postponed'; readonly reason: Reason }
  | { readonly type: 'abandoned'; readonly reason: Reason; readonly alternative?: Alternative }
  /**
   * The charger holds the reservation no longer (it accepted the cancel, or knew of none); or it ends here without
   * asking: by force, or because only this server held it.
   */
  | { readonly type: 'released'; readonly reason: CancelReason }
  | { readonly type: 'removed'; readonly reason: RemovalReason }
  | { readonly type: 'expired' }
  /** `startedAt` is the transaction's own timestamp: a start inside the hold counts even if it is reported late. */
  | ({ readonly type: 'used'; readonly startedAt: Date } & Use)
  | { readonly type: 'breached' };

export const holdingStatuses = ['PENDING', 'UNKNOWN', 'ACCEPTED', 'CANCELLING'] as const satisfies HoldingStatus[];
export const isHolding = (status: ReservationStatus): status is HoldingStatus =>
  (holdingStatuses as readonly string[]).includes(status);

export const liveStatuses = ['SCHEDULED', ...holdingStatuses] as const satisfies LiveStatus[];
export const isLive = (status: ReservationStatus): status is LiveStatus =>
  (liveStatuses as readonly string[]).includes(status);

/**
 * The end of a live reservation at its expiry date, by its status. `keepsReason`: the reason that it has already, if
 * any, stays: why a cancel was asked for, or why a booking could not be activated.
 */
export const atExpiry = {
  SCHEDULED: { status: 'FAILED', reason: 'TIMEOUT', keepsReason: true },
  PENDING: { status: 'FAILED', reason: 'TIMEOUT', keepsReason: false },
  UNKNOWN: { status: 'FAILED', reason: 'TIMEOUT', keepsReason: false },
  ACCEPTED: { status: 'EXPIRED', reason: 'NO_SHOW', keepsReason: false },
  CANCELLING: { status: 'CANCELLED', reason: 'NO_SHOW', keepsReason: true },
} as const satisfies Record<LiveStatus, { status: FinalStatus; reason: Reason; keepsReason: boolean }>;

/**
 * Returns the reservation after the happening, with version + 1; `undefined` if the happening does not apply to its
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
      // The charger does not know a booking yet, so there is nothing to cancel there.
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
      const before = 'reason' in reservation ? reservation.reason : undefined;
      return end(reservation, outcome.status, (outcome.keepsReason ? before : undefined) ?? outcome.reason, at);
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

/** Whether the charger accepted the current id and expiry date, not earlier ones. */
const isHeldAs = (reservation: Reservation, { reservationId, expiryDate }: AcceptedHold): boolean =>
  reservation.reservationId === reservationId && reservation.expiryDate.getTime() === expiryDate.getTime();

/** Whether no acceptance by the charger is known. */
export const isFirstAsked = ({ acceptedAt }: Reservation): boolean => acceptedAt === undefined;

/** Only a transaction whose own timestamp lies inside the hold may correct a final status. */
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
