// Finds the reservation that a starting transaction uses. Pure. The charger's own label (reservationId) is a hint: it
// counts only if the idTag or group fits too; without one, idTag or group, connector and window decide.

import { addMs } from '../../common/clock.ts';
import type { Presentation } from '../charger/transaction.ts';
import { mayUse } from './holder.ts';
import { isLive, type Reservation } from './reservation.ts';
import { CLOCK_TOLERANCE_MS } from './timing.ts';

export function matchUse(
  reservations: readonly Reservation[],
  presented: Presentation & { readonly parentIdTag?: string },
): Reservation | undefined {
  const here = reservations.filter((reservation) => isHere(reservation, presented));
  const labelled = here.find((reservation) => reservation.reservationId === presented.reservationId);
  // With the label, the same idTag counts whatever token type the charger reports.
  if (labelled && mayUse(labelled, { ...presented, tokenType: labelled.tokenType })) return labelled;
  const fitting = here.filter((reservation) => mayUse(reservation, presented));
  const inWindow = fitting.filter(
    (reservation) => presented.startedAt >= addMs(reservation.startsAt, -CLOCK_TOLERANCE_MS),
  );
  return inWindow.toSorted(byPreference)[0];
}

/** A hold without a connector fits any connector of the charger; a start without a connector fits any hold. */
const isHere = (reservation: Reservation, { connectorId }: Presentation) =>
  reservation.connectorId === 0 || connectorId === undefined || reservation.connectorId === connectorId;

/** A live hold before one that ended, one that names the connector before one that does not, then the oldest. */
const byPreference = (one: Reservation, other: Reservation): number =>
  Number(isLive(other.status)) - Number(isLive(one.status)) ||
  Number(other.connectorId > 0) - Number(one.connectorId > 0) ||
  one.createdAt.getTime() - other.createdAt.getTime();
