// Activates a booking at its start: asks the charger, and asks again while it is offline, in use or refuses, until the
// site's activation timeout; then the booking fails and names an alternative connector. A holder who is already
// charging uses the booking; the policy may move it away from an overstaying vehicle.
import { useEarly } from '../charging/use-reservation.ts';
import { settleReserve } from '../lifecycle/settle-reservation.ts';
import { transition } from '../lifecycle/transition.ts';
import type { Caller } from '../model/access/caller.ts';
import type { Outcome } from '../model/charger/charger-calls.ts';
import { isInUse } from '../model/charger/connector.ts';
import { isRefusal } from '../model/refusals/refusal.ts';
import { reserveCommand } from '../model/reservation/commands.ts';
import type { RefusalReason, Reservation } from '../model/reservation/reservation.ts';
import { resolvePolicy } from '../model/site/policy.ts';
import { endMoved, moveTo } from '../reserving/move-reservation.ts';
import { findAlternative } from '../reserving/place-at-site.ts';
import type { DueReservation } from '../storage/reservations/follow-up.repository.ts';
import type { SettlingPorts } from './ports.ts';
import type { Progress } from './verify-hold.ts';

export type Obstacle = RefusalReason | 'OFFLINE';

/** The caller of moves that the policy makes by itself: no token is behind them. */
const server: Caller = { role: 'ADMIN', subject: 'server', expiresAt: new Date(8.64e15), permissions: new Set() };

/** Returns AGAIN before the start, and while the charger is not ready and the activation timeout has not passed. */
export async function activate(ports: SettlingPorts, due: DueReservation): Promise<Progress> {
  const { reservation, activateUntil = due.reservation.expiryDate } = due;
  const now = ports.clock.now();
  if (reservation.movedFrom !== undefined) await endMoved(ports, reservation, 'SERVER');
  if (reservation.startsAt > now) return 'AGAIN';
  const obstacle = await obstacleOf(ports, reservation);
  if (!obstacle) return ask(ports, due);
  if (obstacle === 'OCCUPIED') {
    const who = await useEarly(ports, reservation);
    if (who === 'USED') return 'DONE';
    if (who === 'SOMEBODY_ELSE' && (await moveAway(ports, reservation))) return 'DONE';
  }
  if (now < activateUntil) return 'AGAIN';
  await abandon(ports, reservation, obstacle);
  return 'DONE';
}

/** Returns the obstacle known from the last report and the connection, without asking the charger. */
async function obstacleOf(
  { chargers }: SettlingPorts,
  { chargerId, connectorId, enforcement }: Reservation,
): Promise<Obstacle | undefined> {
  const { state } = await chargers.lastReport(chargerId, connectorId);
  if (connectorId > 0 && isInUse(state)) return 'OCCUPIED';
  if (enforcement === 'SERVER') return undefined;
  return (await chargers.nodeOf(chargerId)) === undefined ? 'OFFLINE' : undefined;
}

async function ask(ports: SettlingPorts, due: DueReservation): Promise<Progress> {
  const { reservation } = due;
  const { chargers, calls } = ports;
  const activated = await transition(ports, reservation, { type: 'activated' }, 'SERVER');
  const pending = activated.reservation;
  if (!activated.isChanged || pending.status !== 'PENDING') return 'DONE';
  if (pending.enforcement === 'SERVER') {
    await transition(ports, pending, { type: 'accepted' }, 'SERVER');
    return 'DONE';
  }
  const outcome = await calls.call(pending.chargerId, reserveCommand(pending));
  const refusal = refusalOf(outcome);
  if (!refusal) {
    await settleReserve(ports, pending, outcome);
    return 'DONE';
  }
  if (refusal === 'NOT_SUPPORTED') await chargers.recordCapabilities(pending.chargerId, { supportsReservation: false });
  await retreat(ports, { ...due, reservation: pending }, refusal);
  return 'DONE';
}

/**
 * After a refusal: postpones the booking, or fails it if the activation timeout has passed or the charger cannot be
 * reserved.
 */
export async function retreat(ports: SettlingPorts, due: DueReservation, reason: Obstacle): Promise<void> {
  const { reservation, activateUntil = reservation.expiryDate } = due;
  if (reason === 'NOT_SUPPORTED' || ports.clock.now() >= activateUntil) return abandon(ports, reservation, reason);
  const actor = reason === 'OFFLINE' ? 'SERVER' : 'CHARGER';
  await transition(ports, reservation, { type: 'postponed', reason }, actor);
}

/** Returns undefined if the charger holds the reservation, or may hold it because it did not answer. */
export function refusalOf(outcome: Outcome): Obstacle | undefined {
  switch (outcome.type) {
    case 'answer':
      return outcome.answer === 'ACCEPTED' ? undefined : outcome.answer;
    case 'call-error':
      return outcome.code === 'NotSupported' || outcome.code === 'NotImplemented' ? 'NOT_SUPPORTED' : 'REJECTED';
    case 'offline':
      return 'OFFLINE';
    default:
      return undefined;
  }
}

async function abandon(ports: SettlingPorts, reservation: Reservation, reason: Obstacle): Promise<void> {
  const alternative = await findAlternative(ports, reservation);
  const happening = { type: 'abandoned', reason, ...(alternative && { alternative }) } as const;
  // A charger that failed inside the command may have carried it out, so a release is owed.
  const isReleaseOwed = reservation.enforcement === 'CHARGER' && reservation.status !== 'SCHEDULED';
  await transition(ports, reservation, happening, 'SERVER', { isReleaseOwed });
}

/** Moves the booking away from an overstaying vehicle, if the policy says so and another connector fits. */
async function moveAway(ports: SettlingPorts, reservation: Reservation): Promise<boolean> {
  const { chargerId, siteId, holderGroup } = reservation;
  const policies = await ports.policies.ofSite(siteId);
  if (!policies || resolvePolicy(policies, { chargerId, group: holderGroup }).overstayAction !== 'MOVE') return false;
  const alternative = await findAlternative(ports, reservation);
  if (!alternative) return false;
  return !isRefusal(await moveTo(ports, server, reservation, alternative, 'SERVER'));
}
