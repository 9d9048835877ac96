// scheduleReservation: books ahead. The window is held here from now on; the charger is asked only at the start
// (activate-booking.ts).
import type { Caller } from '../model/access/caller.ts';
import { invalidInput } from '../model/refusals/input.ts';
import { isRefusal } from '../model/refusals/refusal.ts';
import type { Reservation } from '../model/reservation/reservation.ts';
import { findReplay, type IdempotencyRefusal, isMade, keyOf, refuse } from './answer-once.ts';
import type { HoldRefusal } from './hold-connector.ts';
import { checkHolder, checkHoldInput, type HoldInput, isStorable } from './hold-input.ts';
import { type NoPlaceRefusal, ofThePlace, placesAtSite } from './place-at-site.ts';
import type { ReservingPorts } from './ports.ts';
import { holdOrPreempt } from './preempt.ts';

export interface ScheduleReservationInput extends HoldInput {
  readonly startsAt: Date;
}

export type ScheduleReservationRefusal = HoldRefusal | IdempotencyRefusal | NoPlaceRefusal;

/**
 * Returns the booking as SCHEDULED, or the refusal, in which case nothing is booked. The charger need not be connected.
 */
export async function scheduleReservation(
  ports: ReservingPorts,
  caller: Caller,
  input: ScheduleReservationInput,
): Promise<Reservation | ScheduleReservationRefusal> {
  const now = ports.clock.now();
  const { startsAt } = input;
  const refusal =
    (startsAt <= now
      ? invalidInput('startsAt', `It must be in the future; the server's time is ${now.toISOString()}.`)
      : isStorable(startsAt)
        ? undefined
        : invalidInput('startsAt', 'It must be before the year 10000.')) ??
    checkHoldInput(input, startsAt) ??
    checkHolder(caller, input);
  if (refusal) return refusal;

  const before = await findReplay(ports.reservations, caller, input);
  if (before) return before;
  const made = await book(ports, caller, input);
  return isMade(made) ? made : refuse(ports, caller, input, made, await findReplay(ports.reservations, caller, input));
}

async function book(
  ports: ReservingPorts,
  caller: Caller,
  input: ScheduleReservationInput,
): Promise<Reservation | ScheduleReservationRefusal | 'IDEMPOTENCY_KEY_USED'> {
  const { siteId, chargerId, ...wish } = input;
  const keyed = { ...wish, ...keyOf(input), isBooking: true };
  if (siteId === undefined) return holdOrPreempt(ports, caller, { ...keyed, chargerId: chargerId ?? '' });
  const { plugType: _, durationMinutes: __, ...where } = keyed;
  // Another booking may win the race for a place: try the next one; when all are lost, search the site again.
  for (let round = 1; ; round += 1) {
    const found = await placesAtSite(ports, caller, siteId, keyed);
    if (isRefusal(found)) return found;
    let refusal: ScheduleReservationRefusal | undefined;
    for (const place of found.places) {
      const made = await holdOrPreempt(ports, caller, { ...where, ...place, expiryDate: found.expiryDate });
      if (typeof made === 'string' || !isRefusal(made) || !ofThePlace.has(made.code)) return made;
      refusal = made;
      if (made.code !== 'RESERVED' && found.places.indexOf(place) >= PLACES_REFUSED) return made;
    }
    if (refusal && (refusal.code !== 'RESERVED' || round === ROUNDS)) return refusal;
  }
}

/** After this many places a refusal other than RESERVED is returned instead of trying the next place. */
const PLACES_REFUSED = 5;
const ROUNDS = 5;
