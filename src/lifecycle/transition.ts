// Applies a happening to a reservation and stores it unless the row has changed; then it decides on the newer row.
// Bulk expiry and notices (follow-up.repository.ts) and the ends of pre-empted holds (hold-connector.ts) bypass it. It
// must not know why the change is wanted.

import { addMs, type Clock } from '../common/clock.ts';
import type { Log } from '../common/log.ts';
import type { ReservationEventType } from '../model/events/event.ts';
import type { Actor } from '../model/reservation/reservation.ts';
import { apply, type Happening, isHolding, type Reservation } from '../model/reservation/reservation.ts';
import { REACTIVATE_MS, RETRY_MS } from '../model/reservation/timing.ts';
import type { ChargerRepository } from '../storage/chargers/charger.repository.ts';
import type { FollowUp } from '../storage/reservations/follow-up.repository.ts';
import type { ReservationRepository } from '../storage/reservations/reservation.repository.ts';

/** The ports of every change of a reservation. */
export interface LifecyclePorts {
  readonly reservations: ReservationRepository;
  readonly chargers: ChargerRepository;
  readonly clock: Clock;
  readonly log: Log;
  /** Notifies the feeds of all nodes that the log has grown (`connectNodes` in app/nodes.ts). */
  readonly announce: () => void;
  /** Makes the settler run at that time (`Settler.wake`). */
  readonly wakeSettler: (at: Date) => void;
  /** How long a Call may take before the settler treats it as lost. */
  readonly callLeaseMs: number;
}

export interface Transitioned {
  /** The current reservation, changed or not. */
  readonly reservation: Reservation;
  readonly isChanged: boolean;
}

export async function transition(
  ports: LifecyclePorts,
  reservation: Reservation,
  happening: Happening,
  actor: Actor,
  { isReleaseOwed = false }: { readonly isReleaseOwed?: boolean } = {},
): Promise<Transitioned> {
  const { reservations, clock } = ports;
  for (let current = reservation; ; ) {
    const at = clock.now();
    const next = apply(current, happening, at);
    if (!next) {
      // The caller's copy may be outdated: read the row, and decide again if it is newer.
      const newer = await reservations.byId(current.id);
      if (!newer || newer.version === current.version) return { reservation: newer ?? current, isChanged: false };
      current = newer;
      continue;
    }
    const followUp = followUpOf(next, happening, at, isReleaseOwed, ports.callLeaseMs);
    const isStored = await reservations.advance(
      current,
      next,
      { type: eventTypeOf(happening, next), actor, at },
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
}

/** When the settler must take up the changed reservation, and whether a release is owed. */
function followUpOf(
  next: Reservation,
  happening: Happening,
  at: Date,
  isReleaseOwed: boolean,
  callLeaseMs: number,
): FollowUp {
  // Not due before the lease ends: until then the extension itself sends ReserveNow with the fresh id.
  if (happening.type === 'replaced') return { dueAt: addMs(at, callLeaseMs), isReleaseOwed: false };
  if (next.status === 'UNKNOWN') return { dueAt: addMs(at, RETRY_MS), isReleaseOwed: false };
  if (next.status === 'SCHEDULED') {
    return { dueAt: happening.type === 'postponed' ? addMs(at, REACTIVATE_MS) : next.startsAt, isReleaseOwed: false };
  }
  if (happening.type === 'activated') return { dueAt: addMs(at, callLeaseMs), isReleaseOwed: false };
  // If the process that moves the reservation dies, the settler must end the old one.
  if (next.status === 'ACCEPTED' && next.movedFrom !== undefined && happening.type === 'accepted') {
    return { dueAt: addMs(at, callLeaseMs), isReleaseOwed: false };
  }
  if (next.status === 'CANCELLING') return { dueAt: addMs(at, callLeaseMs), isReleaseOwed: false };
  const isOwed = isReleaseOwed && !isHolding(next.status);
  return isOwed ? { dueAt: at, isReleaseOwed: true } : { isReleaseOwed: false };
}

/** The type of the event that a happening appends; it depends on the reservation after the happening. */
export const eventTypeOf = (happening: Happening, next: Reservation): ReservationEventType =>
  eventTypes[happening.type](next);

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
