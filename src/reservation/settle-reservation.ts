// What a charger's answer, or its silence, makes of a reservation. Used by whoever made the Call: a use case, the
// settler, or the gateway for an answer that came after its time.
import type { ChargerRepository } from '../charger/charger.repository.ts';
import type { ChargerAnswer, ChargerCommand, Outcome } from '../charger/charger-calls.ts';
import type { Clock } from '../common/clock.ts';
import type { Log } from '../common/log.ts';
import type { Actor } from '../event-log/event.ts';
import type { ReservationRepository } from './reservation.repository.ts';
import { type CancelReason, type Happening, isHolding, type RefusalReason, type Reservation } from './reservation.ts';
import type { Transition, Transitioned } from './transition.ts';

export interface SettlePorts {
  readonly reservations: ReservationRepository;
  readonly chargers: ChargerRepository;
  readonly transition: Transition;
  readonly wakeSettler: (at: Date) => void;
  readonly clock: Clock;
  readonly log: Log;
}

const cannot = new Set(['NotSupported', 'NotImplemented']);
/** The charger failed inside the command: it may have carried it out. */
const doubtful = new Set(['InternalError', 'GenericError']);

export type SettleReserve = (reservation: Reservation, outcome: Outcome) => Promise<Transitioned>;

/** After ReserveNow. */
export const settleReserve =
  (ports: SettlePorts): SettleReserve =>
  async (reservation, outcome) => {
    const { transition } = ports;
    switch (outcome.type) {
      case 'answer':
        return outcome.answer === 'ACCEPTED'
          ? settleHeld(ports, reservation, { type: 'accepted' }, 'CHARGER')
          : transition(reservation, { type: 'refused', reason: outcome.answer }, 'CHARGER');
      case 'call-error': {
        const { code, description } = outcome;
        ports.log.warn({ chargerId: reservation.chargerId, code, description }, 'ReserveNow got a CALLERROR');
        if (!cannot.has(code)) {
          const isReleaseOwed = doubtful.has(code);
          return transition(reservation, { type: 'refused', reason: 'REJECTED' }, 'CHARGER', { isReleaseOwed });
        }
        await ports.chargers.recordCapabilities(reservation.chargerId, { supportsReservation: false });
        return transition(reservation, { type: 'refused', reason: 'NOT_SUPPORTED' }, 'CHARGER');
      }
      case 'timed-out':
        return settleHeld(ports, reservation, { type: 'unanswered', reason: 'TIMEOUT' }, 'SERVER');
      case 'connection-lost':
        return settleHeld(ports, reservation, { type: 'unanswered', reason: 'CHARGER_LOST' }, 'SERVER');
      case 'offline':
        return transition(reservation, { type: 'unreachable' }, 'SERVER');
      default:
        return outcome satisfies never;
    }
  };

/** The charger holds it, or may. A reservation that has ended is never revived: the charger is told to let it go. */
async function settleHeld(
  ports: SettlePorts,
  reservation: Reservation,
  happening: Happening,
  actor: Actor,
): Promise<Transitioned> {
  const result = await ports.transition(reservation, happening, actor);
  if (!result.isChanged && !isHolding(result.reservation.status)) {
    const dueAt = ports.clock.now();
    await ports.reservations.oweRelease(reservation.id, dueAt);
    ports.wakeSettler(dueAt);
  }
  return result;
}

export type SettleCancel = (
  reservation: Reservation,
  outcome: Outcome,
  reason: CancelReason,
  actor: Actor,
) => Promise<Transitioned>;

/** After CancelReservation: Accepted and Rejected both prove that the charger holds it no longer. Anything else is tried again. */
export const settleCancel =
  ({ transition }: SettlePorts): SettleCancel =>
  async (reservation, outcome, reason, actor) =>
    outcome.type === 'answer'
      ? transition(reservation, { type: 'released', reason }, actor)
      : { reservation, isChanged: false };

/** A CALLRESULT that came after its Call had timed out. */
export const settleLateAnswer =
  (ports: SettlePorts) =>
  async (chargerId: string, command: ChargerCommand, answer: ChargerAnswer): Promise<void> => {
    const reservation = await ports.reservations.byWireId(chargerId, command.reservationId);
    if (!reservation) return;
    ports.log.info({ chargerId, command: command.type, answer, status: reservation.status }, 'a late answer came');
    if (command.type === 'ReserveNow') {
      if (answer === 'ACCEPTED') await settleHeld(ports, reservation, { type: 'accepted' }, 'CHARGER');
      else await ports.transition(reservation, { type: 'refused', reason: answer as RefusalReason }, 'CHARGER');
    } else if (reservation.status === 'CANCELLING') {
      await ports.transition(reservation, { type: 'released', reason: reservation.reason }, 'CHARGER');
    }
  };
