// reserveNow: stores the hold, asks the charger, and answers with the charger's answer.
import type { Caller } from '../model/access/caller.ts';
import { type InputRefusal, invalidInput } from '../model/refusals/input.ts';
import { isRefusal } from '../model/refusals/refusal.ts';
import type { HoldWish } from '../model/reservation/admission.ts';
import type { ChargerRefusal } from '../model/reservation/refusals.ts';
import type { Reservation } from '../model/reservation/reservation.ts';
import { findReplay, type IdempotencyRefusal, isMade, keyOf, refuse } from './answer-once.ts';
import { answerOf, askCharger } from './ask-charger.ts';
import type { HoldRefusal } from './hold-connector.ts';
import { checkHolder, checkHoldInput, type HoldInput, isWithin } from './hold-input.ts';
import { type NoPlaceRefusal, ofThePlace, placesAtSite } from './place-at-site.ts';
import type { ReservingPorts } from './ports.ts';
import { holdOrPreempt } from './preempt.ts';
import { untilAnswered } from './until-answered.ts';

export interface ReserveNowInput extends HoldInput {
  readonly waitMs?: number;
}

export type ReserveNowRefusal = HoldRefusal | IdempotencyRefusal | ChargerRefusal | NoPlaceRefusal;

/**
 * Returns the reservation after the charger's answer, or as it is after `waitMs`; or a refusal, in which case nothing
 * is held. Throws if the database cannot be reached.
 */
export async function reserveNow(
  ports: ReservingPorts,
  caller: Caller,
  input: ReserveNowInput,
): Promise<Reservation | ReserveNowRefusal> {
  const startsAt = ports.clock.now();
  const refusal = checkInput(input, startsAt) ?? checkHolder(caller, input);
  if (refusal) return refusal;

  const before = await findAnswered(ports, caller, input);
  if (before) return before;
  const { siteId, chargerId, waitMs, ...wish } = input;
  const wished = { ...wish, ...keyOf(input), startsAt, isBooking: false };
  const made =
    siteId === undefined
      ? await reserve(ports, caller, { ...wished, chargerId: chargerId ?? '' }, waitMs)
      : await reserveAtSite(ports, caller, siteId, wished, waitMs);
  return isMade(made) ? made : refuse(ports, caller, input, made, await findAnswered(ports, caller, input));
}

/** How many connectors of a site are tried, one after the other, when they are refused. */
const PLACES_TRIED = 3;

/** Reserves any free connector of the site that fits; tries the next one if one is refused. */
async function reserveAtSite(
  ports: ReservingPorts,
  caller: Caller,
  siteId: string,
  wish: Omit<HoldWish, 'chargerId'>,
  waitMs: number | undefined,
): Promise<Reservation | ReserveNowRefusal | 'IDEMPOTENCY_KEY_USED'> {
  const found = await placesAtSite(ports, caller, siteId, wish);
  if (isRefusal(found)) return found;
  const { plugType: _, durationMinutes: __, ...where } = wish;
  const tried = found.places.slice(0, PLACES_TRIED);
  for (const [index, place] of tried.entries()) {
    const made = await reserve(ports, caller, { ...where, ...place, expiryDate: found.expiryDate }, waitMs);
    if (made === 'IDEMPOTENCY_KEY_USED' || !isRefusal(made)) return made;
    if (!ofThePlace.has(made.code) || index === tried.length - 1) return made;
    // Frees the idempotency key of the refused reservation, because the next attempt is stored under it.
    if (wish.idempotencyKey !== undefined) await ports.reservations.releaseKey(caller.subject, wish.idempotencyKey);
  }
  throw new Error('placesAtSite returned no place');
}

async function reserve(
  ports: ReservingPorts,
  caller: Caller,
  wish: HoldWish,
  waitMs: number | undefined,
): Promise<Reservation | ReserveNowRefusal | 'IDEMPOTENCY_KEY_USED'> {
  const held = await holdOrPreempt(ports, caller, wish);
  if (held === 'IDEMPOTENCY_KEY_USED' || isRefusal(held)) return held;
  return askCharger(ports, held, waitMs);
}

/**
 * Returns the reservation of an earlier identical request (same caller, same key), and waits for the charger's answer
 * as that one does.
 */
async function findAnswered(ports: ReservingPorts, caller: Caller, input: ReserveNowInput) {
  const found = await findReplay(ports.reservations, caller, input);
  if (!found || isRefusal(found)) return found;
  const waitMs = input.waitMs ?? ports.answerTimeoutMs;
  const answered = found.status === 'PENDING' ? await untilAnswered(ports, found.id, waitMs) : undefined;
  return answerOf(answered ?? found);
}

function checkInput(input: ReserveNowInput, now: Date): InputRefusal | undefined {
  if (input.expiryDate && input.expiryDate <= now) {
    return invalidInput('expiryDate', `It must be in the future; the server's time is ${now.toISOString()}.`);
  }
  const wrong = checkHoldInput(input, now);
  if (wrong) return wrong;
  return isWithin(input.waitMs, 0, 600_000) ? undefined : invalidInput('waitMs', 'It must be from 0 to 600000.');
}
