// Settles one due reservation: its status decides which commands are sent.
//
//   SCHEDULED: its start has come: ask the charger (activate-booking.ts)
//   PENDING: its process died before the answer was stored -> it becomes UNKNOWN
//   UNKNOWN: send the same id again, and cancel it if refused -> either proves whether the charger holds it
//   CANCELLING: send the cancel again
//   ACCEPTED: verify that the charger still holds it (verify-hold.ts)
//   ended: the charger may still hold it: cancel it there
//
// It cannot act twice: a row is claimed by one process at a time, the charger takes one command at a time, and a result
// is stored only over the version it was decided on.

import { addMs } from '../common/clock.ts';
import { doubtEach } from '../lifecycle/doubt.ts';
import { settleCancel, settleReserve } from '../lifecycle/settle-reservation.ts';
import { transition } from '../lifecycle/transition.ts';
import type { Outcome } from '../model/charger/charger-calls.ts';
import { cancelCommand, reserveCommand } from '../model/reservation/commands.ts';
import { isFirstAsked, isHolding, type Reservation } from '../model/reservation/reservation.ts';
import { OUTLIVES_EXPIRY_MS } from '../model/reservation/timing.ts';
import { endMoved } from '../reserving/move-reservation.ts';
import type { DueReservation } from '../storage/reservations/follow-up.repository.ts';
import { activate, refusalOf, retreat } from './activate-booking.ts';
import type { SettlingPorts } from './ports.ts';
import { askAnew, isBlind, type Progress, saysReserved, verifyHold } from './verify-hold.ts';

export type Duty = 'ACTIVATE' | 'LOST' | 'FIND_OUT' | 'CANCEL' | 'VERIFY' | 'RELEASE';

export function dutyOf({ status }: Reservation): Duty {
  switch (status) {
    case 'SCHEDULED':
      return 'ACTIVATE';
    case 'PENDING':
      return 'LOST';
    case 'UNKNOWN':
      return 'FIND_OUT';
    case 'CANCELLING':
      return 'CANCEL';
    case 'ACCEPTED':
      return 'VERIFY';
    default:
      return 'RELEASE';
  }
}

/**
 * Returns DONE or CONFIRMED if nothing more is needed for the row as claimed; a row that has changed since is ignored.
 */
export async function settleDue(ports: SettlingPorts, due: DueReservation): Promise<Progress> {
  const { reservation } = due;
  const duty = dutyOf(reservation);
  if (duty === 'VERIFY' && reservation.movedFrom !== undefined) await endMoved(ports, reservation, 'SERVER');
  if (duty !== 'ACTIVATE' && reservation.enforcement === 'SERVER') return settleHere(ports, reservation);
  switch (duty) {
    case 'ACTIVATE':
      return activate(ports, due);
    case 'LOST':
      // The frame may have reached the charger.
      await transition(ports, reservation, { type: 'unanswered', reason: 'CHARGER_LOST' }, 'SERVER');
      return 'DONE';
    case 'FIND_OUT':
      return findOut(ports, due);
    case 'CANCEL':
      return cancelAgain(ports, reservation);
    case 'VERIFY':
      return verifyHold(ports, due);
    case 'RELEASE':
      return release(ports, reservation);
  }
}

/** Settles a server-side hold without asking a charger. */
async function settleHere(ports: SettlingPorts, reservation: Reservation): Promise<Progress> {
  if (reservation.status === 'PENDING') await transition(ports, reservation, { type: 'accepted' }, 'SERVER');
  if (reservation.status === 'CANCELLING') {
    await transition(ports, reservation, { type: 'released', reason: reservation.reason }, 'SERVER');
  }
  return 'DONE';
}

/**
 * Sends ReserveNow with the same id: a charger that has the reservation replaces it with itself. After a refusal or
 * CALLERROR it sends a cancel, which proves that the charger does not hold it. If the first answer arrives meanwhile,
 * that answer stands and nothing is cancelled.
 */
async function findOut(ports: SettlingPorts, due: DueReservation): Promise<Progress> {
  const { reservation } = due;
  const { reservations, chargers, calls } = ports;
  const { id, chargerId, connectorId, version } = reservation;
  const isReserved = async () => saysReserved(await chargers.lastReport(chargerId, connectorId), reservation);
  const accept = async (): Promise<Progress> => {
    await transition(ports, reservation, { type: 'accepted' }, 'CHARGER');
    return 'DONE';
  };
  // If the charger accepted it before, Reserved does not show which expiry date it holds.
  if (isFirstAsked(reservation) && (await isReserved())) return accept();
  const outcome = await calls.call(chargerId, reserveCommand(reservation));
  const isRefused = outcome.type === 'call-error' || (outcome.type === 'answer' && outcome.answer !== 'ACCEPTED');
  if (!isRefused) {
    await settleReserve(ports, reservation, outcome, { isRepeat: true });
    return outcome.type === 'answer' ? 'DONE' : 'AGAIN';
  }
  const current = await reservations.byId(id);
  if (current?.version !== version) return 'DONE';
  if (await isReserved()) return accept();
  // A reservation that the charger accepted before is cancelled there and requested once more.
  if (!isFirstAsked(reservation)) return askAnew(ports, reservation);
  const cancelled = await cancel(ports, reservation);
  if (cancelled.type !== 'answer') return 'AGAIN';
  const refusal = refusalOf(outcome);
  if (reservation.isBooking && refusal) {
    await retreat(ports, due, refusal);
    return 'DONE';
  }
  const { reservation: settled, isChanged } = await settleReserve(ports, reservation, outcome);
  // A late Accepted arrived while the cancel was on its way, and the cancel has removed what it accepted.
  if (!isChanged && settled.status === 'ACCEPTED') {
    await transition(ports, settled, { type: 'removed', reason: 'CHARGER_LOST' }, 'SERVER', { isReleaseOwed: true });
  }
  return 'DONE';
}

async function cancelAgain(ports: SettlingPorts, reservation: Reservation): Promise<Progress> {
  if (reservation.status !== 'CANCELLING') return 'DONE';
  const outcome = await cancel(ports, reservation);
  await settleCancel(ports, reservation, outcome, reservation.reason, 'SERVER');
  return outcome.type === 'answer' ? 'DONE' : 'AGAIN';
}

/** Cancels an ended reservation on a charger that may still hold it. */
async function release(ports: SettlingPorts, reservation: Reservation): Promise<Progress> {
  const { reservations, chargers, clock, log } = ports;
  const now = clock.now();
  const { chargerId, reservationId, connectorId, expiryDate, id } = reservation;
  const holder = await reservations.byWireId(chargerId, reservationId);
  if (holder && holder.id !== id && isHolding(holder.status)) return 'DONE'; // The id names a newer hold now.
  if (addMs(expiryDate, OUTLIVES_EXPIRY_MS) <= now) return 'DONE';
  if (expiryDate <= now) {
    // Usually a charger drops an expired hold itself and reports another connector state; one that reports nothing may
    // have no clock.
    const report = await chargers.lastReport(chargerId, connectorId);
    if (!isBlind(report, reservation) && !saysReserved(report, reservation)) return 'DONE';
  }
  const outcome = await cancel(ports, reservation);
  if (outcome.type !== 'answer') return 'AGAIN';
  log.info({ reservation: id, answer: outcome.answer }, 'a charger answered the release of an ended reservation');
  if (outcome.answer === 'ACCEPTED') {
    // The connector may have reported Reserved for this reservation, so a live hold there is in doubt.
    const isThere = (hold: Reservation) => connectorId === 0 || hold.connectorId === connectorId;
    await doubtEach(ports, chargerId, (hold) => hold.connectorId > 0 && isThere(hold));
  }
  return 'DONE';
}

const cancel = ({ calls }: SettlingPorts, reservation: Reservation): Promise<Outcome> =>
  calls.call(reservation.chargerId, cancelCommand(reservation));
