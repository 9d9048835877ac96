// Pre-empts: a group of higher priority takes the place of holds of lower priority, if the policy allows it. The new
// hold is stored only once the charger has confirmed the cancel, in the transaction that ends the victims.
import { transition } from '../lifecycle/transition.ts';
import type { Caller } from '../model/access/caller.ts';
import { isRefusal } from '../model/refusals/refusal.ts';
import type { HoldWish } from '../model/reservation/admission.ts';
import { cancelCommand } from '../model/reservation/commands.ts';
import type { NotSettledRefusal } from '../model/reservation/refusals.ts';
import { isLive, type Reservation } from '../model/reservation/reservation.ts';
import { type HoldRefusal, holdConnector, isInTheWay } from './hold-connector.ts';
import type { ReservingPorts } from './ports.ts';

/**
 * Makes the hold, after those in its way have ended if `preempt` is set. Refuses with NOT_SETTLED if a charger has not
 * confirmed: the victim stays CANCELLING and its cancel is sent again until the charger answers, so the client can
 * repeat the request.
 */
export async function holdOrPreempt(
  ports: ReservingPorts,
  caller: Caller,
  wish: HoldWish,
): Promise<Reservation | HoldRefusal | 'IDEMPOTENCY_KEY_USED'> {
  for (let ended: Reservation[] = []; ; ) {
    const made = await holdConnector(ports, caller, wish, ended);
    if (made === 'IDEMPOTENCY_KEY_USED' || isRefusal(made) || !isInTheWay(made)) return made;
    ended = [];
    for (const { id } of made.victims) {
      const victim = await releaseVictim(ports, caller, id);
      if (isRefusal(victim)) return victim;
      if (isLive(victim.status)) ended.push(victim);
    }
  }
}

/**
 * Has the charger release the victim and returns the victim as it is then; a booking needs no release, since the
 * charger does not know it yet.
 */
async function releaseVictim(ports: ReservingPorts, { role }: Caller, id: string) {
  const { reservations, calls } = ports;
  const victim = await reservations.byId(id);
  if (!victim) throw new Error(`Reservation ${id} is gone`);
  if (!isLive(victim.status) || victim.status === 'SCHEDULED') return victim;
  const wished = await transition(ports, victim, { type: 'cancel-requested', reason: 'PREEMPTED' }, role);
  const { reservation } = wished;
  if (reservation.status !== 'CANCELLING' || reservation.enforcement === 'SERVER') return reservation;
  const outcome = await calls.call(reservation.chargerId, cancelCommand(reservation));
  // A use may have ended the victim meanwhile; the new request then meets a connector in use.
  const current = (await reservations.byId(id)) ?? reservation;
  return outcome.type === 'answer' || !isLive(current.status) ? current : notConfirmed(current.chargerId);
}

/** Leaves out the reservation, so that the caller does not learn whose hold it is. */
const notConfirmed = (chargerId: string): NotSettledRefusal => ({
  code: 'NOT_SETTLED',
  message: `Charger "${chargerId}" has not confirmed that it cancelled the reservation of lower priority; try again in a moment.`,
});
