// Refusals of the use cases that change a reservation, and their messages.
import type { ChargerAnswer } from '../charger/charger-calls.ts';
import type { Refusal } from '../refusals/refusal.ts';
import type { OfflineRefusal } from './admission.ts';
import type { Reservation } from './reservation.ts';

export interface EndedRefusal extends Refusal {
  readonly code: 'ALREADY_ENDED' | 'ALREADY_USED';
  readonly endedAt: Date;
  /** The ended reservation; its status says how it ended. */
  readonly reservation: Reservation;
}
export interface NotSettledRefusal extends Refusal {
  readonly code: 'NOT_SETTLED';
  /** Absent if it belongs to somebody else. */
  readonly reservation?: Reservation;
}
export interface ChargerRefusal extends Refusal {
  readonly code: 'CHARGER_REFUSED';
  readonly answer: Exclude<ChargerAnswer, 'ACCEPTED'> | 'NOT_SUPPORTED' | 'CALL_ERROR';
  readonly reservation: Reservation;
}
export interface ForbiddenRefusal extends Refusal {
  readonly code: 'FORBIDDEN';
}

export function ended(reservation: Reservation): EndedRefusal {
  const endedAt = 'endedAt' in reservation ? reservation.endedAt : reservation.expiryDate;
  if (reservation.status === 'USED') {
    const message =
      'The reservation was used: a transaction runs or ran on it. Cancelling does not stop a running transaction.';
    return { code: 'ALREADY_USED', message, endedAt, reservation };
  }
  const message = `The reservation has ended: ${reservation.status} at ${endedAt.toISOString()}.`;
  return { code: 'ALREADY_ENDED', message, endedAt, reservation };
}

export const notSettled = (reservation: Reservation): NotSettledRefusal => ({
  code: 'NOT_SETTLED',
  message: `The reservation is ${reservation.status} and is being worked on; try again in a moment.`,
  reservation,
});

export const unchanged = (reservation: Reservation): OfflineRefusal & { readonly reservation: Reservation } => ({
  code: 'CHARGER_OFFLINE',
  message: `Charger "${reservation.chargerId}" is not connected; the reservation stays as it is.`,
  chargerId: reservation.chargerId,
  reservation,
});
