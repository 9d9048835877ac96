// extendReservation: the same hold, longer. It counts only once the charger has accepted it.
import { type Caller, maySeeReservation } from '../auth/caller.ts';
import type { ChargerCalls } from '../charger/charger-calls.ts';
import type { Background } from '../common/background.ts';
import { addMs, withDeadline } from '../common/clock.ts';
import { type InputRefusal, invalidInput, type Refusal } from '../common/refusal.ts';
import { checkExtension, type PolicyRefusal, type ReservationPolicy } from '../site/policy.ts';
import type { SiteRepository } from '../site/site.repository.ts';
import type { NotFoundRefusal, OfflineRefusal } from './admission.ts';
import { askAgain, doubt } from './ask-again.ts';
import { type EndedRefusal, ended, findOwn, notFound } from './cancel-reservation.ts';
import { cancelCommand, reserveCommand } from './commands.ts';
import { isHolding, type Reservation } from './reservation.ts';
import type { ChargerRefusal } from './reserve-now.ts';
import { reasonOf, type SettlePorts, type SettleReserve, settleHeld } from './settle-reservation.ts';

export interface ExtendReservationInput {
  readonly id: string;
  /** When it is to end; the same request again asks for the same. */
  readonly expiryDate: Date;
}

export interface NotSettledRefusal extends Refusal {
  readonly code: 'NOT_SETTLED';
  readonly reservation: Reservation;
}
export type ExtendReservationRefusal =
  | NotFoundRefusal
  | EndedRefusal
  | NotSettledRefusal
  | PolicyRefusal
  | InputRefusal
  | ChargerRefusal
  | OfflineRefusal;

export interface ExtendReservationPorts extends SettlePorts {
  readonly sites: SiteRepository;
  readonly calls: ChargerCalls;
  readonly settleReserve: SettleReserve;
  readonly background: Background;
  readonly answerTimeoutMs: number;
  readonly callLeaseMs: number;
}

export type ExtendReservation = (
  caller: Caller,
  input: ExtendReservationInput,
) => Promise<Reservation | ExtendReservationRefusal>;

/** An extension may take three commands: the replacing one, a cancel, and a fresh one. */
const COMMANDS = 3;

/**
 * Returns the reservation with its new expiry date; or as UNKNOWN where the charger did not answer, in which case it is
 * settled with the old one. A charger's refusal leaves it as it was, once it is clear that the charger still holds it.
 */
export const extendReservation =
  (ports: ExtendReservationPorts): ExtendReservation =>
  async (caller, input) => {
    const { reservations, transition, clock, wakeSettler, callLeaseMs, answerTimeoutMs, log } = ports;
    const found = await findOwn(reservations, input, (one) => maySeeReservation(caller, one));
    if (!found) return notFound;
    if (!isHolding(found.status)) return ended(found);
    const { expiryDate } = input;
    const policy = (await ports.sites.byIds([found.siteId]))[0]?.policy;
    const refusal = check(found, expiryDate, policy);
    if (refusal) return refusal;
    if (found.expiryDate.getTime() === expiryDate.getTime()) return found;
    if (found.status !== 'ACCEPTED') return notSettled(found);
    if (found.enforcement === 'SERVER')
      return settledBy(await transition(found, { type: 'extended', expiryDate }, caller.role));

    // One at a time: two extensions could reach the charger in another order than the database.
    const dueAt = addMs(clock.now(), COMMANDS * callLeaseMs);
    if (!(await reservations.claimToExtend(found, dueAt, clock.now()))) {
      const current = (await reservations.byId(found.id)) ?? found;
      return isHolding(current.status) ? notSettled(current) : ended(current);
    }
    wakeSettler(dueAt);
    const asked = ports.background.track(ask(ports, found, expiryDate, policy));
    asked.catch((error) => log.error({ error, reservation: found.id }, 'the answer to an extension was not stored'));
    const answer = await withDeadline(clock, asked, COMMANDS * 2 * answerTimeoutMs);
    return answer ?? (await reservations.byId(found.id)) ?? found;
  };

async function ask(
  ports: ExtendReservationPorts,
  found: Reservation,
  expiryDate: Date,
  policy: ReservationPolicy | undefined,
): Promise<Reservation | ExtendReservationRefusal> {
  const { reservations, transition, calls } = ports;
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
      if (policy?.extensionMayReplace && outcome.type === 'answer') return replace(ports, found, expiryDate, answer);
      // Some charger lost the hold over this: it is verified once its connector has had the time to say so.
      await doubt(ports, found.id, { givesBackClaim: true });
      return refused((await reservations.byId(found.id)) ?? found, answer);
    }
    case 'timed-out':
    case 'connection-lost':
      return settledBy(await transition(found, { type: 'unverified', reason: reasonOf(outcome.type) }, 'SERVER'));
    case 'offline':
      // Nothing was sent; a charger that comes back is asked no more than it was.
      await askAgain(ports, found.id, { givesBackClaim: true });
      return offline(found);
    default:
      return outcome satisfies never;
  }
}

/** A charger that does not replace: cancel, and hold under a fresh id, while the connector stays held here. */
async function replace(
  ports: ExtendReservationPorts,
  found: Reservation,
  expiryDate: Date,
  answer: ChargerRefusal['answer'],
): Promise<Reservation | ExtendReservationRefusal> {
  const { reservations, transition, calls, settleReserve } = ports;
  const cancelled = await calls.call(found.chargerId, cancelCommand(found));
  if (cancelled.type !== 'answer') {
    await transition(found, { type: 'unverified', reason: 'TIMEOUT' }, 'SERVER');
    return refused((await reservations.byId(found.id)) ?? found, answer);
  }
  const reservationId = await reservations.nextReservationId();
  const replaced = await transition(found, { type: 'replaced', reservationId, expiryDate }, 'SERVER');
  if (!replaced.isChanged) return settledBy(replaced);
  const outcome = await calls.call(found.chargerId, reserveCommand(replaced.reservation));
  if (outcome.type === 'offline') return replaced.reservation;
  const { reservation } = await settleReserve(replaced.reservation, outcome);
  return reservation.status === 'REJECTED' ? refused(reservation, answer) : reservation;
}

const settledBy = ({ reservation }: { readonly reservation: Reservation }): Reservation | EndedRefusal =>
  isHolding(reservation.status) ? reservation : ended(reservation);

function check(
  found: Reservation,
  expiryDate: Date,
  policy: ReservationPolicy | undefined,
): InputRefusal | PolicyRefusal | undefined {
  if (expiryDate < found.expiryDate) {
    return invalidInput('expiryDate', `It must not be before ${found.expiryDate.toISOString()}; to end it, cancel it.`);
  }
  return policy && checkExtension(policy, found.startsAt, expiryDate);
}

const notSettled = (reservation: Reservation): NotSettledRefusal => ({
  code: 'NOT_SETTLED',
  message: `The reservation is ${reservation.status} and the charger is being asked about it; try again in a moment.`,
  reservation,
});

const offline = (reservation: Reservation): OfflineRefusal & { readonly reservation: Reservation } => ({
  code: 'CHARGER_OFFLINE',
  message: `Charger "${reservation.chargerId}" is not connected; the reservation stays as it is.`,
  chargerId: reservation.chargerId,
  reservation,
});

const refused = (reservation: Reservation, answer: ChargerRefusal['answer']): ChargerRefusal => ({
  code: 'CHARGER_REFUSED',
  message: `Charger "${reservation.chargerId}" refused to extend the reservation: ${answer}.`,
  answer,
  reservation,
});
