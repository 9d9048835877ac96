// reserveNow: store the hold, ask the charger, answer with what it said.
import { createHash, randomUUID } from 'node:crypto';
import { type Caller, maySeeSite, mayUseIdTag } from '../auth/caller.ts';
import type { ChargerAnswer, ChargerCalls } from '../charger/charger-calls.ts';
import type { Background } from '../common/background.ts';
import { addMs, type Clock, MINUTE_MS, withDeadline } from '../common/clock.ts';
import type { Log } from '../common/log.ts';
import { type InputRefusal, invalidInput, isRefusal, type Refusal } from '../common/refusal.ts';
import { sameId } from '../id-tag/id-tag.ts';
import {
  type AdmissionRefusal,
  admit,
  chargerNotFound,
  enforcementOf,
  type HoldRequest,
  type IdTagRefusal,
  type OfflineRefusal,
  reservationIdInUse,
} from './admission.ts';
import { reserveCommand } from './commands.ts';
import type { ReservationRepository } from './reservation.repository.ts';
import type { Reservation } from './reservation.ts';
import type { SettleReserve } from './settle-reservation.ts';
import type { Transition } from './transition.ts';

export interface ReserveNowInput {
  readonly chargerId: string;
  readonly connectorId: number;
  readonly idTag: string;
  readonly parentIdTag?: string;
  readonly expiryDate?: Date;
  readonly durationMinutes?: number;
  readonly reservationId?: number;
  readonly idempotencyKey?: string;
  readonly waitMs?: number;
}

export interface IdempotencyRefusal extends Refusal {
  readonly code: 'IDEMPOTENCY_KEY_REUSED';
  readonly idempotencyKey: string;
}
export interface ChargerRefusal extends Refusal {
  readonly code: 'CHARGER_REFUSED';
  readonly answer: Exclude<ChargerAnswer, 'ACCEPTED'> | 'NOT_SUPPORTED' | 'CALL_ERROR';
  readonly reservation: Reservation;
}
export type ReserveNowRefusal = AdmissionRefusal | InputRefusal | IdempotencyRefusal | ChargerRefusal;

export interface ReserveNowPorts {
  readonly reservations: ReservationRepository;
  readonly calls: ChargerCalls;
  readonly transition: Transition;
  readonly settleReserve: SettleReserve;
  readonly background: Background;
  readonly announce: () => void;
  readonly wakeSettler: (at: Date) => void;
  /** Resolves with the reservation once it has left PENDING, or undefined after `waitMs`. */
  readonly untilAnswered: (id: string, waitMs: number) => Promise<Reservation | undefined>;
  readonly clock: Clock;
  readonly log: Log;
  readonly answerTimeoutMs: number;
  readonly callLeaseMs: number;
}

export type ReserveNow = (caller: Caller, input: ReserveNowInput) => Promise<Reservation | ReserveNowRefusal>;

/**
 * Returns the reservation as the charger's answer left it, or as it stands after `waitMs`; or the refusal, in which
 * case nothing is held. Faults: the database cannot be reached.
 */
export const reserveNow =
  (ports: ReserveNowPorts): ReserveNow =>
  async (caller, input) => {
    const startsAt = ports.clock.now();
    const refusal = checkInput(input, startsAt) ?? checkIdTag(caller, input.idTag);
    if (refusal) return refusal;

    const replay = await findReplay(ports, caller, input);
    if (replay) return replay;

    const held = await hold(ports, caller, input, startsAt);
    if (held === 'IDEMPOTENCY_KEY_USED' || isRefusal(held)) {
      // What stands in the way may be this very request, sent at the same time under the same key.
      const twin = await findReplay(ports, caller, input);
      return twin ?? (isRefusal(held) ? held : idempotencyKeyReused(input.idempotencyKey ?? ''));
    }

    if (held.enforcement === 'SERVER')
      return (await ports.transition(held, { type: 'accepted' }, 'SERVER')).reservation;
    const answered = ports.background.track(askCharger(ports, held));
    const settled = await withDeadline(ports.clock, answered, input.waitMs ?? ports.answerTimeoutMs * 2);
    return asAnswer(settled ?? (await ports.reservations.byId(held.id)) ?? held);
  };

/** Reads the facts, decides, stores; begins anew when another hold was made on the charger in between. */
async function hold(
  ports: ReserveNowPorts,
  caller: Caller,
  input: ReserveNowInput,
  startsAt: Date,
): Promise<Reservation | ReserveNowRefusal | 'IDEMPOTENCY_KEY_USED'> {
  const { chargerId, connectorId, idTag, reservationId, idempotencyKey } = input;
  const requestDigest = idempotencyKey === undefined ? undefined : digestOf(input);
  // Ends: each round that is lost was won by another hold, and a charger has only so many connectors.
  for (;;) {
    const facts = await ports.reservations.facts(input, startsAt);
    if (!facts || !maySeeSite(caller, facts.siteId)) return chargerNotFound(chargerId);
    const minutes = input.durationMinutes ?? facts.policy.defaultDurationMinutes;
    const expiryDate = input.expiryDate ?? addMs(startsAt, minutes * MINUTE_MS);
    const parent = input.parentIdTag;
    const group = parent === undefined ? {} : { parentIdTag: parent };
    const request: HoldRequest = {
      ...{ chargerId, connectorId, idTag, startsAt, expiryDate },
      ...group,
      ...(reservationId !== undefined && { reservationId }),
    };
    if (parent !== undefined && caller.role === 'DRIVER' && !sameId(parent, facts.idTag?.parentIdTag)) {
      return invalidInput('parentIdTag', `"${parent}" is not the parentIdTag of "${idTag}".`);
    }
    const refusal = admit(facts, request);
    if (refusal) return refusal;
    const made = {
      ...request,
      id: randomUUID(),
      tokenType: facts.idTag?.tokenType ?? 'ISO14443',
      createdBy: caller.subject,
      actor: caller.role,
      enforcement: enforcementOf(facts),
      dueAt: addMs(startsAt, ports.callLeaseMs),
      ...(idempotencyKey !== undefined && { idempotencyKey }),
      ...(requestDigest !== undefined && { requestDigest }),
    };
    const stored = await ports.reservations.insert(made, facts.holdVersion);
    if (stored === 'IDEMPOTENCY_KEY_USED') return stored;
    if (stored === 'RESERVATION_ID_IN_USE') return reservationIdInUse(chargerId, reservationId ?? 0);
    if (typeof stored === 'string') continue;
    ports.announce();
    ports.wakeSettler(expiryDate);
    return stored;
  }
}

/** Goes on in the background when the caller waits no longer; what it cannot store, the settler will find. */
function askCharger(ports: ReserveNowPorts, reservation: Reservation): Promise<Reservation | undefined> {
  const call = ports.calls.call(reservation.chargerId, reserveCommand(reservation));
  const settled = call.then((outcome) => ports.settleReserve(reservation, outcome));
  return settled.then(
    (result) => result.reservation,
    (error) => {
      ports.log.error({ error, reservation: reservation.id }, 'the answer to ReserveNow could not be stored');
      return undefined;
    },
  );
}

/** The same request again (same caller, same key) gets the same reservation, and waits for its answer as the first does. */
async function findReplay(ports: ReserveNowPorts, caller: Caller, input: ReserveNowInput) {
  if (input.idempotencyKey === undefined) return undefined;
  const found = await ports.reservations.byIdempotencyKey(caller.subject, input.idempotencyKey);
  if (!found) return undefined;
  if (found.requestDigest !== digestOf(input)) return idempotencyKeyReused(input.idempotencyKey);
  const waitMs = input.waitMs ?? ports.answerTimeoutMs;
  const answered =
    found.reservation.status === 'PENDING' ? await ports.untilAnswered(found.reservation.id, waitMs) : undefined;
  return asAnswer(answered ?? found.reservation);
}

/** What ended without ever holding the connector is told as the refusal it was. */
function asAnswer(reservation: Reservation): Reservation | ReserveNowRefusal {
  const { chargerId } = reservation;
  if (reservation.status === 'REJECTED') {
    const answer = reservation.reason as ChargerRefusal['answer'];
    const message = `Charger "${chargerId}" refused the reservation: ${answer}.`;
    return { code: 'CHARGER_REFUSED', message, answer, reservation };
  }
  if (reservation.status === 'FAILED' && reservation.reason === 'OFFLINE') return wentOffline(chargerId);
  return reservation;
}

const wentOffline = (chargerId: string): OfflineRefusal => ({
  code: 'CHARGER_OFFLINE',
  message: `Charger "${chargerId}" lost its connection before it could be asked; nothing was reserved.`,
  chargerId,
});

const MAX_INT32 = 2_147_483_647;

function checkInput(input: ReserveNowInput, now: Date): InputRefusal | undefined {
  const { connectorId, idTag, parentIdTag, expiryDate, durationMinutes, reservationId, idempotencyKey, waitMs } = input;
  const within = (value: number | undefined, min: number, max: number) =>
    value === undefined || (Number.isInteger(value) && value >= min && value <= max);
  if (input.chargerId === '') return invalidInput('chargerId', 'It must not be empty.');
  if (!within(connectorId, 0, 65_535))
    return invalidInput('connectorId', 'It must be 0 (the charger chooses) or more.');
  if (!isIdentifier(idTag)) return invalidInput('idTag', 'It must have 1 to 255 printable characters.');
  if (parentIdTag !== undefined && !isIdentifier(parentIdTag)) {
    return invalidInput('parentIdTag', 'It must have 1 to 255 printable characters.');
  }
  if (expiryDate && durationMinutes !== undefined) {
    return invalidInput('durationMinutes', 'Give expiryDate or durationMinutes, not both.');
  }
  if (!within(durationMinutes, 1, 525_600)) return invalidInput('durationMinutes', 'It must be 1 or more.');
  if (expiryDate && expiryDate <= now) {
    return invalidInput('expiryDate', `It must be in the future; the server's time is ${now.toISOString()}.`);
  }
  if (!within(reservationId, 1, MAX_INT32)) return invalidInput('reservationId', `It must be from 1 to ${MAX_INT32}.`);
  if (idempotencyKey !== undefined && !isIdentifier(idempotencyKey)) {
    return invalidInput('idempotencyKey', 'It must have 1 to 255 printable characters.');
  }
  if (!within(waitMs, 0, 600_000)) return invalidInput('waitMs', 'It must be from 0 to 600000.');
  return undefined;
}

const isIdentifier = (text: string) => /^[\x20-\x7e]{1,255}$/.test(text);

function checkIdTag(caller: Caller, idTag: string): IdTagRefusal | undefined {
  if (mayUseIdTag(caller, idTag)) return undefined;
  return { code: 'NOT_YOUR_ID_TAG', message: `The idTag "${idTag}" is not one of yours.`, idTag };
}

const idempotencyKeyReused = (idempotencyKey: string): IdempotencyRefusal => ({
  code: 'IDEMPOTENCY_KEY_REUSED',
  message: 'This idempotencyKey was used for another request; use a new one for each reservation you want.',
  idempotencyKey,
});

function digestOf({ idempotencyKey: _, waitMs: __, ...request }: ReserveNowInput): string {
  const members = Object.entries(request).filter(([, value]) => value !== undefined);
  return createHash('sha256').update(JSON.stringify(members.toSorted())).digest('base64url');
}
