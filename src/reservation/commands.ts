// The commands of a reservation: always the same for the same reservation, so that they can be sent again.
import type { CancelCommand, ReserveCommand } from '../charger/charger-calls.ts';
import { present } from '../common/present.ts';
import type { Reservation } from './reservation.ts';

export function reserveCommand(reservation: Reservation): ReserveCommand {
  const { id, reservationId, connectorId, idTag, tokenType, parentIdTag, expiryDate } = reservation;
  const what = { id, reservationId, connectorId, idTag, tokenType, expiryDate };
  return { type: 'ReserveNow', ...what, ...present({ parentIdTag }) };
}

export const cancelCommand = ({ id, reservationId }: Reservation): CancelCommand => ({
  type: 'CancelReservation',
  id,
  reservationId,
});
