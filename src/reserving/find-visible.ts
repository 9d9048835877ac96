// Finds a reservation that a caller names; one that the caller may not see counts as unknown.
import { isUuid } from '../common/identifier.ts';
import type { Caller } from '../model/access/caller.ts';
import { maySeeReservation } from '../model/access/rights.ts';
import type { Reservation } from '../model/reservation/reservation.ts';
import type { ReservationRepository } from '../storage/reservations/reservation.repository.ts';

/** Named by `id`, or by its charger and the reservationId on it. */
export interface ReservationName {
  readonly id?: string;
  readonly chargerId?: string;
  readonly reservationId?: number;
}

/** Returns undefined also if the caller may not see the reservation. */
export async function findVisible(
  reservations: ReservationRepository,
  caller: Caller,
  { id, chargerId, reservationId }: ReservationName,
): Promise<Reservation | undefined> {
  const read = () =>
    id === undefined ? reservations.byWireId(chargerId ?? '', reservationId ?? 0) : reservations.byId(id);
  const found = id === undefined || isUuid(id) ? await read() : undefined;
  return found && maySeeReservation(caller, found) ? found : undefined;
}
