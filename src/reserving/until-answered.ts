// Waits for a Call that another request or node made, until its reservation leaves PENDING.
import { withDeadline } from '../common/clock.ts';
import type { Reservation } from '../model/reservation/reservation.ts';
import type { ReservingPorts } from './ports.ts';

/** Returns undefined if the reservation is still PENDING after `waitMs`. */
export async function untilAnswered(
  { feed, reservations, clock }: ReservingPorts,
  id: string,
  waitMs: number,
): Promise<Reservation | undefined> {
  // Follows the feed before it reads the row, so that an answer in between is not missed.
  const { end } = await feed.bounds();
  let stop = () => {};
  const answered = new Promise<Reservation>((resolve, reject) => {
    const following = feed.follow(
      { kinds: ['RESERVATION'], reservationId: id },
      { position: end },
      {
        take: ({ event }) => {
          if (event.kind === 'RESERVATION' && event.to !== 'PENDING') resolve(event.reservation);
          return undefined;
        },
        fail: reject,
      },
    );
    stop = following.stop;
  });
  answered.catch(() => {}); // Prevents an unhandled rejection; withDeadline below reports it.
  try {
    const current = await reservations.byId(id);
    if (current && current.status !== 'PENDING') return current;
    return await withDeadline(clock, answered, waitMs);
  } finally {
    stop();
  }
}
