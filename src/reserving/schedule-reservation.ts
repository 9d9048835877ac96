// scheduleReservation: books ahead. The window is held here from now on; the charger is asked only at the start
// (activate-booking.ts).
import type { Caller } from '../model/access/caller.ts';
import { invalidInput } from '../model/refusals/input.ts';
import { isRefusal } from '../model/refusals/refusal.ts';
import type { Reservation } from '../model/reservation/reservation.ts';
import type { ReservationRepository } from '../storage/reservations/reservation.repository.ts';
import type { HoldRefusal } from './hold-connector.ts';
import {
  answerOnce,
  checkHolder,
  checkHoldInput,
  findReplay,
  type HoldInput,
  type HoldKey,
  type IdempotencyRefusal,
  isStorable,
} from './hold-input.ts';
import type { NoteRefusal } from './note-refusal.ts';
import { type NoPlaceRefusal, ofThePlace, type PlacePorts, placesAtSite } from './place-at-site.ts';
import type { Hold } from './preempt.ts';

export interface ScheduleReservationInput extends HoldInput {
  readonly startsAt: Date;
}

export type ScheduleReservationRefusal = HoldRefusal | IdempotencyRefusal | NoPlaceRefusal;

export interface ScheduleReservationPorts extends PlacePorts {
  readonly reservations: ReservationRepository;
  readonly hold: Hold;
  readonly noteRefusal: NoteRefusal;
}

export type ScheduleReservation = (
  caller: Caller,
  input: ScheduleReservationInput,
) => Promise<Reservation | ScheduleReservationRefusal>;

/**
 * Returns the booking as SCHEDULED, or the refusal, in which case nothing is booked. The charger need not be connected.
 */
export const scheduleReservation =
  (ports: ScheduleReservationPorts): ScheduleReservation =>
  async (caller, input) => {
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

    return answerOnce<ScheduleReservationRefusal>(caller, input, {
      replay: () => findReplay(ports.reservations, caller, input),
      make: (key) => book(ports, caller, input, key),
      noteRefusal: ports.noteRefusal,
    });
  };

async function book(
  ports: ScheduleReservationPorts,
  caller: Caller,
  input: ScheduleReservationInput,
  key: HoldKey,
): Promise<Reservation | ScheduleReservationRefusal | 'IDEMPOTENCY_KEY_USED'> {
  const { siteId, chargerId, ...wish } = input;
  const keyed = { ...wish, ...key, isBooking: true };
  if (siteId === undefined) return ports.hold(caller, { ...keyed, chargerId: chargerId ?? '' });
  const { plugType: _, durationMinutes: __, ...where } = keyed;
  // Another booking may win the race for a place: try the next one; when all are lost, search the site again.
  for (let round = 1; ; round += 1) {
    const found = await placesAtSite(ports, caller, siteId, keyed);
    if (isRefusal(found)) return found;
    let refusal: ScheduleReservationRefusal | undefined;
    for (const place of found.places) {
      const made = await ports.hold(caller, { ...where, ...place, expiryDate: found.expiryDate });
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
