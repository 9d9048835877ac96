// Every change of a reservation goes through here: what `apply` makes of it is stored by version, and decided anew
// when somebody else was first. It must not know why the change is wanted.
import { addMs, type Clock } from '../common/clock.ts';
import type { Actor, ReservationEventType } from '../model/events/event.ts';
import { apply, type Happening, isHolding, type Reservation } from '../model/reservation/reservation.ts';
import type { FollowUp } from '../storage/reservations/follow-up.repository.ts';
import type { ReservationRepository } from '../storage/reservations/reservation.repository.ts';

export interface TransitionPorts {
  readonly reservations: ReservationRepository;
  readonly clock: Clock;
  /** The log has grown. */
  readonly announce: () => void;
  /** The settler has something to do at that time. */
  readonly wakeSettler: (at: Date) => void;
  /** From a Call that is being made until the settler takes it for lost. */
  readonly callLeaseMs: number;
}

export interface Transitioned {
  /** As it stands now, changed or not. */
  readonly reservation: Reservation;
  readonly isChanged: boolean;
}

export type Transition = (
  reservation: Reservation,
  happening: Happening,
  actor: Actor,
  options?: { readonly isReleaseOwed?: boolean },
) => Promise<Transitioned>;

export const transition =
  (ports: TransitionPorts): Transition =>
  async (reservation, happening, actor, { isReleaseOwed = false } = {}) => {
    const { reservations, clock } = ports;
    for (let current = reservation; ; ) {
      const at = clock.now();
      const next = apply(current, happening, at);
      if (!next) {
        // Decided on what the caller knew; somebody may have been faster.
        const newer = await reservations.byId(current.id);
        if (!newer || newer.version === current.version) return { reservation: newer ?? current, isChanged: false };
        current = newer;
        continue;
      }
      const followUp = followUpOf(next, happening, at, isReleaseOwed, ports.callLeaseMs);
      const isStored = await reservations.advance(
        current,
        next,
        { type: eventTypes[happening.type](next), actor, at },
        followUp,
      );
      if (isStored) {
        ports.announce();
        if (followUp.dueAt) ports.wakeSettler(followUp.dueAt);
        return { reservation: next, isChanged: true };
      }
      const newer = await reservations.byId(current.id);
      if (!newer) throw new Error(`Reservation ${current.id} is gone`);
      current = newer;
    }
  };

/** First pause before an unanswered command is tried again; it doubles with each attempt. */
export const RETRY_MS = 2000;

/** A charger that was not ready for a booking is asked again so much later, or when its connector says Available. */
const REACTIVATE_MS = 10_000;

/** What remains to be done, by the settler, once the reservation stands like this. */
function followUpOf(
  next: Reservation,
  happening: Happening,
  at: Date,
  isReleaseOwed: boolean,
  callLeaseMs: number,
): FollowUp {
  // While the fresh id is being asked for, nobody else asks.
  if (happening.type === 'replaced') return { dueAt: addMs(at, callLeaseMs), isReleaseOwed: false };
  if (next.status === 'UNKNOWN') return { dueAt: addMs(at, RETRY_MS), isReleaseOwed: false };
  if (next.status === 'SCHEDULED') {
    return { dueAt: happening.type === 'postponed' ? addMs(at, REACTIVATE_MS) : next.startsAt, isReleaseOwed: false };
  }
  if (happening.type === 'activated') return { dueAt: addMs(at, callLeaseMs), isReleaseOwed: false };
  // The one that it takes the place of is to be ended, should whoever moves it die.
  if (next.status === 'ACCEPTED' && next.movedFrom !== undefined && happening.type === 'accepted') {
    return { dueAt: addMs(at, callLeaseMs), isReleaseOwed: false };
  }
  if (next.status === 'CANCELLING') return { dueAt: addMs(at, callLeaseMs), isReleaseOwed: false };
  const isOwed = isReleaseOwed && !isHolding(next.status);
  return isOwed ? { dueAt: at, isReleaseOwed: true } : { isReleaseOwed: false };
}

const eventTypes: Record<Happening['type'], (next: Reservation) => ReservationEventType> = {
  accepted: (next) => (next.status === 'UNKNOWN' ? 'OUTCOME_UNKNOWN' : 'ACCEPTED'),
  refused: () => 'REJECTED',
  unanswered: () => 'OUTCOME_UNKNOWN',
  unreachable: () => 'FAILED',
  unverified: () => 'OUTCOME_UNKNOWN',
  extended: () => 'EXTENDED',
  replaced: () => 'REPLACED',
  'cancel-requested': (next) => (next.status === 'CANCELLED' ? 'CANCELLED' : 'CANCEL_REQUESTED'),
  activated: () => 'REQUESTED',
  postponed: () => 'POSTPONED',
  abandoned: () => 'FAILED',
  released: () => 'CANCELLED',
  removed: () => 'REMOVED',
  expired: (next) => (next.status === 'EXPIRED' || next.status === 'CANCELLED' ? next.status : 'FAILED'),
  used: () => 'USED',
  breached: () => 'BREACHED',
};
