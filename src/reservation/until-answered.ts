// Waits for somebody else's Call: the reservation leaves PENDING, wherever that happens.
import { type Clock, withDeadline } from '../common/clock.ts';
import type { Feed } from '../event-log/feed.ts';
import type { ReservationRepository } from './reservation.repository.ts';
import type { Reservation } from './reservation.ts';

/** Undefined when it is still PENDING after `waitMs`. */
export const untilAnswered =
  (feed: Feed, reservations: ReservationRepository, clock: Clock) =>
  async (id: string, waitMs: number): Promise<Reservation | undefined> => {
    let resolve: (reservation: Reservation) => void = () => {};
    const answered = new Promise<Reservation>((done) => {
      resolve = done;
    });
    const unlisten = await feed.listen((event) => {
      if (event.kind === 'RESERVATION' && event.reservation.id === id && event.to !== 'PENDING')
        resolve(event.reservation);
    });
    try {
      const current = await reservations.byId(id);
      if (current && current.status !== 'PENDING') return current;
      return await withDeadline(clock, answered, waitMs);
    } finally {
      unlisten();
    }
  };
