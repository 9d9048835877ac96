// Builds the commands of a reservation. The same reservation always gives the same command, so it can be sent again.
import { present } from '../../common/present.ts';
import type { CancelCommand, ReserveCommand } from '../charger/charger-calls.ts';
import type { Reservation } from './reservation.ts';

export function reserveCommand(reservation: Reservation): ReserveCommand {
  const { id, reservationId, connectorId, plugType, tokenType, parentIdTag, expiryDate } = reservation;
  // OCPP requires an idTag: for a group alone the parentIdTag is sent, which nobody can present as an idTag.
  const idTag = reservation.idTag ?? parentIdTag ?? '';
  const what = { id, reservationId, connectorId, idTag, tokenType, expiryDate };
  return { type: 'ReserveNow', ...what, ...present({ parentIdTag, plugType }) };
}

export const cancelCommand = ({ id, reservationId }: Reservation): CancelCommand => ({
  type: 'CancelReservation',
  id,
  reservationId,
});
