// Applies a charger's answer, or its silence, to a reservation, for the maker of the Call: a use case, the settler, or
// the gateway if the answer came late.

import type { Log } from '../common/log.ts';
import type { ChargerAnswer, Outcome, ReservationCommand } from '../model/charger/charger-calls.ts';
import type { Actor } from '../model/events/event.ts';
import {
  type CancelReason,
  type Happening,
  isFirstAsked,
  isHolding,
  type Reservation,
} from '../model/reservation/reservation.ts';
import type { ChargerRepository } from '../storage/chargers/charger.repository.ts';
import { type AskAgainPorts, askAgain } from './ask-again.ts';
import type { Transition, Transitioned } from './transition.ts';

export interface SettlePorts extends AskAgainPorts {
  readonly chargers: ChargerRepository;
  readonly transition: Transition;
  readonly log: Log;
}

const cannot = new Set(['NotSupported', 'NotImplemented']);
/** CALLERROR codes after which the charger may have carried out the command. */
const doubtful = new Set(['InternalError', 'GenericError']);

export type SettleReserve = (
  reservation: Reservation,
  outcome: Outcome,
  options?: { readonly isRepeat: boolean },
) => Promise<Transitioned>;

/** Settles a ReserveNow, the first one or a repeated one. */
export const settleReserve =
  (ports: SettlePorts): SettleReserve =>
  async (reservation, outcome, { isRepeat } = { isRepeat: false }) => {
    const { transition } = ports;
    switch (outcome.type) {
      case 'answer':
        return outcome.answer === 'ACCEPTED'
          ? settleHeld(ports, reservation, { type: 'accepted', held: reservation }, { actor: 'CHARGER', isRepeat })
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
      case 'connection-lost': {
        const unanswered = { type: 'unanswered', reason: reasonOf(outcome.type) } as const;
        return settleHeld(ports, reservation, unanswered, { actor: 'SERVER', isRepeat });
      }
      case 'offline':
        return transition(reservation, { type: 'unreachable' }, 'SERVER');
      default:
        return outcome satisfies never;
    }
  };

/** Why it is unknown what the charger did. */
export const reasonOf = (silence: 'timed-out' | 'connection-lost') =>
  silence === 'timed-out' ? 'TIMEOUT' : 'CHARGER_LOST';

/**
 * Stores that the charger holds the reservation, or may. An ended one is never revived: a release is owed instead, also
 * while a cancel is on its way, since that may have been carried out first. A used one is consumed on the charger too,
 * unless a repeated ReserveNow made it again.
 */
export async function settleHeld(
  ports: AskAgainPorts & Pick<SettlePorts, 'transition'>,
  reservation: Reservation,
  happening: Happening,
  { actor, isRepeat }: { readonly actor: Actor; readonly isRepeat: boolean },
): Promise<Transitioned> {
  const result = await ports.transition(reservation, happening, actor);
  const { status, id } = result.reservation;
  if (!result.isChanged && status === 'UNKNOWN' && happening.type === 'accepted') {
    // The charger accepted another id or expiry date than the one stored: ask again.
    await askAgain(ports, id);
  }
  if (!result.isChanged && (!isHolding(status) || status === 'CANCELLING')) {
    const dueAt = ports.clock.now();
    await ports.reservations.oweRelease(reservation.id, dueAt, { evenUsed: isRepeat });
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

/**
 * Settles a CancelReservation: Accepted and Rejected both prove that the charger no longer holds it. Any other outcome
 * leaves it to the settler.
 */
export const settleCancel =
  ({ transition }: SettlePorts): SettleCancel =>
  async (reservation, outcome, reason, actor) =>
    outcome.type === 'answer'
      ? transition(reservation, { type: 'released', reason }, actor)
      : { reservation, isChanged: false };

/** Settles a CALLRESULT that came after its Call had timed out. */
export const settleLateAnswer =
  (ports: SettlePorts) =>
  async (chargerId: string, command: ReservationCommand, answer: ChargerAnswer): Promise<void> => {
    const { reservations, transition } = ports;
    const reservation = await reservations.byId(command.id);
    if (!reservation) return;
    const { id, status } = reservation;
    ports.log.info({ chargerId, command: command.type, answer, status, reservation: id }, 'a late answer came');
    if (command.type === 'CancelReservation') {
      if (status === 'CANCELLING')
        await transition(reservation, { type: 'released', reason: reservation.reason }, 'CHARGER');
      return;
    }
    if (answer === 'ACCEPTED') {
      await settleHeld(ports, reservation, { type: 'accepted', held: command }, { actor: 'CHARGER', isRepeat: true });
      return;
    }
    if (isFirstAsked(reservation)) {
      // The refusal may belong to a repeated ReserveNow, which a charger that holds the reservation also refuses.
      await transition(reservation, { type: 'refused', reason: answer }, 'CHARGER', { isReleaseOwed: true });
      return;
    }
    await askAgain(ports, id, { isDoubted: true });
  };
