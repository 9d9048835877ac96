// Carries out a request sent twice under one idempotency key only once: the second gets the reservation of the first.
import { createHash } from 'node:crypto';
import type { Caller } from '../model/access/caller.ts';
import { maySeeReservation } from '../model/access/rights.ts';
import { isRefusal, type Refusal } from '../model/refusals/refusal.ts';
import type { Reservation } from '../model/reservation/reservation.ts';
import type { ReservationRepository } from '../storage/reservations/reservation.repository.ts';
import type { HoldInput } from './hold-input.ts';
import { noteRefusal } from './note-refusal.ts';
import type { ReservingPorts } from './ports.ts';

export interface IdempotencyRefusal extends Refusal {
  readonly code: 'IDEMPOTENCY_KEY_REUSED';
  readonly idempotencyKey: string;
}

/** Stored with a hold, so that a repeated request is recognised. */
export interface HoldKey {
  readonly idempotencyKey?: string;
  readonly requestDigest?: string;
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

/**
 * Returns the reservation that the caller made under the same key, or a refusal if that was another request; undefined
 * for a new request.
 */
export async function findReplay(
  reservations: ReservationRepository,
  caller: Caller,
  input: HoldInput,
): Promise<Reservation | IdempotencyRefusal | undefined> {
  if (input.idempotencyKey === undefined) return undefined;
  const found = await reservations.byIdempotencyKey(caller.subject, input.idempotencyKey);
  // A reservation that the caller may no longer see is not returned: the request is decided as a new one.
  if (!found || !maySeeReservation(caller, found.reservation)) return undefined;
  return found.requestDigest === digestOf(input) ? found.reservation : idempotencyKeyReused(input.idempotencyKey);
}

/** The key under which the hold is stored; empty for a request without one. */
export const keyOf = (input: HoldInput): HoldKey =>
  input.idempotencyKey === undefined ? {} : { idempotencyKey: input.idempotencyKey, requestDigest: digestOf(input) };

export const isMade = <R extends Refusal>(made: Reservation | R | 'IDEMPOTENCY_KEY_USED'): made is Reservation =>
  made !== 'IDEMPOTENCY_KEY_USED' && !isRefusal(made);

/**
 * Returns `twin`, if there is one: the answer to the same request, sent twice at once under one key. Otherwise notes
 * the refusal in the event log and returns it.
 */
export function refuse<R extends Refusal, Twin>(
  ports: ReservingPorts,
  caller: Caller,
  input: HoldInput,
  made: R | 'IDEMPOTENCY_KEY_USED',
  twin: Twin | undefined,
): R | Twin | IdempotencyRefusal {
  if (twin) return twin;
  if (made === 'IDEMPOTENCY_KEY_USED') return idempotencyKeyReused(input.idempotencyKey ?? '');
  noteRefusal(ports, caller, input, made);
  return made;
}
