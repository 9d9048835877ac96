// Asks a charger for a hold that is stored, and turns its answer into that of the API.
import { withDeadline } from '../common/clock.ts';
import { settleReserve } from '../lifecycle/settle-reservation.ts';
import { transition } from '../lifecycle/transition.ts';
import type { OfflineRefusal } from '../model/reservation/admission.ts';
import { reserveCommand } from '../model/reservation/commands.ts';
import type { ChargerRefusal } from '../model/reservation/refusals.ts';
import type { Reservation } from '../model/reservation/reservation.ts';
import type { ReservingPorts } from './ports.ts';

/** Asks the charger for a stored hold, and waits for its answer, up to `waitMs`. */
export async function askCharger(
  ports: ReservingPorts,
  held: Reservation,
  waitMs: number | undefined,
): Promise<Reservation | ChargerRefusal | OfflineRefusal> {
  if (held.enforcement === 'SERVER') return (await transition(ports, held, { type: 'accepted' }, 'SERVER')).reservation;
  const answered = ports.background.track(sendAndSettle(ports, held));
  const settled = await withDeadline(ports.clock, answered, waitMs ?? ports.answerTimeoutMs * 2);
  return answerOf(settled ?? (await ports.reservations.byId(held.id)) ?? held);
}

/**
 * Continues in the background after the caller has stopped waiting; an answer that cannot be stored is left to the
 * settler.
 */
function sendAndSettle(ports: ReservingPorts, reservation: Reservation): Promise<Reservation | undefined> {
  const call = ports.calls.call(reservation.chargerId, reserveCommand(reservation));
  const settled = call.then((outcome) => settleReserve(ports, reservation, outcome));
  return settled.then(
    (result) => result.reservation,
    (error) => {
      ports.log.error({ error, reservation: reservation.id }, 'the answer to ReserveNow could not be stored');
      return undefined;
    },
  );
}

/** Returns the refusal for a reservation that ended without ever holding the connector. */
export function answerOf(reservation: Reservation): Reservation | ChargerRefusal | OfflineRefusal {
  const { chargerId } = reservation;
  if (reservation.status === 'REJECTED') {
    const answer = reservation.reason as ChargerRefusal['answer'];
    const message = `Charger "${chargerId}" refused the reservation: ${answer}.`;
    return { code: 'CHARGER_REFUSED', message, answer, reservation };
  }
  if (reservation.status === 'FAILED' && reservation.reason === 'OFFLINE') return wentOffline(chargerId);
  return reservation;
}

const wentOffline = (chargerId: string): OfflineRefusal => ({
  code: 'CHARGER_OFFLINE',
  message: `Charger "${chargerId}" lost its connection before it could be asked; nothing was reserved.`,
  chargerId,
});
