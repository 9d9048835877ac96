// Verifies that the charger still holds a reservation that it accepted: after a boot, when the hold is in doubt (as
// after a refused extension or start), and when a 1.6 connector says Available inside the hold.
import { reasonOf, settleHeld } from '../lifecycle/settle-reservation.ts';
import { transition } from '../lifecycle/transition.ts';
import { isInUse, isOutOfOrder } from '../model/charger/connector.ts';
import { cancelCommand, reserveCommand } from '../model/reservation/commands.ts';
import { type RemovalReason, type Reservation, removalReason } from '../model/reservation/reservation.ts';
import type { LastReport } from '../storage/chargers/connector.repository.ts';
import type { DueReservation } from '../storage/reservations/follow-up.repository.ts';
import type { SettlingPorts } from './ports.ts';

/**
 * CONFIRMED: the charger holds it. DONE: nothing more can be learned, or the reservation is no longer ACCEPTED. AGAIN:
 * ask later.
 */
export type Progress = 'CONFIRMED' | 'DONE' | 'AGAIN';

/** Connector reports count from this time on: the later of the reservation's creation and the charger's last boot. */
const sinceOf = ({ bootedAt }: LastReport, { createdAt }: Reservation): Date =>
  bootedAt && bootedAt > createdAt ? bootedAt : createdAt;

/** True if no report shows anything: the hold names no connector, or its connector reported nothing from `since` on. */
export const isBlind = (report: LastReport, reservation: Reservation, since = sinceOf(report, reservation)): boolean =>
  reservation.connectorId === 0 || report.stateAt === undefined || report.stateAt < since;

export const saysReserved = (report: LastReport, reservation: Reservation, since?: Date): boolean =>
  report.state === 'RESERVED' && !isBlind(report, reservation, since);

/** Attempts to wait for a StatusNotification after a boot before the connector counts as silent. */
const MAX_PATIENCE = 4;

/**
 * Verifies by the connector's last report where that is proof; otherwise sends ReserveNow with the same id, which a
 * charger that has the reservation replaces with itself.
 */
export async function verifyHold(ports: SettlingPorts, due: DueReservation): Promise<Progress> {
  const { reservation, confirmedAt, doubtedAt, attempts } = due;
  const { chargerId, connectorId, createdAt } = reservation;
  const report = await ports.chargers.lastReport(chargerId, connectorId);
  const hasBooted = report.bootedAt !== undefined && report.bootedAt > (confirmedAt ?? createdAt);
  const since = sinceOf(report, reservation);
  // For a hold in doubt, only a Reserved that was reported since the doubt is proof. A 1.6 charger is asked after each
  // boot even then: its reservations need not survive one, whatever the connector says.
  const proof = doubtedAt && doubtedAt > since ? doubtedAt : since;
  if (saysReserved(report, reservation, proof) && !(hasBooted && report.version === '1.6')) return 'CONFIRMED';
  const isSilent = isBlind(report, reservation);
  if (!isSilent && isOutOfOrder(report.state)) return remove(ports, reservation, removalReason(report.state));
  const isFlicker = !isSilent && report.state === 'AVAILABLE' && report.version === '1.6';
  if (!hasBooted && !doubtedAt && !isFlicker) return 'DONE';
  // While any vehicle is at the connector, the charger would answer Occupied whether it holds the reservation or not.
  if (doubtedAt && !hasBooted && !isSilent && (isInUse(report.state) || report.state === 'PREPARING')) return 'AGAIN';

  const told = await ask(ports, reservation);
  if (told !== 'REFUSED') return told;
  // Many chargers do not replace: one that refuses while its connector says Reserved still holds it. If the hold was in
  // doubt, it stays so until a later report.
  const after = await ports.chargers.lastReport(chargerId, connectorId);
  if (saysReserved(after, reservation)) return doubtedAt ? 'DONE' : 'CONFIRMED';
  if (!isBlind(after, reservation)) return remove(ports, reservation, 'CHARGER_LOST');
  if (connectorId > 0 && hasBooted && attempts < MAX_PATIENCE) return 'AGAIN';
  return askAnew(ports, reservation);
}

/**
 * For when nothing proves that the charger holds the reservation: cancels it there, so that it is certainly gone, and
 * sends ReserveNow again.
 */
export async function askAnew(ports: SettlingPorts, reservation: Reservation): Promise<Progress> {
  const cancelled = await ports.calls.call(reservation.chargerId, cancelCommand(reservation));
  if (cancelled.type !== 'answer') return 'AGAIN';
  const told = await ask(ports, reservation);
  return told === 'REFUSED' ? remove(ports, reservation, 'CHARGER_LOST') : told;
}

async function ask(ports: SettlingPorts, reservation: Reservation): Promise<Progress | 'REFUSED'> {
  const outcome = await ports.calls.call(reservation.chargerId, reserveCommand(reservation));
  switch (outcome.type) {
    case 'answer': {
      if (outcome.answer !== 'ACCEPTED') return 'REFUSED';
      const accepted = { type: 'accepted', held: reservation } as const;
      const settled = await settleHeld(ports, reservation, accepted, { actor: 'CHARGER', isRepeat: true });
      return settled.reservation.status === 'ACCEPTED' ? 'CONFIRMED' : 'DONE';
    }
    case 'call-error':
    case 'offline':
      return 'AGAIN';
    case 'timed-out':
    case 'connection-lost':
      await transition(ports, reservation, { type: 'unverified', reason: reasonOf(outcome.type) }, 'SERVER');
      return 'AGAIN';
    default:
      return outcome satisfies never;
  }
}

/** Removes the reservation; if the charger may still hold it (CHARGER_LOST), a release is owed. */
async function remove(ports: SettlingPorts, reservation: Reservation, reason: RemovalReason): Promise<Progress> {
  const isReleaseOwed = reason === 'CHARGER_LOST';
  await transition(ports, reservation, { type: 'removed', reason }, 'CHARGER', { isReleaseOwed });
  return 'DONE';
}
