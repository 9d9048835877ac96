// What reserveNow and scheduleReservation have in common before anything is read: the input by itself, who may ask, the
// same request sent again, and the refusals that are noted.
import { createHash } from 'node:crypto';
import { addMs, MINUTE_MS } from '../common/clock.ts';
import type { Caller } from '../model/access/caller.ts';
import { maySeeReservation, mayUseGroup, mayUseIdTag } from '../model/access/rights.ts';
import { checkIdentifier, type InputRefusal, invalidInput } from '../model/refusals/input.ts';
import { isRefusal, type Refusal } from '../model/refusals/refusal.ts';
import { type IdTagRefusal } from '../model/reservation/admission.ts';
import type { Reservation } from '../model/reservation/reservation.ts';
import type { ReservationRepository } from '../storage/reservations/reservation.repository.ts';

export interface HoldInput {
  /** One of the two. */
  readonly chargerId?: string;
  readonly siteId?: string;
  readonly connectorId: number;
  readonly plugType?: string;
  /** Absent: for the group alone. */
  readonly idTag?: string;
  readonly parentIdTag?: string;
  readonly expiryDate?: Date;
  readonly durationMinutes?: number;
  readonly reservationId?: number;
  readonly idempotencyKey?: string;
  readonly preempt?: boolean;
}

export interface IdempotencyRefusal extends Refusal {
  readonly code: 'IDEMPOTENCY_KEY_REUSED';
  readonly idempotencyKey: string;
}

/** What a hold is stored with, so that the same request is known again. */
export interface HoldKey {
  readonly idempotencyKey?: string;
  readonly requestDigest?: string;
}

const MAX_INT32 = 2_147_483_647;

export const isWithin = (value: number | undefined, min: number, max: number) =>
  value === undefined || (Number.isInteger(value) && value >= min && value <= max);

/** `startsAt` is now, or when the booking begins. */
export function checkHoldInput(input: HoldInput, startsAt: Date): InputRefusal | undefined {
  const { chargerId, siteId, connectorId, idTag, parentIdTag, expiryDate, durationMinutes } = input;
  if ((chargerId === undefined) === (siteId === undefined)) {
    return invalidInput('chargerId', 'Give either chargerId, or siteId for any free connector of the site.');
  }
  const wrongPlace = checkIdentifier('chargerId', chargerId) ?? checkIdentifier('siteId', siteId);
  if (wrongPlace) return wrongPlace;
  if (siteId !== undefined && input.preempt)
    return invalidInput('preempt', 'It takes the place of a reservation of one charger: give its chargerId.');
  if (!isWithin(connectorId, 0, 65_535))
    return invalidInput('connectorId', 'It must be 0 (the charger chooses) or more.');
  if (siteId !== undefined && connectorId > 0)
    return invalidInput('connectorId', 'A connector belongs to a charger: give its chargerId.');
  if (siteId !== undefined && input.reservationId !== undefined)
    return invalidInput('reservationId', 'It belongs to a charger: give its chargerId.');
  const wrongPlug = checkIdentifier('plugType', input.plugType);
  if (wrongPlug) return wrongPlug;
  if (input.plugType !== undefined && connectorId > 0)
    return invalidInput('plugType', 'Give connectorId or plugType, not both.');
  if (idTag === undefined && parentIdTag === undefined)
    return invalidInput('idTag', 'Give an idTag, or a parentIdTag to reserve for the group alone.');
  const wrongHolder = checkIdentifier('idTag', idTag) ?? checkIdentifier('parentIdTag', parentIdTag);
  if (wrongHolder) return wrongHolder;
  if (expiryDate && durationMinutes !== undefined) {
    return invalidInput('durationMinutes', 'Give expiryDate or durationMinutes, not both.');
  }
  if (!isWithin(durationMinutes, 1, 525_600)) return invalidInput('durationMinutes', 'It must be 1 or more.');
  if (expiryDate && expiryDate <= startsAt) {
    return invalidInput('expiryDate', `It must be later than the start, which is ${startsAt.toISOString()}.`);
  }
  if (!isStorable(expiryDate ?? addMs(startsAt, (durationMinutes ?? 0) * MINUTE_MS)))
    return invalidInput(expiryDate ? 'expiryDate' : 'durationMinutes', 'It is too far away.');
  if (!isWithin(input.reservationId, 1, MAX_INT32))
    return invalidInput('reservationId', `It must be from 1 to ${MAX_INT32}.`);
  return checkIdentifier('idempotencyKey', input.idempotencyKey);
}

/** PostgreSQL and the calendar go on, OCPP's dates do not. */
export const isStorable = (at: Date): boolean => at.getTime() < Date.UTC(10_000, 0);

/** With its own idTags, or for its own groups alone. */
export function checkHolder(caller: Caller, { idTag, parentIdTag }: HoldInput): IdTagRefusal | undefined {
  if (idTag !== undefined) {
    if (mayUseIdTag(caller, idTag)) return undefined;
    return { code: 'NOT_YOUR_ID_TAG', message: `The idTag "${idTag}" is not one of yours.`, idTag };
  }
  if (mayUseGroup(caller, parentIdTag ?? '')) return undefined;
  const message = `The group "${parentIdTag}" is not one of yours.`;
  return { code: 'NOT_YOUR_ID_TAG', message, idTag: parentIdTag ?? '' };
}

const idempotencyKeyReused = (idempotencyKey: string): IdempotencyRefusal => ({
  code: 'IDEMPOTENCY_KEY_REUSED',
  message: 'This idempotencyKey was used for another request; use a new one for each reservation you want.',
  idempotencyKey,
});

function digestOf(input: HoldInput & { readonly waitMs?: number }): string {
  const { idempotencyKey: _, waitMs: __, ...request } = input;
  const members = Object.entries(request).filter(([, value]) => value !== undefined);
  return createHash('sha256').update(JSON.stringify(members.toSorted())).digest('base64url');
}

/** What the same caller was given under the same key; undefined where it is a new request. */
export async function findReplay(
  reservations: ReservationRepository,
  caller: Caller,
  input: HoldInput,
): Promise<Reservation | IdempotencyRefusal | undefined> {
  if (input.idempotencyKey === undefined) return undefined;
  const found = await reservations.byIdempotencyKey(caller.subject, input.idempotencyKey);
  // What the caller may not see any more is no answer: the request is looked at anew, and refused for what it lacks.
  if (!found || !maySeeReservation(caller, found.reservation)) return undefined;
  return found.requestDigest === digestOf(input) ? found.reservation : idempotencyKeyReused(input.idempotencyKey);
}

/** The same request under the same key is answered as before; a new one is made, and what refuses it is noted. */
export async function answerOnce<R extends Refusal>(
  caller: Caller,
  input: HoldInput,
  ports: {
    readonly replay: () => Promise<Reservation | R | IdempotencyRefusal | undefined>;
    readonly make: (key: HoldKey) => Promise<Reservation | R | 'IDEMPOTENCY_KEY_USED'>;
    readonly noteRefusal: (caller: Caller, input: HoldInput, refusal: Refusal) => void;
  },
): Promise<Reservation | R | IdempotencyRefusal> {
  const replay = await ports.replay();
  if (replay) return replay;
  const { idempotencyKey } = input;
  const made = await ports.make(idempotencyKey === undefined ? {} : { idempotencyKey, requestDigest: digestOf(input) });
  if (made !== 'IDEMPOTENCY_KEY_USED' && !isRefusal(made)) return made;
  // What stands in the way may be this very request, sent at the same time under the same key.
  const twin = await ports.replay();
  if (twin) return twin;
  if (made === 'IDEMPOTENCY_KEY_USED') return idempotencyKeyReused(idempotencyKey ?? '');
  ports.noteRefusal(caller, input, made);
  return made;
}
