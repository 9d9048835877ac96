// What the log tells: one event for each transition of a reservation and each change of a connector.
import type { ConnectorState } from '../charger/connector.ts';
import { isLive, type Reason, type Reservation, type ReservationStatus } from '../reservation/reservation.ts';
import type { Cursor } from './cursor.ts';

/** Who caused it. */
export type Actor = 'DRIVER' | 'OPERATOR' | 'ADMIN' | 'CHARGER' | 'SERVER';

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
  /** As of this event, whatever has happened since. */
  readonly reservation: Reservation;
}

export interface ConnectorEvent extends Place {
  readonly kind: 'CONNECTOR';
  readonly type: ConnectorEventType;
  readonly from?: ConnectorState;
  readonly to?: ConnectorState;
  readonly errorCode?: string;
}

/** A request that was refused: no reservation came of it. */
export interface RefusalEvent extends Place {
  readonly kind: 'REFUSAL';
  readonly type: 'REFUSED';
  /** The code of the refusal, or, of a policy's, its first rule. */
  readonly reason: string;
  readonly actor: Actor;
}

export type LogEvent = ReservationEvent | ConnectorEvent | RefusalEvent;

/**
 * Whether somebody else than its holder ended it, or is ending it. A use is the holder's own, and so is what it cancels or
 * moves; everything else is done to the holder.
 */
export function isEndedByOthers({ from, to, actor, reason }: ReservationEvent): boolean {
  const isEnd = !isLive(to) || to === 'CANCELLING';
  // What the holder began the server may finish; on its own account it moves only what is still a booking.
  const isOwnMove = reason === 'MOVED' && (actor === 'DRIVER' || (actor === 'SERVER' && from !== 'SCHEDULED'));
  return isEnd && to !== 'USED' && reason !== 'DRIVER_REQUEST' && !isOwnMove;
}
