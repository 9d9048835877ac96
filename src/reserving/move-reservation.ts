// moveReservation: moves a reservation to another connector without a moment in which the holder has neither. The new
// one is made first, under all the rules; the old one ends once the new one holds. The settler finishes an interrupted
// move.
import { present } from '../common/present.ts';
import { settleCancel } from '../lifecycle/settle-reservation.ts';
import { transition } from '../lifecycle/transition.ts';
import type { Caller } from '../model/access/caller.ts';
import { invalidInput } from '../model/refusals/input.ts';
import { chargerNotFound, type NotFoundRefusal, reservationNotFound } from '../model/refusals/not-found.ts';
import { isRefusal } from '../model/refusals/refusal.ts';
import { cancelCommand } from '../model/reservation/commands.ts';
import { type EndedRefusal, ended, notSettled } from '../model/reservation/refusals.ts';
import type { Actor } from '../model/reservation/reservation.ts';
import { type CancelReason, isLive, type Reservation } from '../model/reservation/reservation.ts';
import { changeUntil, policyRefusal } from '../model/site/decide.ts';
import { resolvePolicy } from '../model/site/policy.ts';
import { askCharger } from './ask-charger.ts';
import { findVisible } from './find-visible.ts';
import { holdConnector, isInTheWay } from './hold-connector.ts';
import type { ReservingPorts } from './ports.ts';
import type { ReserveNowRefusal } from './reserve-now.ts';

export interface MoveReservationInput {
  readonly id: string;
  /** A charger of the same site; absent: the same charger. */
  readonly chargerId?: string;
  readonly connectorId: number;
}

export type MoveReservationRefusal = ReserveNowRefusal | EndedRefusal | NotFoundRefusal;

/**
 * Returns the new reservation; its `movedFrom` names the old one, which ends as CANCELLED with the reason MOVED. A
 * refusal leaves the old one as it is. If the charger does not answer, both stay until it is clear that the new one
 * holds.
 */
export async function moveReservation(
  ports: ReservingPorts,
  caller: Caller,
  input: MoveReservationInput,
): Promise<Reservation | MoveReservationRefusal> {
  const found = await findVisible(ports.reservations, caller, input);
  if (!found) return reservationNotFound;
  if (!isLive(found.status)) return ended(found);
  const chargerId = input.chargerId ?? found.chargerId;
  const { connectorId } = input;
  if (!Number.isInteger(connectorId) || connectorId < 0 || connectorId > 65_535)
    return invalidInput('connectorId', 'It must be from 0 (the charger chooses) to 65535.');
  if (chargerId === found.chargerId && connectorId === found.connectorId)
    return invalidInput('connectorId', 'The reservation holds that connector already.');
  if (found.status !== 'ACCEPTED' && found.status !== 'SCHEDULED') return notSettled(found);
  const before = await ports.reservations.movedTo(found.id);
  if (before) return notSettled(found);

  const now = ports.clock.now();
  const policies = await ports.policies.ofSite(found.siteId);
  const policy = policies && resolvePolicy(policies, { chargerId: found.chargerId, group: found.holderGroup });
  const tooLate = policy && changeUntil(policy, found, now);
  const forbidden = policyRefusal(tooLate ? [tooLate] : []);
  if (forbidden) return forbidden;
  const target = await ports.policies.ofCharger(chargerId);
  if (target?.siteId !== found.siteId) return chargerNotFound(chargerId, 'at the site of the reservation');
  return moveTo(ports, caller, found, { chargerId, connectorId });
}

/**
 * Changes only the connector: start, end and number of extensions stay, so that a move does not bypass a limit.
 */
export async function moveTo(
  ports: ReservingPorts,
  caller: Caller,
  found: Reservation,
  place: { readonly chargerId: string; readonly connectorId: number },
  actor: Actor = caller.role,
): Promise<Reservation | MoveReservationRefusal> {
  const { idTag, parentIdTag, plugType, expiryDate } = found;
  const made = await holdConnector(ports, caller, {
    ...place,
    ...present({ idTag, parentIdTag, plugType: place.connectorId === 0 ? plugType : undefined }),
    startsAt: found.startsAt,
    // A booking that is not yet activated stays one, even if its start has passed: the settler then activates it at
    // once.
    isBooking: found.status === 'SCHEDULED',
    expiryDate,
    movedFrom: found,
    except: found.id,
    actor,
  });
  if (typeof made === 'string' || isInTheWay(made)) return notSettled(found);
  if (isRefusal(made)) return made;
  const held = made.status === 'SCHEDULED' ? made : await askCharger(ports, made, undefined);
  if (isRefusal(held)) return held;
  if (held.status === 'ACCEPTED' || held.status === 'SCHEDULED') await endMoved(ports, held, actor);
  return (await ports.reservations.byId(held.id)) ?? held;
}

/**
 * Completes a move once the new reservation holds: cancels the old one; if that was used or cancelled meanwhile,
 * cancels the new one instead. Idempotent.
 */
export async function endMoved(ports: ReservingPorts, made: Reservation, actor: Actor): Promise<void> {
  const old = made.movedFrom === undefined ? undefined : await ports.reservations.byId(made.movedFrom);
  if (!old) return;
  if (isLive(old.status)) {
    const left = await cancelOnCharger(ports, old, 'MOVED', actor);
    if (left.status !== 'USED') return;
  }
  const isCancelled = old.status === 'CANCELLED' && old.reason !== 'MOVED';
  if (isCancelled) await cancelOnCharger(ports, made, old.reason as CancelReason, actor);
  else if (old.status === 'USED' || isLive(old.status)) await cancelOnCharger(ports, made, 'MOVED', actor);
}

/** Cancels the reservation, on the charger too. Without an answer it stays CANCELLING, and the settler finishes it. */
async function cancelOnCharger(
  ports: ReservingPorts,
  found: Reservation,
  reason: CancelReason,
  actor: Actor,
): Promise<Reservation> {
  const { calls } = ports;
  const { reservation } = await transition(ports, found, { type: 'cancel-requested', reason }, actor);
  if (reservation.status !== 'CANCELLING') return reservation;
  if (reservation.enforcement === 'SERVER')
    return (await transition(ports, reservation, { type: 'released', reason }, actor)).reservation;
  const outcome = await calls.call(reservation.chargerId, cancelCommand(reservation));
  return (await settleCancel(ports, reservation, outcome, reservation.reason, actor)).reservation;
}
