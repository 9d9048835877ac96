// Does the charger still hold a reservation that it accepted? Asked after it started anew, after it said Available
// inside the hold, and after it refused to extend it.

import { reasonOf, type SettlePorts, settleHeld } from '../lifecycle/settle-reservation.ts';
import type { ChargerCalls } from '../model/charger/charger-calls.ts';
import { isInUse, isOutOfOrder } from '../model/charger/connector.ts';
import { cancelCommand, reserveCommand } from '../model/reservation/commands.ts';
import { type RemovalReason, type Reservation, removalReason } from '../model/reservation/reservation.ts';
import type { LastReport } from '../storage/chargers/charger.repository.ts';
import type { DueReservation } from '../storage/reservations/follow-up.repository.ts';

export interface VerifyPorts extends SettlePorts {
  readonly calls: ChargerCalls;
}

/** CONFIRMED: it holds it. DONE: nothing more can be learned, or the reservation is ACCEPTED no longer. AGAIN: ask later. */
export type Progress = 'CONFIRMED' | 'DONE' | 'AGAIN';

/** Since when what the charger says of a hold counts: it was made, and the charger started. */
const sinceOf = ({ bootedAt }: LastReport, { createdAt }: Reservation): Date =>
  bootedAt && bootedAt > createdAt ? bootedAt : createdAt;

/** Nothing tells of it: it names no connector, or the one it names has said nothing since. */
export const isBlind = (report: LastReport, reservation: Reservation, since = sinceOf(report, reservation)): boolean =>
  reservation.connectorId === 0 || report.stateAt === undefined || report.stateAt < since;

export const saysReserved = (report: LastReport, reservation: Reservation, since?: Date): boolean =>
  report.state === 'RESERVED' && !isBlind(report, reservation, since);

/** Looks after a boot for a word of the connector, until it is taken for silent. */
const MAX_PATIENCE = 4;

/** Sends the same id again, where that is safe: a charger that has it replaces it with itself. */
export async function verifyHold(ports: VerifyPorts, due: DueReservation): Promise<Progress> {
  const { reservation, confirmedAt, doubtedAt, attempts } = due;
  const { chargerId, connectorId, createdAt } = reservation;
  const report = await ports.chargers.lastReport(chargerId, connectorId);
  const hasBooted = report.bootedAt !== undefined && report.bootedAt > (confirmedAt ?? createdAt);
  const since = sinceOf(report, reservation);
  // Reserved proves a hold that came into doubt only when it was said since. 1.6 asks again after each boot: its
  // reservations need not survive one, whatever the connector says.
  const proof = doubtedAt && doubtedAt > since ? doubtedAt : since;
  if (saysReserved(report, reservation, proof) && !(hasBooted && report.version === '1.6')) return 'CONFIRMED';
  const isSilent = isBlind(report, reservation);
  if (!isSilent && isOutOfOrder(report.state)) return remove(ports, reservation, removalReason(report.state));
  const isFlicker = !isSilent && report.state === 'AVAILABLE' && report.version === '1.6';
  if (!hasBooted && !doubtedAt && !isFlicker) return 'DONE';
  // Whoever's vehicle that is: while it is there, the charger would say Occupied, held or not.
  if (doubtedAt && !hasBooted && !isSilent && (isInUse(report.state) || report.state === 'PREPARING')) return 'AGAIN';

  const told = await ask(ports, reservation);
  if (told !== 'REFUSED') return told;
  // Many chargers do not replace: one that refuses and says Reserved holds it still, unless it says otherwise soon.
  const after = await ports.chargers.lastReport(chargerId, connectorId);
  if (saysReserved(after, reservation)) return doubtedAt ? 'DONE' : 'CONFIRMED';
  if (!isBlind(after, reservation)) return remove(ports, reservation, 'CHARGER_LOST');
  if (connectorId > 0 && hasBooted && attempts < MAX_PATIENCE) return 'AGAIN';
  return askAnew(ports, reservation);
}

/** Nothing tells whether the charger holds it: after a cancel it does not, and can be asked to hold it anew. */
export async function askAnew(ports: VerifyPorts, reservation: Reservation): Promise<Progress> {
  const cancelled = await ports.calls.call(reservation.chargerId, cancelCommand(reservation));
  if (cancelled.type !== 'answer') return 'AGAIN';
  const told = await ask(ports, reservation);
  return told === 'REFUSED' ? remove(ports, reservation, 'CHARGER_LOST') : told;
}

async function ask(ports: VerifyPorts, reservation: Reservation): Promise<Progress | 'REFUSED'> {
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
      await ports.transition(reservation, { type: 'unverified', reason: reasonOf(outcome.type) }, 'SERVER');
      return 'AGAIN';
    default:
      return outcome satisfies never;
  }
}

/** What the charger may hold all the same, it is told to let go. */
async function remove(ports: VerifyPorts, reservation: Reservation, reason: RemovalReason): Promise<Progress> {
  const isReleaseOwed = reason === 'CHARGER_LOST';
  await ports.transition(reservation, { type: 'removed', reason }, 'CHARGER', { isReleaseOwed });
  return 'DONE';
}
