// A live hold is to be looked at again: by the settler, soon, and in doubt where what the charger said before it proves
// nothing any more.
import { addMs, type Clock } from '../common/clock.ts';
import type { Reservation } from '../model/reservation/reservation.ts';
import type { ReservationRepository } from '../storage/reservations/reservation.repository.ts';

export interface AskAgainPorts {
  readonly reservations: ReservationRepository;
  readonly wakeSettler: (at: Date) => void;
  readonly clock: Clock;
}

/** A state inside a hold that does not fit it must last this long before it is followed: real connectors flicker. */
export const DEBOUNCE_MS = 3000;

/** What the charger holds may differ from what stands here: it is asked at once. */
export async function askAgain(
  { reservations, wakeSettler, clock }: AskAgainPorts,
  id: string,
  options: { readonly isDoubted?: boolean; readonly givesBackClaim?: boolean } = {},
): Promise<void> {
  const { isDoubted = false, givesBackClaim = false } = options;
  const now = clock.now();
  await reservations.makeDue(id, now, { ...(isDoubted && { doubtedAt: now }), givesBackClaim });
  wakeSettler(now);
}

/** The charger may have dropped it: it is asked once its connector has had the time to say so. */
export async function doubt(
  { reservations, wakeSettler, clock }: AskAgainPorts,
  id: string,
  options: { readonly givesBackClaim?: boolean } = {},
): Promise<void> {
  const now = clock.now();
  const dueAt = addMs(now, DEBOUNCE_MS);
  await reservations.makeDue(id, dueAt, { doubtedAt: now, ...options });
  wakeSettler(dueAt);
}

/** Those of the charger's live holds that are touched come into doubt. */
export async function doubtEach(
  ports: AskAgainPorts,
  chargerId: string,
  isTouched: (hold: Reservation) => boolean,
): Promise<void> {
  for (const hold of await ports.reservations.live([chargerId], ports.clock.now())) {
    if (isTouched(hold)) await doubt(ports, hold.id);
  }
}
