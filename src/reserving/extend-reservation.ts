// extendReservation: prolongs a hold. The new end counts only once the charger has accepted it.
import { addMs, withDeadline } from '../common/clock.ts';
import { present } from '../common/present.ts';
import { doubt, makeDue } from '../lifecycle/doubt.ts';
import { reasonOf, settleHeld, settleReserve } from '../lifecycle/settle-reservation.ts';
import { transition } from '../lifecycle/transition.ts';
import type { Caller } from '../model/access/caller.ts';
import { type InputRefusal, invalidInput } from '../model/refusals/input.ts';
import { chargerNotFound, type NotFoundRefusal, reservationNotFound } from '../model/refusals/not-found.ts';
import { isRefusal } from '../model/refusals/refusal.ts';
import { type OfflineRefusal, type TakenRefusal, taken } from '../model/reservation/admission.ts';
import { cancelCommand, reserveCommand } from '../model/reservation/commands.ts';
import { conflictOf } from '../model/reservation/occupancy.ts';
import {
  type ChargerRefusal,
  type EndedRefusal,
  ended,
  type NotSettledRefusal,
  notSettled,
  unchanged,
} from '../model/reservation/refusals.ts';
import { isLive, type Reservation } from '../model/reservation/reservation.ts';
import { decideExtension, type PolicyRefusal, policyRefusal } from '../model/site/decide.ts';
import type { ReservationPolicy } from '../model/site/policy.ts';
import { type Known, readFacts } from './admission-facts.ts';
import { findVisible } from './find-visible.ts';
import { isStorable } from './hold-input.ts';
import type { ReservingPorts } from './ports.ts';

export interface ExtendReservationInput {
  readonly id: string;
  /** The new end; absolute, so that repeating the request does not extend twice. */
  readonly expiryDate: Date;
}

export type ExtendReservationRefusal =
  | NotFoundRefusal
  | EndedRefusal
  | NotSettledRefusal
  | PolicyRefusal
  | InputRefusal
  | TakenRefusal
  | ChargerRefusal
  | OfflineRefusal;

/** An extension takes up to three commands: the replacing ReserveNow, a cancel, and a ReserveNow with a fresh id. */
const COMMANDS = 3;

/**
 * Returns the reservation with its new expiry date; or as UNKNOWN if the charger did not answer, and is settled later
 * with the old end. After a charger's refusal the reservation stays as it was if the charger proves to hold it still. A
 * booking is extended here alone: the charger does not know it yet.
 */
export async function extendReservation(
  ports: ReservingPorts,
  caller: Caller,
  input: ExtendReservationInput,
): Promise<Reservation | ExtendReservationRefusal> {
  const { reservations, clock, wakeSettler, answerTimeoutMs, log } = ports;
  const found = await findVisible(reservations, caller, input);
  if (!found) return reservationNotFound;
  if (!isLive(found.status)) return ended(found);
  const { expiryDate } = input;
  if (expiryDate < found.expiryDate) {
    const message = `It must not be before ${found.expiryDate.toISOString()}; to end the reservation earlier, cancel it.`;
    return invalidInput('expiryDate', message);
  }
  if (!isStorable(expiryDate)) return invalidInput('expiryDate', 'It must be before the year 10000.');
  if (found.expiryDate.getTime() === expiryDate.getTime()) return found;
  if (found.status !== 'ACCEPTED' && found.status !== 'SCHEDULED') return notSettled(found);

  const claimed = await claim(ports, found, expiryDate);
  if (isRefusal(claimed)) return claimed;
  if (found.enforcement === 'SERVER' || found.status === 'SCHEDULED')
    return settledBy(await transition(ports, found, { type: 'extended', expiryDate }, caller.role));
  wakeSettler(claimed.until);
  const asked = ports.background.track(ask(ports, found, expiryDate, claimed.policy));
  asked.catch((error) => log.error({ error, reservation: found.id }, 'the answer to an extension was not stored'));
  const answer = await withDeadline(clock, asked, COMMANDS * 2 * answerTimeoutMs);
  return answer ?? (await reservations.byId(found.id)) ?? found;
}

/**
 * Holds the connector here until the new end before the charger is asked, so that nobody else books it meanwhile. The
 * claim admits one extension at a time: two could reach the charger in another order than the database.
 */
async function claim(
  ports: ReservingPorts,
  found: Reservation,
  expiryDate: Date,
): Promise<{ readonly until: Date; readonly policy: ReservationPolicy } | ExtendReservationRefusal> {
  const { reservations, holds, clock } = ports;
  for (;;) {
    const now = clock.now();
    const { chargerId, connectorId, idTag, holderGroup, id, expiryDate: startsAt, isBooking } = found;
    const who = present({ idTag, parentIdTag: holderGroup });
    const wish = { ...who, chargerId, connectorId, startsAt, expiryDate, isBooking, except: id };
    const known = await readFacts(ports.holds, ports.policies, wish, now);
    if (!known) return chargerNotFound(chargerId);
    const refusal = check(known, found, expiryDate, now);
    if (refusal) return refusal;
    const until = addMs(now, COMMANDS * ports.callLeaseMs);
    const claimed = await holds.claimToExtend(found, { extendingTo: expiryDate, until, now }, known.guards);
    if (claimed === 'CLAIMED') return { until, policy: known.facts.policy };
    const current = (await reservations.byId(id)) ?? found;
    if (!isLive(current.status)) return ended(current);
    // NOT_NOW: the reservation is claimed or due elsewhere. FACTS_CHANGED: another hold was made meanwhile, so decide
    // again.
    if (claimed === 'NOT_NOW' || current.version !== found.version) return notSettled(current);
  }
}

function check(
  { facts }: Known,
  found: Reservation,
  expiryDate: Date,
  now: Date,
): PolicyRefusal | TakenRefusal | undefined {
  const { chargerId, connectorId, plugType } = found;
  const refusal = policyRefusal(decideExtension(facts.policy, facts, found, expiryDate, now));
  if (refusal) return refusal;
  const wished = { connectorId, ...present({ plugType }), from: found.expiryDate, until: expiryDate };
  // An unfinished extension prolongs the reservation's own hold: that is no conflict.
  const others = facts.holds.filter(({ id }) => id !== found.id);
  const [first] = conflictOf(facts.connectors, others, wished) ?? [];
  return first && taken(chargerId, connectorId, first);
}

async function ask(
  ports: ReservingPorts,
  found: Reservation,
  expiryDate: Date,
  policy: ReservationPolicy,
): Promise<Reservation | ExtendReservationRefusal> {
  const { reservations, calls } = ports;
  const outcome = await calls.call(found.chargerId, reserveCommand({ ...found, expiryDate }));
  switch (outcome.type) {
    case 'answer':
    case 'call-error': {
      const answer = outcome.type === 'answer' ? outcome.answer : 'CALL_ERROR';
      if (answer === 'ACCEPTED') {
        return settledBy(
          await settleHeld(ports, found, { type: 'extended', expiryDate }, { actor: 'CHARGER', isRepeat: true }),
        );
      }
      if (policy.extensionMayReplace && outcome.type === 'answer') return replace(ports, found, expiryDate, answer);
      // Some chargers drop the hold when they refuse an extension: verify it once the connector has had time to report.
      await doubt(ports, found.id, { givesBackClaim: true });
      return refused((await reservations.byId(found.id)) ?? found, answer);
    }
    case 'timed-out':
    case 'connection-lost':
      return settledBy(
        await transition(ports, found, { type: 'unverified', reason: reasonOf(outcome.type) }, 'SERVER'),
      );
    case 'offline':
      // Nothing was sent: when the charger comes back, the verification asks for the unchanged expiry date.
      await makeDue(ports, found.id, { givesBackClaim: true });
      return unchanged(found);
    default:
      return outcome satisfies never;
  }
}

/**
 * For a charger that refuses to replace: cancels the old id there and sends ReserveNow with a fresh one; the connector
 * stays held here meanwhile.
 */
async function replace(
  ports: ReservingPorts,
  found: Reservation,
  expiryDate: Date,
  answer: ChargerRefusal['answer'],
): Promise<Reservation | ExtendReservationRefusal> {
  const { reservations, calls } = ports;
  const cancelled = await calls.call(found.chargerId, cancelCommand(found));
  if (cancelled.type !== 'answer') {
    await transition(ports, found, { type: 'unverified', reason: 'TIMEOUT' }, 'SERVER');
    return refused((await reservations.byId(found.id)) ?? found, answer);
  }
  const reservationId = await reservations.nextReservationId();
  const replaced = await transition(ports, found, { type: 'replaced', reservationId, expiryDate }, 'SERVER');
  if (!replaced.isChanged) return settledBy(replaced);
  const outcome = await calls.call(found.chargerId, reserveCommand(replaced.reservation));
  if (outcome.type === 'offline') return replaced.reservation;
  const { reservation } = await settleReserve(ports, replaced.reservation, outcome);
  return reservation.status === 'REJECTED' ? refused(reservation, answer) : reservation;
}

const settledBy = ({ reservation }: { readonly reservation: Reservation }): Reservation | EndedRefusal =>
  isLive(reservation.status) ? reservation : ended(reservation);

const refused = (reservation: Reservation, answer: ChargerRefusal['answer']): ChargerRefusal => ({
  code: 'CHARGER_REFUSED',
  message: `Charger "${reservation.chargerId}" refused to extend the reservation: ${answer}.`,
  answer,
  reservation,
});
