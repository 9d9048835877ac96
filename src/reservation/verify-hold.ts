// Does the charger still hold a reservation that it accepted? Asked after it started anew, after it said Available
// inside the hold, and after it refused to extend it.
import type { ChargerRepository, LastReport } from '../charger/charger.repository.ts';
import type { ChargerCalls } from '../charger/charger-calls.ts';
import { isOutOfOrder } from '../charger/connector.ts';
import { cancelCommand, reserveCommand } from './commands.ts';
import type { DueReservation } from './reservation.repository.ts';
import { type RemovalReason, type Reservation, removalReason } from './reservation.ts';
import { type SettlePorts, settleHeld } from './settle-reservation.ts';

export interface VerifyPorts extends SettlePorts {
  readonly chargers: ChargerRepository;
  readonly calls: ChargerCalls;
}

/** CONFIRMED: it holds it. DONE: nothing more can be learned, or the reservation is ACCEPTED no longer. AGAIN: ask later. */
export type Progress = 'CONFIRMED' | 'DONE' | 'AGAIN';

/** Nothing tells of it: it names no connector, or the one it names has said nothing since it was made and the charger started. */
export function isBlind({ stateAt, bootedAt }: LastReport, { connectorId, createdAt }: Reservation): boolean {
  const since = bootedAt && bootedAt > createdAt ? bootedAt : createdAt;
  return connectorId === 0 || stateAt === undefined || stateAt < since;
}

export const saysReserved = (report: LastReport, reservation: Reservation): boolean =>
  report.state === 'RESERVED' && !isBlind(report, reservation);

/** Sends the same id again, where that is safe: a charger that has it replaces it with itself. */
export async function verifyHold(ports: VerifyPorts, due: DueReservation): Promise<Progress> {
  const { reservation, confirmedAt } = due;
  const { chargerId, connectorId } = reservation;
  const report = await ports.chargers.lastReport(chargerId, connectorId);
  const hasBooted = confirmedAt !== undefined && report.bootedAt !== undefined && report.bootedAt > confirmedAt;
  // 1.6 asks for it after each boot: its reservations need not survive one, whatever the connector says.
  const isProved = saysReserved(report, reservation) && !(hasBooted && report.version === '1.6');
  if (isProved) return 'CONFIRMED';
  const reason = reasonOfLoss(report, hasBooted);
  if (reason) return remove(ports, reservation, reason);
  if (!hasBooted && !isFreed(report, due)) return 'DONE';

  const told = await ask(ports, reservation);
  if (told !== 'REFUSED') return told;
  // Many chargers do not replace: one that refuses and says Reserved holds it still.
  if (saysReserved(await ports.chargers.lastReport(chargerId, connectorId), reservation)) return 'CONFIRMED';
  if (hasBooted || !isBlind(report, reservation)) return remove(ports, reservation, 'CHARGER_LOST');
  // Nothing tells whether it holds it: after a cancel it does not, and can be asked to hold it anew.
  const cancelled = await ports.calls.call(chargerId, cancelCommand(reservation));
  if (cancelled.type !== 'answer') return 'AGAIN';
  const toldAnew = await ask(ports, reservation);
  return toldAnew === 'REFUSED' ? remove(ports, reservation, 'CHARGER_LOST') : toldAnew;
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
    case 'connection-lost': {
      const reason = outcome.type === 'timed-out' ? 'TIMEOUT' : 'CHARGER_LOST';
      await ports.transition(reservation, { type: 'unverified', reason }, 'SERVER');
      return 'DONE';
    }
    default:
      return outcome satisfies never;
  }
}

/** A connector that broke has dropped it (2.x says so by a message of its own, which may be lost). */
const reasonOfLoss = ({ state, stateAt, bootedAt }: LastReport, hasBooted: boolean): RemovalReason | undefined =>
  isOutOfOrder(state) && (!hasBooted || (stateAt && bootedAt && stateAt >= bootedAt))
    ? removalReason(state)
    : undefined;

/**
 * The connector says Available inside the hold. In 1.6 that is a flicker or a loss; in 2.x the idTag may have been
 * presented, so only a hold that came into doubt otherwise is asked for again.
 */
function isFreed(report: LastReport, { reservation, confirmedAt }: DueReservation): boolean {
  const isDoubted = confirmedAt === undefined;
  if (isBlind(report, reservation)) return isDoubted;
  return report.state === 'AVAILABLE' && (isDoubted || report.version === '1.6');
}

/** What the charger may hold all the same, it is told to let go. */
async function remove(ports: VerifyPorts, reservation: Reservation, reason: RemovalReason): Promise<Progress> {
  const isReleaseOwed = reason === 'CHARGER_LOST';
  await ports.transition(reservation, { type: 'removed', reason }, 'CHARGER', { isReleaseOwed });
  return 'DONE';
}
