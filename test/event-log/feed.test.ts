// Tests that the feed skips no committed event, though transactions commit in another order than that of their ids.
import { Client } from 'pg';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { systemClock } from '../../src/common/clock.ts';
import { createLog } from '../../src/common/log.ts';
import { Feed } from '../../src/event-log/feed.ts';
import { openDatabase } from '../../src/storage/database.ts';
import { type Entry, eventLog } from '../../src/storage/events/event-log.repository.ts';
import { eventually } from '../support/eventually.ts';
import { Queue } from '../support/queue.ts';
import { driverToken, TestServer } from '../support/test-server.ts';

let server: TestServer;
beforeAll(async () => {
  server = await TestServer.start();
  await server.fill();
  await server.charger('CH1');
});
afterAll(() => server.stop());

it('an event is held back while an older transaction is open, and is delivered after the events of that transaction', async () => {
  const anna = await driverToken('ANNA');
  const { id } = await server.reserveNow(anna, { chargerId: 'CH1', connectorId: 1, idTag: 'ANNA' });
  const events = await server.watchReservations(anna);
  const open = new Client({ connectionString: server.database.url });
  await open.connect();
  await open.query('BEGIN');
  await open.query(
    `INSERT INTO event (at, kind, type, site_id, charger_id, connector_id, from_status, to_status, actor, reservation_id, version, snapshot)
     SELECT at, kind, 'BREACHED', site_id, charger_id, connector_id, to_status, to_status, actor, reservation_id, 90, snapshot
     FROM event WHERE reservation_id = $1 AND version = 2`,
    [id],
  );
  await server.cancelReservation(anna, { id });
  expect(events.all).toEqual([]);
  await open.query('COMMIT');
  await open.end();
  const types = [];
  for (let count = 0; count < 3; count += 1) types.push((await events.next()).type);
  expect(types).toEqual(['BREACHED', 'CANCEL_REQUESTED', 'CANCELLED']);
});

it('a subscription begins at the readable end of the log, so that events held back at that moment still come', async () => {
  const anna = await driverToken('ANNA');
  const open = new Client({ connectionString: server.database.url });
  await open.connect();
  await open.query('BEGIN');
  await open.query('SELECT pg_current_xact_id()');
  const { id } = await server.reserveNow(anna, { chargerId: 'CH1', connectorId: 2, idTag: 'ANNA' });
  const events = await server.watchReservations(anna);
  await server.cancelReservation(anna, { id });
  await open.query('COMMIT');
  await open.end();
  for (const type of ['REQUESTED', 'ACCEPTED', 'CANCEL_REQUESTED', 'CANCELLED']) {
    expect(await events.next()).toMatchObject({ type, reservation: { id } });
  }
});

it('the metric event_lag_seconds shows how long events are held back', async () => {
  const lag = () => server.metric('event_lag_seconds');
  const anna = await driverToken('ANNA');
  const events = await server.watchReservations(anna);
  const open = new Client({ connectionString: server.database.url });
  await open.connect();
  await open.query('BEGIN');
  await open.query('SELECT pg_current_xact_id()');
  const { id } = await server.reserveNow(anna, { chargerId: 'CH1', connectorId: 2, idTag: 'ANNA' });
  server.clock.advance(4000);
  await eventually(async () => expect(await lag()).toBeGreaterThanOrEqual(4));
  expect(events.all).toEqual([]);
  await open.query('COMMIT');
  await open.end();
  await events.until(({ type }) => type === 'ACCEPTED');
  await eventually(async () => expect(await lag()).toBe(0));
  await server.cancelReservation(anna, { id });
});

it('the event log orders transaction numbers as numbers, not as text (9 before 10)', async () => {
  const database = await openDatabase({ url: server.database.url, poolSize: 2, entities: [] });
  await server.database.query(`
    INSERT INTO event (xid, at, kind, type, site_id, charger_id, connector_id, snapshot)
    SELECT number::text::xid8, now(), 'CONNECTOR', 'CONNECTED', 'site', 'CH1', number, '{}' FROM unnest(ARRAY[10, 9, 100, 99, 2]) number`);
  const { entries } = await eventLog(database).after({ xid: 0n, id: 0n }, 5);
  expect(entries.map(({ event }) => event.connectorId)).toEqual([2, 9, 10, 99, 100]);
  await database.close();
});

it('every watcher sees every event once and in order, while many clients write', async () => {
  for (let index = 0; index < 10; index += 1) await server.saveCharger(`W${index}`);
  const chargers = await Promise.all(Array.from({ length: 10 }, (_, index) => server.charger(`W${index}`)));
  const anna = await driverToken('ANNA');
  const watchers = await Promise.all([server.watchReservations(anna), server.watchReservations(anna)]);
  await Promise.all(
    chargers.map(async ({ id: chargerId }) => {
      for (let round = 0; round < 5; round += 1) {
        const { id } = await server.reserveNow(anna, { chargerId, connectorId: 1, idTag: 'ANNA' });
        await server.cancelReservation(anna, { id });
      }
    }),
  );
  for (const { all } of watchers) {
    await eventually(() => expect(all).toHaveLength(10 * 5 * 4));
    const perReservation = new Map<string, number[]>();
    for (const { reservation } of all) {
      perReservation.set(reservation.id, [...(perReservation.get(reservation.id) ?? []), reservation.version]);
    }
    expect([...perReservation.values()]).toEqual(Array.from({ length: 50 }, () => [1, 2, 3, 4]));
    expect(new Set(all.map(({ cursor }) => cursor)).size).toBe(200);
  }
});

it('events still due to a stopped watcher are not delivered to a watcher that began later', async () => {
  const database = await openDatabase({ url: server.database.url, poolSize: 2, entities: [] });
  const rows = eventLog(database);
  const feed = new Feed({ events: rows, clock: systemClock, log: createLog('silent'), onHanded: () => {} });
  const write = (count: number) =>
    server.database.query(
      `INSERT INTO event (at, kind, type, site_id, charger_id, connector_id, snapshot)
       SELECT now(), 'CONNECTOR', 'CONNECTED', 'site', 'OWN', number, '{}' FROM generate_series(1, $1::integer) number`,
      [count],
    );
  const interest = { kinds: ['CONNECTOR'], chargerId: 'OWN' } as const;
  const started = new Queue<() => void>();
  const first = feed.follow(
    interest,
    { position: (await rows.bounds()).end },
    { take: () => new Promise<void>((resolve) => started.push(resolve)), fail() {} },
  );
  await first.caughtUp;
  await write(3);
  feed.wake();
  const goOn = await started.next();
  first.stop();
  const got: number[] = [];
  const take = ({ event }: Entry) => {
    got.push(event.connectorId);
    return undefined;
  };
  const second = feed.follow(interest, { position: (await rows.bounds()).end }, { take, fail() {} });
  await second.caughtUp;
  await write(1);
  feed.wake();
  await eventually(() => expect(got).toEqual([1]));
  goOn();
  await write(1);
  feed.wake();
  await eventually(() => expect(got).toHaveLength(2));
  expect(got).toEqual([1, 1]);
  feed.stop();
  await database.close();
});
