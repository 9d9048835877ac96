// Compares what the statements store with what the state machine decides, for every status and every happening.
import { randomUUID } from 'node:crypto';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { eventTypeOf } from '../../src/lifecycle/transition.ts';
import { apply, isLive, liveStatuses, type Reservation } from '../../src/model/reservation/reservation.ts';
import { type Database, openDatabase } from '../../src/storage/database.ts';
import { reservationRepository } from '../../src/storage/reservations/reservation.repository.ts';
import { reservationSchema } from '../../src/storage/reservations/reservation-row.repository.ts';
import { at, happenings, reservationsIn, transactionId } from '../support/reservations.ts';
import { createTestDatabase, type TestDatabase } from '../support/test-database.ts';

let testDatabase: TestDatabase;
let database: Database;
let reservations: ReturnType<typeof reservationRepository>;

beforeAll(async () => {
  testDatabase = await createTestDatabase();
  database = await openDatabase({ url: testDatabase.url, poolSize: 2, entities: [reservationSchema] });
  reservations = reservationRepository(database);
  await testDatabase.query(`INSERT INTO site (id, name, time_zone) VALUES ('site', 'site', 'UTC')`);
  await testDatabase.query(
    `INSERT INTO charger (id, site_id, name, password_hash) VALUES ('CH1', 'site', 'CH1', ''), ('CH2', 'site', 'CH2', '')`,
  );
  await testDatabase.query(
    `INSERT INTO transaction (id, charger_id, connector_id, wire_id, started_at) VALUES ('${transactionId}', 'CH1', 1, '1', now())`,
  );
});
beforeEach(() => testDatabase.query('DELETE FROM event; DELETE FROM reservation'));
afterAll(async () => {
  await database.close();
  await testDatabase.drop();
});

async function store(reservation: Reservation): Promise<Reservation> {
  const stored = { ...reservation, id: randomUUID() };
  await database.source.getRepository(reservationSchema).insert(stored as never);
  return stored;
}

const late = new Date('2026-05-01T12:00:00Z');
const everyReservation: readonly Reservation[] = [
  ...Object.values(reservationsIn),
  { ...reservationsIn.SCHEDULED, reason: 'OCCUPIED' } as Reservation,
];

describe('the sweep of expired reservations', () => {
  it.each(everyReservation.map((one) => [one.status, 'reason' in one ? one.reason : undefined, one] as const))(
    'the expiry sweep changes a %s reservation (reason %s) exactly as the happening `expired` does',
    async (_, __, reservation) => {
      const before = await store(reservation);
      await reservations.expire(late, late);
      expect(await reservations.byId(before.id)).toEqual(apply(before, { type: 'expired' }, late) ?? before);
    },
  );

  it('the expiry sweep appends one event for each reservation that it ends, with the status before and after', async () => {
    for (const status of liveStatuses) {
      const before = await store(reservationsIn[status]);
      await reservations.expire(late, late);
      const [event, ...more] = (await testDatabase.query(
        `SELECT from_status, to_status, type FROM event WHERE reservation_id = '${before.id}'`,
      )) as { from_status: string; to_status: string; type: string }[];
      const after = apply(before, { type: 'expired' }, late);
      expect([event, more]).toEqual([{ from_status: status, to_status: after?.status, type: after?.status }, []]);
    }
  });

  it('the expiry sweep ends an ACCEPTED reservation at its no-show time, but no other live reservation', async () => {
    for (const status of liveStatuses) {
      const before = await store(reservationsIn[status]);
      await testDatabase.query(
        `UPDATE reservation SET no_show_at = starts_at + interval '5 minutes' WHERE id = '${before.id}'`,
      );
      await reservations.expire(at, late);
      const expected = status === 'ACCEPTED' ? apply(before, { type: 'expired' }, at) : before;
      expect(await reservations.byId(before.id)).toEqual(expected);
      await testDatabase.query('DELETE FROM event; DELETE FROM reservation');
    }
  });

  it('the notice before the end of a reservation changes only the reservation’s version', async () => {
    const before = await store(reservationsIn.ACCEPTED);
    await testDatabase.query(`UPDATE reservation SET notice_at = starts_at WHERE id = '${before.id}'`);
    expect(await reservations.giveNotice(at)).toBe(1);
    expect(await reservations.byId(before.id)).toEqual({ ...before, version: before.version + 1 });
  });
});

describe('a stored transition', () => {
  const cases = Object.entries(happenings).flatMap(([name, happening]) =>
    everyReservation.flatMap((reservation) =>
      apply(reservation, happening, at) ? [[name, reservation.status, happening, reservation] as const] : [],
    ),
  );

  it.each(cases)(
    'the happening %s of a %s reservation is stored as `apply` made it',
    async (_, __, happening, reservation) => {
      const before = await store(reservation);
      const next = apply(before, happening, at);
      if (!next) throw new Error('apply changed nothing');
      const step = { type: eventTypeOf(happening, next), actor: 'SERVER', at } as const;
      expect(await reservations.advance(before, next, step, { isReleaseOwed: false })).toBe(true);
      expect(await reservations.byId(before.id)).toEqual(next);
      // The version was the one it was decided on: a second writer stores nothing.
      expect(await reservations.advance(before, next, step, { isReleaseOwed: false })).toBe(false);
    },
  );

  it('the stored transitions cover every happening and every live status', () => {
    expect(new Set(cases.map(([name]) => name))).toEqual(new Set(Object.keys(happenings)));
    expect(new Set(cases.map(([, status]) => status).filter(isLive))).toEqual(new Set(liveStatuses));
  });
});
