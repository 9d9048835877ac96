// Makes a live hold due for the settler, in doubt if the charger's earlier reports no longer prove it.

import { addMs } from '../common/clock.ts';
import type { Reservation } from '../model/reservation/reservation.ts';
import { DEBOUNCE_MS } from '../model/reservation/timing.ts';
import type { LifecyclePorts } from './transition.ts';

/** The charger may hold something other than what is stored: makes the hold due at once. */
export async function makeDue(
  { reservations, wakeSettler, clock }: LifecyclePorts,
  id: string,
  options: { readonly isDoubted?: boolean; readonly givesBackClaim?: boolean } = {},
): Promise<void> {
  const { isDoubted = false, givesBackClaim = false } = options;
  const now = clock.now();
  await reservations.makeDue(id, now, { ...(isDoubted && { doubtedAt: now }), givesBackClaim });
  wakeSettler(now);
}

/**
 * The charger may have dropped the hold: puts it in doubt, and makes it due once its connector has had time to report.
 */
export async function doubt(
  { reservations, wakeSettler, clock }: LifecyclePorts,
  id: string,
  options: { readonly givesBackClaim?: boolean } = {},
): Promise<void> {
  const now = clock.now();
  const dueAt = addMs(now, DEBOUNCE_MS);
  await reservations.makeDue(id, dueAt, { doubtedAt: now, ...options });
  wakeSettler(dueAt);
}

/** Puts each live hold of the charger that `isTouched` selects in doubt. */
export async function doubtEach(
  ports: LifecyclePorts,
  chargerId: string,
  isTouched: (hold: Reservation) => boolean,
): Promise<void> {
  for (const hold of await ports.reservations.held([chargerId], ports.clock.now())) {
    if (isTouched(hold)) await doubt(ports, hold.id);
  }
}
