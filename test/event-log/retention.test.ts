// Tests the retention of events: old ones are dropped in small steps that block nobody, outdated cursors are refused,
// and usage is still counted.
import { Client } from 'pg';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { openDatabase } from '../../src/storage/database.ts';
import { CursorExpired, eventLog } from '../../src/storage/events/event-log.repository.ts';
import { eventually } from '../support/eventually.ts';
import { adminToken, driverToken, TestServer } from '../support/test-server.ts';

const HOUR_MS = 3_600_000;
let server: TestServer;
let admin: string;
let anna: string;
beforeEach(async () => {
  server = await TestServer.start({ env: { EVENT_RETENTION_HOURS: '2' } });
  await server.fill();
  await server.charger('CH1');
  [admin, anna] = [await adminToken(), await driverToken('ANNA')];
});
afterEach(() => server.stop());

const reserveAndCancel = async () => {
  const { id } = await server.reserveNow(anna, { chargerId: 'CH1', connectorId: 1, idTag: 'ANNA' });
  await server.cancelReservation(anna, { id });
};
const count = async () =>
  (await server.database.query<{ n: number }>('SELECT count(*)::int AS n FROM event'))[0]?.n ?? 0;
/**
 * Advances the clock until `claim` holds: the job runs once a minute, and does nothing while a transaction is in its
 * way.
 */
async function afterHours(hours: number, claim: () => Promise<void>): Promise<void> {
  server.clock.advance(hours * HOUR_MS);
  for (let minute = 1; minute < 20; minute += 1) {
    server.clock.advance(61_000);
    if (
      await eventually(claim, 300).then(
        () => true,
        () => false,
      )
    )
      return;
  }
  await claim();
}
const query = 'subscription ($after: String) { reservationChanged(after: $after) { type cursor } }';

it('events older than the retention are dropped, and newer ones stay', async () => {
  await reserveAndCancel();
  const before = await count();
  server.clock.advance(HOUR_MS);
  await reserveAndCancel();
  expect(await count()).toBeGreaterThan(before);
  await afterHours(1.5, async () => {
    const { edges } = (await server.graphql(admin, '{ events(filter: { kinds: [RESERVATION] }) { edges { cursor } } }'))
      .events;
    expect(edges).toHaveLength(4);
  });
});

it('a cursor before the log is refused with CURSOR_EXPIRED and a way to start again, and a client that missed nothing continues', async () => {
  const { eventCursor: old } = await server.graphql(admin, '{ eventCursor }');
  const live = await server.watchReservations(admin);
  const connectors = await server.subscribe(admin, 'subscription { connectorChanged { to } }');
  await reserveAndCancel();
  await live.until(({ type }) => type === 'CANCELLED');
  // The last event of the log has reached the live subscriptions.
  await connectors.until(({ to }) => to === 'RESERVED');
  await connectors.until(({ to }) => to === 'AVAILABLE');
  await afterHours(3, async () => expect(await count()).toBeLessThan(4));
  const refused = await (await server.subscribe(anna, query, { after: old })).next();
  expect(refused.errors).toMatchObject([
    { message: expect.stringContaining('snapshot: true'), extensions: { code: 'CURSOR_EXPIRED', argument: 'after' } },
  ]);
  const polled = await server.post(anna, `{ events(after: "${old}") { edges { cursor } } }`);
  expect(polled.body.errors).toMatchObject([{ extensions: { code: 'CURSOR_EXPIRED' } }]);

  // A client that saw the last dropped event, or goes on from `oldestCursor`, misses nothing.
  const after = refused.errors[0].extensions.oldestCursor;
  await reserveAndCancel();
  expect(await (await server.subscribe(anna, query, { after })).next()).toMatchObject({ type: 'REQUESTED' });
  // The live subscription goes on.
  await live.until(({ type }) => type === 'CANCELLED');
});

it('the event log throws CursorExpired for a reader whose next events were dropped', async () => {
  const database = await openDatabase({ url: server.database.url, poolSize: 2, entities: [] });
  const log = eventLog(database);
  for (let round = 0; round < 3; round += 1) await reserveAndCancel();
  const { entries, end } = await log.of({ kinds: ['RESERVATION'] }, { xid: 0n, id: 0n }, 2);
  expect(entries).toHaveLength(2);
  await log.trim(new Date(server.clock.now().getTime() + HOUR_MS));
  await expect(log.of({ kinds: ['RESERVATION'] }, end, 2)).rejects.toThrow(CursorExpired);
  await expect(log.after(end, 2)).rejects.toThrow(CursorExpired);
  await database.close();
});

it('trim of the event log drops the oldest events, 1000 per call, and stops at the first event that is not old', async () => {
  const database = await openDatabase({ url: server.database.url, poolSize: 2, entities: [] });
  const log = eventLog(database);
  const now = server.clock.now();
  await server.database.query('DELETE FROM event');
  const write = (count: number, at: Date) =>
    server.database.query(
      `INSERT INTO event (at, kind, type, site_id, charger_id, connector_id, snapshot)
       SELECT $2::timestamptz, 'CONNECTOR', 'CONNECTED', 'site', 'CH1', 0, '{}' FROM generate_series(1, $1::integer)`,
      [count, at],
    );
  const old = new Date(now.getTime() - HOUR_MS);
  await write(1500, old);
  await write(1, new Date(now.getTime() + HOUR_MS));
  await write(100, old);
  expect([await log.trim(now), await log.trim(now), await log.trim(now)]).toEqual([1000, 500, 0]);
  expect(await count()).toBe(101);
  await database.close();
});

it('reservationUsage stays the same after its events were dropped', async () => {
  for (let round = 0; round < 3; round += 1) await reserveAndCancel();
  const from = new Date(server.clock.now().getTime() - HOUR_MS).toISOString();
  const usage = async () => {
    const to = new Date(server.clock.now().getTime() + HOUR_MS).toISOString();
    const text = `{ reservationUsage(siteId: "site", from: "${from}", to: "${to}") { ... on ReservationUsage { made cancelled reservedHours } } }`;
    return (await server.graphql(admin, text)).reservationUsage;
  };
  const before = await usage();
  expect(before).toMatchObject({ made: 3, cancelled: 3 });
  await afterHours(4, async () => expect(await count()).toBeLessThan(3));
  expect(await usage()).toEqual(before);
});

it('trim of the event log neither waits for another transaction nor blocks a writer', async () => {
  const database = await openDatabase({ url: server.database.url, poolSize: 2, entities: [] });
  const log = eventLog(database);
  await reserveAndCancel();
  const future = new Date(server.clock.now().getTime() + HOUR_MS);
  // Another node holds the lock of the job: this node does not wait for it.
  const other = new Client({ connectionString: server.database.url });
  await other.connect();
  await other.query('BEGIN');
  await other.query('SELECT FROM event_horizon FOR UPDATE');
  expect(await log.trim(future)).toBe(0);
  // The other node locks the rows it deletes, and writers go on.
  await other.query('DELETE FROM event');
  await reserveAndCancel();
  await other.query('ROLLBACK');
  await other.end();
  expect(await log.trim(future)).toBeGreaterThanOrEqual(8);
  await eventually(async () => {
    await log.trim(future);
    expect(await count()).toBe(0);
  });
  await database.close();
});
