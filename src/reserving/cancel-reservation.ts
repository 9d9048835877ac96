// cancelReservation: stores the wish, asks the charger, and ends the reservation once the charger no longer holds it.
import { withDeadline } from '../common/clock.ts';
import { settleCancel } from '../lifecycle/settle-reservation.ts';
import { transition } from '../lifecycle/transition.ts';
import type { Caller } from '../model/access/caller.ts';
import { actsForOthers } from '../model/access/rights.ts';
import type { Outcome } from '../model/charger/charger-calls.ts';
import { type InputRefusal, invalidInput } from '../model/refusals/input.ts';
import { type NotFoundRefusal, reservationNotFound } from '../model/refusals/not-found.ts';
import type { OfflineRefusal } from '../model/reservation/admission.ts';
import { cancelCommand } from '../model/reservation/commands.ts';
import { type ChargerRefusal, type EndedRefusal, ended, type ForbiddenRefusal } from '../model/reservation/refusals.ts';
import { type CancelReason, isHolding, isLive, type Reservation } from '../model/reservation/reservation.ts';
import { decideCancel, isLateCancel, type PolicyRefusal, policyRefusal } from '../model/site/decide.ts';
import { defaultPolicy, type ReservationPolicy, resolvePolicy } from '../model/site/policy.ts';
import { findVisible, type ReservationName } from './find-visible.ts';
import type { ReservingPorts } from './ports.ts';

export interface CancelReservationInput extends ReservationName {
  readonly reason?: CancelReason;
  /** Operators only: ends the reservation at once, without waiting for the charger's answer. */
  readonly force?: boolean;
}

export interface CancelOfflineRefusal extends OfflineRefusal {
  readonly reservation: Reservation;
}
export type CancelReservationRefusal =
  | NotFoundRefusal
  | EndedRefusal
  | ChargerRefusal
  | CancelOfflineRefusal
  | InputRefusal
  | PolicyRefusal
  | ForbiddenRefusal;

/**
 * Returns the reservation as CANCELLED, or as CANCELLING if the charger did not answer in time: the request is stored
 * first and kept until the charger answers or the hold expires. If the charger is offline or answers a CALLERROR, the
 * result is a refusal; the reservation in it is CANCELLING as well.
 */
export async function cancelReservation(
  ports: ReservingPorts,
  caller: Caller,
  input: CancelReservationInput,
): Promise<Reservation | CancelReservationRefusal> {
  const refusal = checkInput(caller, input);
  if (refusal) return refusal;
  const found = await findVisible(ports.reservations, caller, input);
  if (!found) return reservationNotFound;
  const reason = input.reason ?? (actsForOthers(caller) ? 'OPERATOR_REQUEST' : 'DRIVER_REQUEST');

  // A cancel by an operator is never refused by the policy, nor counted as late.
  const now = ports.clock.now();
  const policy = !actsForOthers(caller) && isLive(found.status) ? await policyOf(ports, found) : defaultPolicy;
  const forbidden = policyRefusal(decideCancel(policy, found, now));
  if (forbidden) return forbidden;
  const isLate = isLateCancel(policy, found, now);
  const wished = await transition(ports, found, { type: 'cancel-requested', reason, isLate }, caller.role);
  if (wished.isChanged && wished.reservation.status === 'CANCELLED') return wished.reservation;
  if (!isHolding(wished.reservation.status)) return ended(wished.reservation);

  const { chargerId, enforcement } = wished.reservation;
  if (input.force || enforcement === 'SERVER') return release(ports, wished.reservation, reason, caller);
  const call = ports.calls.call(chargerId, cancelCommand(wished.reservation));
  const settle = async (outcome: Outcome) => {
    const { reservation } = await settleCancel(ports, wished.reservation, outcome, reason, caller.role);
    return { outcome, reservation };
  };
  const settling = ports.background.track(call.then(settle));
  // Settling continues after the deadline below: its result is stored, and its failure is logged.
  settling.catch((error) => ports.log.error({ error, reservation: found.id }, 'the answer to a cancel was not stored'));
  const settled = await withDeadline(ports.clock, settling, ports.answerTimeoutMs * 2);
  if (!settled) return wished.reservation;
  const { outcome, reservation } = settled;
  if (reservation.status === 'USED') return ended(reservation);
  if (outcome.type === 'offline' && reservation.status === 'CANCELLING') return offline(reservation);
  if (outcome.type === 'call-error' && reservation.status === 'CANCELLING') return refused(reservation, outcome.code);
  return reservation;
}

async function policyOf(
  { policies }: ReservingPorts,
  { siteId, chargerId, holderGroup }: Reservation,
): Promise<ReservationPolicy> {
  const known = await policies.ofSite(siteId);
  return known ? resolvePolicy(known, { chargerId, group: holderGroup }) : defaultPolicy;
}

/**
 * Ends the reservation here at once (by force, or a server-side hold); a charger that may hold it gets its cancel
 * later, as an owed release.
 */
async function release(ports: ReservingPorts, wished: Reservation, reason: CancelReason, caller: Caller) {
  const released = { type: 'released', reason } as const;
  const isReleaseOwed = wished.enforcement === 'CHARGER';
  const { reservation } = await transition(ports, wished, released, caller.role, { isReleaseOwed });
  return reservation.status === 'CANCELLED' ? reservation : ended(reservation);
}

function checkInput(caller: Caller, input: CancelReservationInput): InputRefusal | ForbiddenRefusal | undefined {
  const byWireId = input.chargerId !== undefined && input.reservationId !== undefined;
  if ((input.id !== undefined) === byWireId || (!byWireId && (input.chargerId ?? input.reservationId) !== undefined)) {
    return invalidInput('id', 'Give either id, or chargerId and reservationId together.');
  }
  if (actsForOthers(caller)) return undefined;
  if (input.force) return { code: 'FORBIDDEN', message: 'Only an operator can end a reservation by force.' };
  if (input.reason === undefined || input.reason === 'DRIVER_REQUEST') return undefined;
  return { code: 'FORBIDDEN', message: 'A driver can only cancel with the reason DRIVER_REQUEST.' };
}

function offline(reservation: Reservation): CancelOfflineRefusal {
  const { chargerId } = reservation;
  const message = `Charger "${chargerId}" is not connected; the cancellation is kept and sent when it comes back.`;
  return { code: 'CHARGER_OFFLINE', message, chargerId, reservation };
}

function refused(reservation: Reservation, code: string): ChargerRefusal {
  const message = `Charger "${reservation.chargerId}" failed to cancel (${code}); it will be asked again.`;
  return { code: 'CHARGER_REFUSED', message, answer: 'CALL_ERROR', reservation };
}
