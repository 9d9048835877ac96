// The ReserveNow of a reservation: always the same for the same reservation, so that it can be sent again.
import type { ReserveCommand } from '../charger/charger-calls.ts';
import { present } from '../common/present.ts';
import type { Reservation } from './reservation.ts';

export function reserveCommand(reservation: Reservation): ReserveCommand {
  const { reservationId, connectorId, idTag, tokenType, parentIdTag, expiryDate } = reservation;
  return { type: 'ReserveNow', reservationId, connectorId, idTag, tokenType, expiryDate, ...present({ parentIdTag }) };
}
