// The events of the log: one for each step of a reservation, each change of a connector, and each request that was
// refused.
import type { ConnectorState } from '../charger/connector.ts';
import {
  type Actor,
  isLive,
  type Reason,
  type Reservation,
  type ReservationStatus,
} from '../reservation/reservation.ts';
import type { Cursor } from './cursor.ts';

export type ReservationEventType =
  | 'SCHEDULED'
  | 'REQUESTED'
  | 'POSTPONED'
  | 'ACCEPTED'
  | 'REJECTED'
  | 'OUTCOME_UNKNOWN'
  | 'EXTENDED'
  | 'REPLACED'
  | 'FAILED'
  | 'CANCEL_REQUESTED'
  | 'CANCELLED'
  | 'USED'
  | 'EXPIRED'
  | 'REMOVED'
  | 'BREACHED'
  | 'ENDING_SOON';

export type ConnectorEventType = 'STATE_CHANGED' | 'CONNECTED' | 'DISCONNECTED';

interface Place {
  readonly cursor: Cursor;
  readonly at: Date;
  readonly siteId: string;
  readonly chargerId: string;
  readonly connectorId: number;
}

export interface ReservationEvent extends Place {
  readonly kind: 'RESERVATION';
  readonly type: ReservationEventType;
  readonly from?: ReservationStatus;
  readonly to: ReservationStatus;
  readonly reason?: Reason;
  readonly actor: Actor;
  /** The reservation as of this event, whatever has happened since. */
  readonly reservation: Reservation;
}

export interface ConnectorEvent extends Place {
  readonly kind: 'CONNECTOR';
  readonly type: ConnectorEventType;
  readonly from?: ConnectorState;
  readonly to?: ConnectorState;
  readonly errorCode?: string;
}

/** A refused request: it made no reservation. */
export interface RefusalEvent extends Place {
  readonly kind: 'REFUSAL';
  readonly type: 'REFUSED';
  /** The code of the refusal; for POLICY, the first rule that was broken. */
  readonly reason: string;
  readonly actor: Actor;
}

export type LogEvent = ReservationEvent | ConnectorEvent | RefusalEvent;

/**
 * Whether somebody other than the holder ends the reservation, or begins to cancel it, with this event. A use, a
 * cancellation at the driver's request and a driver's move are the holder's own; every other end, such as an expiry, is
 * not.
 */
export function isEndedByOthers({ from, to, actor, reason }: ReservationEvent): boolean {
  const isEnd = !isLive(to) || to === 'CANCELLING';
  // The server also finishes a move that the driver began. A move that the server begins itself starts from SCHEDULED.
  const isOwnMove = reason === 'MOVED' && (actor === 'DRIVER' || (actor === 'SERVER' && from !== 'SCHEDULED'));
  return isEnd && to !== 'USED' && reason !== 'DRIVER_REQUEST' && !isOwnMove;
}
