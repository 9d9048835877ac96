// The database goes away while the server serves: requests fail fast, no charger gets a false answer, and everything
// resumes by itself when the database is back.
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Client } from 'pg';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { type EmbeddedPostgres, startEmbeddedPostgres } from '../../src/dev/embedded-postgres.ts';
import { eventually } from '../support/eventually.ts';
import { driverToken, TestServer } from '../support/test-server.ts';

let folder: string;
let postgres: EmbeddedPostgres;
let server: TestServer;
let anna: string;
const input = { chargerId: 'CH1', connectorId: 1, idTag: 'ANNA' };
const query = (text: string, values: unknown[] = []) => withClient((client) => client.query(text, values));

async function withClient<T>(work: (client: Client) => Promise<T>): Promise<T> {
  const client = new Client({ connectionString: postgres.url('postgres') });
  await client.connect();
  return work(client).finally(() => client.end());
}

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'ev-reservation-away-'));
  postgres = await startEmbeddedPostgres({ dataFolder: join(folder, 'data') });
  const database = {
    url: postgres.url('postgres'),
    query: async <Row extends object>(text: string, values: unknown[] = []) =>
      (await query(text, values)).rows as Row[],
    drop: async () => {},
  };
  server = await TestServer.start({ database, env: { CHARGER_ANSWER_TIMEOUT_SECONDS: '1' } });
  await server.fill();
  anna = await driverToken('ANNA');
}, 60_000);
afterAll(async () => {
  await server.stop();
  await postgres.remove();
  await rm(folder, { recursive: true, force: true });
});

const whenServing = () =>
  eventually(async () => {
    expect((await fetch(server.url.replace('graphql', 'readyz'))).status).toBe(200);
    const { charger } = await server.graphql(anna, '{ charger(id: "CH1") { isConnected } }');
    expect(charger).toEqual({ isConnected: true });
  });

it.each(['SIGINT', 'SIGQUIT'] as const)(
  'while the database is down requests fail fast as retryable, chargers stay connected, and a StartTransaction is answered once the database is back (%s)',
  async (signal) => {
    const charger = await server.rawCharger('CH1');
    const reserving = server.reserveNow(anna, input);
    const { id, payload } = await charger.expectCall('ReserveNow');
    charger.answer(id, { status: 'Accepted' });
    const reservation = await reserving;
    const { eventCursor } = await server.graphql(anna, '{ eventCursor }');

    await postgres.halt(signal);
    const began = Date.now();
    const refused = await server.post(anna, '{ reservations { edges { node { id } } } }');
    expect(refused.status).toBe(503);
    expect(refused.body.errors).toMatchObject([
      { extensions: { code: 'SERVICE_UNAVAILABLE', retryable: true, retryAfterSeconds: 1 } },
    ]);
    expect(Date.now() - began).toBeLessThan(2000);
    expect((await fetch(server.url.replace('graphql', 'readyz'))).status).toBe(503);
    expect((await fetch(server.url.replace('graphql', 'healthz'))).status).toBe(200);

    const timestamp = server.clock.now().toISOString();
    const start = { connectorId: 1, idTag: 'ANNA', meterStart: 1, timestamp, reservationId: payload.reservationId };
    charger.send([2, 'start', 'StartTransaction', start]);
    charger.send([2, 'beat', 'Heartbeat', {}]);
    expect(await charger.answers.next()).toMatchObject([3, 'beat', { currentTime: expect.any(String) }]);

    await postgres.start();
    const started = [3, 'start', { transactionId: expect.any(Number), idTagInfo: { status: 'Accepted' } }];
    expect(await charger.answers.next()).toMatchObject(started);
    await whenServing();
    expect(await server.reservation(reservation.id)).toMatchObject({ status: 'USED' });
    const events = await server.subscribe(
      anna,
      'subscription ($after: String) { reservationChanged(after: $after) { type } }',
      { after: eventCursor },
    );
    expect(await events.until(({ type }) => type === 'USED')).toEqual({ type: 'USED' });
    expect(charger.socket.readyState).toBe(charger.socket.OPEN);
    await charger.close();
  },
);

it('the same ReserveNow is sent again, and settles the reservation, when the charger’s answer could not be stored', async () => {
  const charger = await server.rawCharger('CH1');
  await whenServing();
  const failing = server.post(
    anna,
    'mutation ($input: ReserveNowInput!) { reserveNow(input: $input) { __typename } }',
    { input: { ...input, connectorId: 2 } },
  );
  const { id, payload } = await charger.expectCall('ReserveNow');
  await postgres.halt('SIGQUIT');
  charger.answer(id, { status: 'Accepted' });
  expect((await failing).body.errors).toMatchObject([{ extensions: { code: 'SERVICE_UNAVAILABLE', retryable: true } }]);
  await postgres.start();
  await whenServing();
  const [{ id: reservation }] = (
    await query('SELECT id FROM reservation WHERE reservation_id = $1', [payload.reservationId])
  ).rows;
  expect(await server.reservation(reservation)).toMatchObject({ status: 'PENDING' });
  server.clock.advance(10_000);
  const again = await charger.expectCall('ReserveNow');
  expect(again.payload).toEqual(payload);
  charger.answer(again.id, { status: 'Accepted' });
  await eventually(async () => expect(await server.reservation(reservation)).toMatchObject({ status: 'ACCEPTED' }));
});

it('a watcher that stays connected gets new events as soon as the database is back', async () => {
  const charger = await server.charger('CH1', '2.0.1');
  const events = await server.watchReservations(anna);
  const [{ id: lastEvent }] = (await query('SELECT max(id) AS id FROM event')).rows;
  await postgres.halt('SIGINT');
  await postgres.start();
  await whenServing();
  const made = await server.reserveNow(anna, input);
  expect(made).toMatchObject({ __typename: 'Reservation', id: expect.any(String) });
  const { id } = made;
  expect(await events.until(({ type }) => type === 'ACCEPTED')).toMatchObject({ reservation: { id } });
  expect(charger.isConnected).toBe(true);

  // The node has joined again under a new id, and its charger has not seemed offline in between.
  const owners = `SELECT n.id, (SELECT connected_node FROM charger WHERE id = 'CH1') AS owner FROM node n`;
  await eventually(async () => {
    const { rows } = await query(owners);
    expect(rows).toEqual([{ id: expect.any(Number), owner: rows[0]?.id }]);
  });
  const { rows: changes } = await query(
    `SELECT type FROM event WHERE kind = 'CONNECTOR' AND charger_id = 'CH1' AND connector_id = 0 AND id > $1`,
    [lastEvent],
  );
  expect(changes).toEqual([]);
});
