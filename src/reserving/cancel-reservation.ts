// cancelReservation: frees the connector, on the charger too. It never stops a transaction.

import type { Background } from '../common/background.ts';
import { type Clock, withDeadline } from '../common/clock.ts';
import { isUuid } from '../common/identifier.ts';
import type { Log } from '../common/log.ts';
import type { SettleCancel } from '../lifecycle/settle-reservation.ts';
import type { Transition } from '../lifecycle/transition.ts';
import type { Caller } from '../model/access/caller.ts';
import { actsForOthers, maySeeReservation } from '../model/access/rights.ts';
import type { ChargerCalls, Outcome } from '../model/charger/charger-calls.ts';
import { type InputRefusal, invalidInput } from '../model/refusals/input.ts';
import { type NotFoundRefusal, reservationNotFound } from '../model/refusals/not-found.ts';
import { type OfflineRefusal } from '../model/reservation/admission.ts';
import { cancelCommand } from '../model/reservation/commands.ts';
import { type ChargerRefusal, type EndedRefusal, ended, type ForbiddenRefusal } from '../model/reservation/refusals.ts';
import { type CancelReason, isHolding, isLive, type Reservation } from '../model/reservation/reservation.ts';
import { decideCancel, isLateCancel, type PolicyRefusal, policyRefusal } from '../model/site/decide.ts';
import { defaultPolicy, type ReservationPolicy, resolvePolicy } from '../model/site/policy.ts';
import type { ReservationRepository } from '../storage/reservations/reservation.repository.ts';
import type { KnownPolicies } from '../storage/sites/known-policies.ts';

export interface CancelReservationInput {
  readonly id?: string;
  readonly chargerId?: string;
  readonly reservationId?: number;
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

export interface CancelReservationPorts {
  readonly reservations: ReservationRepository;
  readonly policies: KnownPolicies;
  readonly calls: ChargerCalls;
  readonly transition: Transition;
  readonly settleCancel: SettleCancel;
  readonly background: Background;
  readonly clock: Clock;
  readonly log: Log;
  readonly answerTimeoutMs: number;
}

export type CancelReservation = (
  caller: Caller,
  input: CancelReservationInput,
) => Promise<Reservation | CancelReservationRefusal>;

/**
 * Returns the reservation as CANCELLED, or as CANCELLING if the charger did not answer in time: the request is stored
 * first and kept until the charger answers or the hold expires. If the charger is offline or answers a CALLERROR, the
 * result is a refusal; the reservation in it is CANCELLING as well.
 */
export const cancelReservation =
  (ports: CancelReservationPorts): CancelReservation =>
  async (caller, input) => {
    const refusal = checkInput(caller, input);
    if (refusal) return refusal;
    const found = await findOwn(ports.reservations, input, (one) => maySeeReservation(caller, one));
    if (!found) return reservationNotFound;
    const reason = input.reason ?? (actsForOthers(caller) ? 'OPERATOR_REQUEST' : 'DRIVER_REQUEST');

    // A cancel by an operator is never refused by the policy, nor counted as late.
    const now = ports.clock.now();
    const policy = !actsForOthers(caller) && isLive(found.status) ? await policyOf(ports, found) : defaultPolicy;
    const forbidden = policyRefusal(decideCancel(policy, found, now));
    if (forbidden) return forbidden;
    const isLate = isLateCancel(policy, found, now);
    const wished = await ports.transition(found, { type: 'cancel-requested', reason, isLate }, caller.role);
    if (wished.isChanged && wished.reservation.status === 'CANCELLED') return wished.reservation;
    if (!isHolding(wished.reservation.status)) return ended(wished.reservation);

    const { chargerId, enforcement } = wished.reservation;
    if (input.force || enforcement === 'SERVER') return release(ports, wished.reservation, reason, caller);
    const call = ports.calls.call(chargerId, cancelCommand(wished.reservation));
    const settle = async (outcome: Outcome) => {
      const { reservation } = await ports.settleCancel(wished.reservation, outcome, reason, caller.role);
      return { outcome, reservation };
    };
    const settling = ports.background.track(call.then(settle));
    // Settling continues after the deadline below: its result is stored, and its failure is logged.
    settling.catch((error) =>
      ports.log.error({ error, reservation: found.id }, 'the answer to a cancel was not stored'),
    );
    const settled = await withDeadline(ports.clock, settling, ports.answerTimeoutMs * 2);
    if (!settled) return wished.reservation;
    const { outcome, reservation } = settled;
    if (reservation.status === 'USED') return ended(reservation);
    if (outcome.type === 'offline' && reservation.status === 'CANCELLING') return offline(reservation);
    if (outcome.type === 'call-error' && reservation.status === 'CANCELLING') return refused(reservation, outcome.code);
    return reservation;
  };

async function policyOf(
  { policies }: CancelReservationPorts,
  { siteId, chargerId, holderGroup }: Reservation,
): Promise<ReservationPolicy> {
  const known = await policies.ofSite(siteId);
  return known ? resolvePolicy(known, { chargerId, group: holderGroup }) : defaultPolicy;
}

/**
 * Ends the reservation here at once (by force, or a server-side hold); a charger that may hold it gets its cancel
 * later, as an owed release.
 */
async function release(ports: CancelReservationPorts, wished: Reservation, reason: CancelReason, caller: Caller) {
  const released = { type: 'released', reason } as const;
  const isReleaseOwed = wished.enforcement === 'CHARGER';
  const { reservation } = await ports.transition(wished, released, caller.role, { isReleaseOwed });
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

/** Finds by id, or by chargerId and reservationId; returns undefined also if the caller may not see the reservation. */
export async function findOwn(
  reservations: ReservationRepository,
  { id, chargerId, reservationId }: Pick<CancelReservationInput, 'id' | 'chargerId' | 'reservationId'>,
  maySee: (reservation: Reservation) => boolean,
): Promise<Reservation | undefined> {
  const read = () =>
    id === undefined ? reservations.byWireId(chargerId ?? '', reservationId ?? 0) : reservations.byId(id);
  const found = id === undefined || isUuid(id) ? await read() : undefined;
  return found && maySee(found) ? found : undefined;
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
