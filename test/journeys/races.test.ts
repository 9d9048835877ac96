// Races between requests, on one node and on two, decided by the database; and nodes that lose their row or their lock.
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { eventually } from '../support/eventually.ts';
import { createTestDatabase, type TestDatabase } from '../support/test-database.ts';
import { adminToken, driverToken, operatorToken, TestServer } from '../support/test-server.ts';

const HUNDRED = 100;

describe('simultaneous requests to one server', () => {
  let server: TestServer;

  beforeEach(async () => {
    server = await TestServer.start();
    await server.fill();
  });
  afterEach(() => server.stop());

  it('one of a hundred simultaneous requests gets the connector, ninety-nine get a typed refusal, and the charger gets one ReserveNow', async () => {
    const charger = await server.charger('CH1');
    const operator = await operatorToken('site');
    const input = { chargerId: 'CH1', connectorId: 1, idTag: 'CLEO' };
    const results = await Promise.all(Array.from({ length: HUNDRED }, () => server.reserveNow(operator, input)));
    const won = results.filter(({ __typename }) => __typename === 'Reservation');
    const lost = results.filter(({ __typename }) => __typename === 'ConnectorTaken');
    expect([won.length, lost.length]).toEqual([1, HUNDRED - 1]);
    expect(lost.every(({ reservedUntil }) => reservedUntil === won[0].expiryDate)).toBe(true);
    expect(charger.received.filter(({ method }) => method === 'ReserveNow')).toHaveLength(1);
  });

  it('holds of named connectors and of connector 0 together never exceed the charger’s connectors', async () => {
    const charger = await server.charger('CH1', '2.0.1', { connectors: 3 });
    const operator = await operatorToken('site');
    const inputs = Array.from({ length: 40 }, (_, index) => ({
      chargerId: 'CH1',
      connectorId: index % 4,
      idTag: 'CLEO',
    }));
    const results = await Promise.all(inputs.map((input) => server.reserveNow(operator, input)));
    const held = await server.database.query<{ n: number }>(
      `SELECT count(*)::int AS n FROM reservation WHERE status IN ('PENDING', 'UNKNOWN', 'ACCEPTED', 'CANCELLING')`,
    );
    expect(held).toEqual([{ n: 3 }]);
    expect(charger.reservations).toHaveLength(3);
    expect(results.filter(({ status }) => status === 'ACCEPTED')).toHaveLength(3);
  });

  it('a hundred simultaneous cancels of one reservation end it once', async () => {
    await server.charger('CH1');
    const anna = await driverToken('ANNA');
    const { id } = await server.reserveNow(anna, { chargerId: 'CH1', connectorId: 1, idTag: 'ANNA' });
    await Promise.all(Array.from({ length: HUNDRED }, () => server.cancelReservation(anna, { id })));
    const events = await server.database.query(
      'SELECT version, to_status FROM event WHERE reservation_id = $1 ORDER BY version',
      [id],
    );
    expect(events).toEqual([
      { version: 1, to_status: 'PENDING' },
      { version: 2, to_status: 'ACCEPTED' },
      { version: 3, to_status: 'CANCELLING' },
      { version: 4, to_status: 'CANCELLED' },
    ]);
  });

  it('twenty equal requests with one idempotencyKey make one reservation', async () => {
    const charger = await server.charger('CH1');
    const anna = await driverToken('ANNA');
    const input = { chargerId: 'CH1', connectorId: 1, idTag: 'ANNA', idempotencyKey: 'tap-1' };
    const results = await Promise.all(Array.from({ length: 20 }, () => server.reserveNow(anna, input)));
    expect(new Set(results.map(({ id }) => id)).size).toBe(1);
    expect(new Set(results.map(({ status }) => status))).toEqual(new Set(['ACCEPTED']));
    expect(charger.received.filter(({ method }) => method === 'ReserveNow')).toHaveLength(1);
    const other = await server.reserveNow(anna, { ...input, connectorId: 2 });
    expect(other).toMatchObject({ __typename: 'IdempotencyKeyReused', code: 'IDEMPOTENCY_KEY_REUSED' });
  });
});

describe('two servers on one database', () => {
  let database: TestDatabase;
  let one: TestServer;
  let other: TestServer;

  beforeEach(async () => {
    database = await createTestDatabase();
    [one, other] = await Promise.all([TestServer.start({ database }), TestServer.start({ database })]);
    await one.fill();
  });
  afterEach(async () => {
    await Promise.all([one.stop(), other.stop()]);
    await database.drop();
  });

  it('one of a hundred requests to two servers gets the connector, and the charger gets one ReserveNow', async () => {
    const charger = await one.charger('CH1');
    const operator = await operatorToken('site');
    const input = { chargerId: 'CH1', connectorId: 1, idTag: 'CLEO' };
    const results = await Promise.all(
      Array.from({ length: HUNDRED }, (_, index) => (index % 2 === 0 ? one : other).reserveNow(operator, input)),
    );
    expect(results.filter(({ __typename }) => __typename === 'Reservation')).toMatchObject([{ status: 'ACCEPTED' }]);
    expect(results.filter(({ __typename }) => __typename === 'ConnectorTaken')).toHaveLength(HUNDRED - 1);
    expect(charger.received.filter(({ method }) => method === 'ReserveNow')).toHaveLength(1);
  });

  it('the node that holds the socket sends the command, and both nodes notify their watchers', async () => {
    const charger = await one.charger('CH1', '2.0.1');
    const anna = await driverToken('ANNA');
    const [seenByOne, seenByOther] = [await one.watchReservations(), await other.watchReservations()];
    const reserved = await other.reserveNow(anna, { chargerId: 'CH1', connectorId: 1, idTag: 'ANNA' });
    expect(reserved).toMatchObject({ status: 'ACCEPTED' });
    expect(charger.reservations).toMatchObject([{ connectorId: 1, idTag: 'ANNA' }]);
    for (const seen of [seenByOne, seenByOther]) {
      expect([(await seen.next()).type, (await seen.next()).type]).toEqual(['REQUESTED', 'ACCEPTED']);
    }
    expect(await other.cancelReservation(anna, { id: reserved.id })).toMatchObject({ status: 'CANCELLED' });
    expect(charger.reservations).toEqual([]);
  });

  it('two nodes still make a reservation after a malformed message on their channels', async () => {
    await database.query(`SELECT pg_notify('ev_reservation_node_' || id, 'nonsense') FROM node`);
    await database.query(`SELECT pg_notify('ev_reservation_node_' || id, '{}') FROM node`);
    await one.charger('CH1');
    const reserved = await other.reserveNow(await driverToken('ANNA'), {
      chargerId: 'CH1',
      connectorId: 1,
      idTag: 'ANNA',
    });
    expect(reserved).toMatchObject({ status: 'ACCEPTED' });
  });

  it('a charger that connects to the second node is disconnected from the first', async () => {
    const before = await one.rawCharger('CH1');
    const after = await other.rawCharger('CH1');
    expect(await before.closed).toMatchObject({ code: 1000 });
    const anna = await driverToken('ANNA');
    const reserving = one.reserveNow(anna, { chargerId: 'CH1', connectorId: 1, idTag: 'ANNA' });
    const { id } = await after.expectCall('ReserveNow');
    after.answer(id, { status: 'Accepted' });
    expect(await reserving).toMatchObject({ status: 'ACCEPTED' });
  });

  it('a node whose row was deleted registers again and takes its chargers back', async () => {
    const charger = await one.charger('CH1');
    await database.query('DELETE FROM node');
    await eventually(async () => {
      const [row] = await database.query<{ node: number | null; nodes: number }>(
        'SELECT connected_node AS node, (SELECT count(*)::int FROM node) AS nodes FROM charger',
      );
      expect(row).toEqual({ node: expect.any(Number), nodes: 2 });
    });
    const reserved = await other.reserveNow(await driverToken('ANNA'), {
      chargerId: 'CH1',
      connectorId: 2,
      idTag: 'ANNA',
    });
    expect(reserved).toMatchObject({ status: 'ACCEPTED' });
    expect(charger.isConnected).toBe(true);
  });

  it('watchers get DISCONNECTED for the chargers of a node without its lock, and CONNECTED once a live node has them back', async () => {
    await one.charger('CH1');
    await one.saveCharger('CH2');
    const events = await other.subscribe(await adminToken(), 'subscription { connectorChanged { type chargerId } }');
    // First a node whose lock nobody holds, as if it had died; then the live node of CH1, whose lock is taken away.
    await database.query(`
      WITH died AS (INSERT INTO node (id, started_at) VALUES (1000000, now()) RETURNING id)
      UPDATE charger SET connected_node = died.id FROM died WHERE charger.id = 'CH2'`);
    expect(await events.next()).toEqual({ type: 'DISCONNECTED', chargerId: 'CH2' });
    await eventually(async () => expect(await database.query('SELECT FROM node')).toHaveLength(2));
    await database.query(
      `SELECT pg_terminate_backend(pid) FROM pg_locks WHERE locktype = 'advisory' AND classid = 7237
         AND objid = (SELECT connected_node FROM charger WHERE id = 'CH1')::oid
         AND database = (SELECT oid FROM pg_database WHERE datname = current_database())`,
    );
    expect(await events.next()).toEqual({ type: 'DISCONNECTED', chargerId: 'CH1' });
    expect(await events.next()).toEqual({ type: 'CONNECTED', chargerId: 'CH1' });
  });

  it('a node that loses its lock takes its chargers back under a new node id', async () => {
    const charger = await one.charger('CH1');
    const nodeOf = async () =>
      (await database.query<{ connected_node: number }>('SELECT connected_node FROM charger'))[0]?.connected_node;
    const before = await nodeOf();
    await database.query(
      `SELECT pg_terminate_backend(pid) FROM pg_locks WHERE locktype = 'advisory' AND classid = 7237 AND objid = $1::int::oid
         AND database = (SELECT oid FROM pg_database WHERE datname = current_database())`,
      [before],
    );
    await eventually(async () => {
      const now = await nodeOf();
      expect(now).toEqual(expect.any(Number));
      expect(now).not.toBe(before);
    });
    const reserved = await other.reserveNow(await driverToken('ANNA'), {
      chargerId: 'CH1',
      connectorId: 2,
      idTag: 'ANNA',
    });
    expect(reserved).toMatchObject({ status: 'ACCEPTED' });
    expect(charger.isConnected).toBe(true);
  });
});
