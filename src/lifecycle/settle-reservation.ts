// Applies a charger's answer, or its silence, to a reservation, for the maker of the Call: a use case, the settler, or
// the charger's connection if the answer came late.
import type { ChargerAnswer, Outcome, ReservationCommand } from '../model/charger/charger-calls.ts';
import type { Actor } from '../model/reservation/reservation.ts';
import {
  type CancelReason,
  type Happening,
  isFirstAsked,
  isHolding,
  type Reservation,
} from '../model/reservation/reservation.ts';
import { makeDue } from './doubt.ts';
import { type LifecyclePorts, type Transitioned, transition } from './transition.ts';

const cannot = new Set(['NotSupported', 'NotImplemented']);
/** CALLERROR codes after which the charger may have carried out the command. */
const doubtful = new Set(['InternalError', 'GenericError']);

/** Settles a ReserveNow, the first one or a repeated one. */
export async function settleReserve(
  ports: LifecyclePorts,
  reservation: Reservation,
  outcome: Outcome,
  { isRepeat }: { readonly isRepeat: boolean } = { isRepeat: false },
): Promise<Transitioned> {
  switch (outcome.type) {
    case 'answer':
      return outcome.answer === 'ACCEPTED'
        ? settleHeld(ports, reservation, { type: 'accepted', held: reservation }, { actor: 'CHARGER', isRepeat })
        : transition(ports, reservation, { type: 'refused', reason: outcome.answer }, 'CHARGER');
    case 'call-error': {
      const { code, description } = outcome;
      ports.log.warn({ chargerId: reservation.chargerId, code, description }, 'ReserveNow got a CALLERROR');
      if (!cannot.has(code)) {
        const isReleaseOwed = doubtful.has(code);
        return transition(ports, reservation, { type: 'refused', reason: 'REJECTED' }, 'CHARGER', { isReleaseOwed });
      }
      await ports.chargers.recordCapabilities(reservation.chargerId, { supportsReservation: false });
      return transition(ports, reservation, { type: 'refused', reason: 'NOT_SUPPORTED' }, 'CHARGER');
    }
    case 'timed-out':
    case 'connection-lost': {
      const unanswered = { type: 'unanswered', reason: reasonOf(outcome.type) } as const;
      return settleHeld(ports, reservation, unanswered, { actor: 'SERVER', isRepeat });
    }
    case 'offline':
      return transition(ports, reservation, { type: 'unreachable' }, 'SERVER');
    default:
      return outcome satisfies never;
  }
}

/** Why it is unknown what the charger did. */
export const reasonOf = (silence: 'timed-out' | 'connection-lost') =>
  silence === 'timed-out' ? 'TIMEOUT' : 'CHARGER_LOST';

/**
 * Stores that the charger holds the reservation, or may. An ended one is never revived: a release is owed instead, also
 * while a cancel is on its way, since the charger may have carried the cancel out first. A used one is gone from the
 * charger as well, so no release is owed, unless a repeated ReserveNow made it again.
 */
export async function settleHeld(
  ports: LifecyclePorts,
  reservation: Reservation,
  happening: Happening,
  { actor, isRepeat }: { readonly actor: Actor; readonly isRepeat: boolean },
): Promise<Transitioned> {
  const result = await transition(ports, reservation, happening, actor);
  const { status, id } = result.reservation;
  if (!result.isChanged && status === 'UNKNOWN' && happening.type === 'accepted') {
    // The charger accepted another id or expiry date than the one stored: ask again.
    await makeDue(ports, id);
  }
  if (!result.isChanged && (!isHolding(status) || status === 'CANCELLING')) {
    const dueAt = ports.clock.now();
    await ports.reservations.oweRelease(reservation.id, dueAt, { evenUsed: isRepeat });
    ports.wakeSettler(dueAt);
  }
  return result;
}

/**
 * Settles a CancelReservation: Accepted and Rejected both prove that the charger no longer holds it. After any other
 * outcome nothing is stored: the row is already due when the lease ends (`followUpOf`), and then the settler
 * asks again (`cancelAgain` in settle-due.ts).
 */
export async function settleCancel(
  ports: LifecyclePorts,
  reservation: Reservation,
  outcome: Outcome,
  reason: CancelReason,
  actor: Actor,
): Promise<Transitioned> {
  return outcome.type === 'answer'
    ? transition(ports, reservation, { type: 'released', reason }, actor)
    : { reservation, isChanged: false };
}

/** Settles a CALLRESULT that came after its Call had timed out. */
export async function settleLateAnswer(
  ports: LifecyclePorts,
  chargerId: string,
  command: ReservationCommand,
  answer: ChargerAnswer,
): Promise<void> {
  const { reservations } = ports;
  const reservation = await reservations.byId(command.id);
  if (!reservation) return;
  const { id, status } = reservation;
  ports.log.info({ chargerId, command: command.type, answer, status, reservation: id }, 'a late answer came');
  if (command.type === 'CancelReservation') {
    if (status === 'CANCELLING')
      await transition(ports, reservation, { type: 'released', reason: reservation.reason }, 'CHARGER');
    return;
  }
  if (answer === 'ACCEPTED') {
    await settleHeld(ports, reservation, { type: 'accepted', held: command }, { actor: 'CHARGER', isRepeat: true });
    return;
  }
  if (isFirstAsked(reservation)) {
    // The refusal may belong to a repeated ReserveNow, which a charger that holds the reservation also refuses.
    await transition(ports, reservation, { type: 'refused', reason: answer }, 'CHARGER', { isReleaseOwed: true });
    return;
  }
  await makeDue(ports, id, { isDoubted: true });
}
