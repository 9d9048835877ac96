// reserveNow: stores the hold, asks the charger, and answers with the charger's answer.

import type { Background } from '../common/background.ts';
import { withDeadline } from '../common/clock.ts';
import type { Log } from '../common/log.ts';
import type { SettleReserve } from '../lifecycle/settle-reservation.ts';
import type { Transition } from '../lifecycle/transition.ts';
import type { Caller } from '../model/access/caller.ts';
import type { ChargerCalls } from '../model/charger/charger-calls.ts';
import { type InputRefusal, invalidInput } from '../model/refusals/input.ts';
import { isRefusal } from '../model/refusals/refusal.ts';
import { type OfflineRefusal } from '../model/reservation/admission.ts';
import { reserveCommand } from '../model/reservation/commands.ts';
import type { ChargerRefusal } from '../model/reservation/refusals.ts';
import type { Reservation } from '../model/reservation/reservation.ts';
import type { ReservationRepository } from '../storage/reservations/reservation.repository.ts';
import type { HoldRefusal, HoldWish } from './hold-connector.ts';
import {
  answerOnce,
  checkHolder,
  checkHoldInput,
  findReplay,
  type HoldInput,
  type IdempotencyRefusal,
  isWithin,
} from './hold-input.ts';
import type { NoteRefusal } from './note-refusal.ts';
import { type NoPlaceRefusal, ofThePlace, type PlacePorts, placesAtSite } from './place-at-site.ts';
import type { Hold } from './preempt.ts';

export interface ReserveNowInput extends HoldInput {
  readonly waitMs?: number;
}

export type ReserveNowRefusal = HoldRefusal | IdempotencyRefusal | ChargerRefusal | NoPlaceRefusal;

export interface ReserveNowPorts extends PlacePorts {
  readonly reservations: ReservationRepository;
  readonly calls: ChargerCalls;
  readonly transition: Transition;
  readonly settleReserve: SettleReserve;
  readonly hold: Hold;
  readonly noteRefusal: NoteRefusal;
  readonly background: Background;
  /** Resolves with the reservation once it has left PENDING, or undefined after `waitMs`. */
  readonly untilAnswered: (id: string, waitMs: number) => Promise<Reservation | undefined>;
  readonly log: Log;
  readonly answerTimeoutMs: number;
}

export type ReserveNow = (caller: Caller, input: ReserveNowInput) => Promise<Reservation | ReserveNowRefusal>;

/**
 * Returns the reservation after the charger's answer, or as it is after `waitMs`; or a refusal, in which case nothing
 * is held. Throws if the database cannot be reached.
 */
export const reserveNow =
  (ports: ReserveNowPorts): ReserveNow =>
  async (caller, input) => {
    const startsAt = ports.clock.now();
    const refusal = checkInput(input, startsAt) ?? checkHolder(caller, input);
    if (refusal) return refusal;

    const { siteId, chargerId, waitMs, ...wish } = input;
    return answerOnce(caller, input, {
      replay: () => findAnswered(ports, caller, input),
      make: (key) => {
        const wished = { ...wish, ...key, startsAt, isBooking: false };
        return siteId === undefined
          ? reserve(ports, caller, { ...wished, chargerId: chargerId ?? '' }, waitMs)
          : reserveAtSite(ports, caller, siteId, wished, waitMs);
      },
      noteRefusal: ports.noteRefusal,
    });
  };

/** How many connectors of a site are tried, one after the other, when they are refused. */
const PLACES_TRIED = 3;

/** Reserves any free connector of the site that fits; tries the next one if one is refused. */
async function reserveAtSite(
  ports: ReserveNowPorts,
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
    // The next attempt needs the key.
    if (wish.idempotencyKey !== undefined) await ports.reservations.releaseKey(caller.subject, wish.idempotencyKey);
  }
  throw new Error('placesAtSite returned no place');
}

async function reserve(
  ports: ReserveNowPorts,
  caller: Caller,
  wish: HoldWish,
  waitMs: number | undefined,
): Promise<Reservation | ReserveNowRefusal | 'IDEMPOTENCY_KEY_USED'> {
  const held = await ports.hold(caller, wish);
  if (held === 'IDEMPOTENCY_KEY_USED' || isRefusal(held)) return held;
  return askFor(ports, held, waitMs);
}

export type AskPorts = Pick<
  ReserveNowPorts,
  'reservations' | 'calls' | 'transition' | 'settleReserve' | 'background' | 'clock' | 'log' | 'answerTimeoutMs'
>;

/** Asks the charger for a stored hold, and waits for its answer, up to `waitMs`. */
export async function askFor(
  ports: AskPorts,
  held: Reservation,
  waitMs: number | undefined,
): Promise<Reservation | ReserveNowRefusal> {
  if (held.enforcement === 'SERVER') return (await ports.transition(held, { type: 'accepted' }, 'SERVER')).reservation;
  const answered = ports.background.track(askCharger(ports, held));
  const settled = await withDeadline(ports.clock, answered, waitMs ?? ports.answerTimeoutMs * 2);
  return asAnswer(settled ?? (await ports.reservations.byId(held.id)) ?? held);
}

/**
 * Continues in the background after the caller has stopped waiting; an answer that cannot be stored is left to the
 * settler.
 */
function askCharger(ports: AskPorts, reservation: Reservation): Promise<Reservation | undefined> {
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

/**
 * Returns the reservation of an earlier identical request (same caller, same key), and waits for the charger's answer
 * as that one does.
 */
async function findAnswered(ports: ReserveNowPorts, caller: Caller, input: ReserveNowInput) {
  const found = await findReplay(ports.reservations, caller, input);
  if (!found || isRefusal(found)) return found;
  const waitMs = input.waitMs ?? ports.answerTimeoutMs;
  const answered = found.status === 'PENDING' ? await ports.untilAnswered(found.id, waitMs) : undefined;
  return asAnswer(answered ?? found);
}

/** Returns the refusal for a reservation that ended without ever holding the connector. */
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

function checkInput(input: ReserveNowInput, now: Date): InputRefusal | undefined {
  if (input.expiryDate && input.expiryDate <= now) {
    return invalidInput('expiryDate', `It must be in the future; the server's time is ${now.toISOString()}.`);
  }
  const wrong = checkHoldInput(input, now);
  if (wrong) return wrong;
  return isWithin(input.waitMs, 0, 600_000) ? undefined : invalidInput('waitMs', 'It must be from 0 to 600000.');
}
