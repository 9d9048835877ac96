// Slow readers: a subscriber that stops reading is closed and learns its last cursor, while others get every event; one
// that reads missed events slowly is waited for.
import { afterEach, beforeEach, expect, it } from 'vitest';
import { eventually } from '../support/eventually.ts';
import { GraphQLSocket } from '../support/graphql-socket.ts';
import { adminToken, TestServer } from '../support/test-server.ts';

let server: TestServer;
let admin: string;
beforeEach(async () => {
  server = await TestServer.start();
  admin = await adminToken();
});
afterEach(() => server.stop());

const query = 'subscription ($after: String) { connectorChanged(after: $after) { cursor errorCode chargerId } }';

/** Writes events as another node would, each of more than a kilobyte. */
async function flood(from: number, to: number): Promise<void> {
  await server.database.query(
    `INSERT INTO event (at, kind, type, site_id, charger_id, connector_id, to_status, snapshot)
     SELECT now(), 'CONNECTOR', 'STATE_CHANGED', 'site', number::text, 1, 'FAULTED', jsonb_build_object('errorCode', repeat('x', 1000))
     FROM generate_series($1::integer, $2::integer) number`,
    [from, to],
  );
  await server.database.query('NOTIFY ev_reservation_hints');
}
const untilListening = (count: number) =>
  eventually(async () => expect(await server.metric('listening_subscriptions')).toBe(count));

it('a WebSocket that stops reading is closed with 1013 and the last cursor sent, from which it resumes without a gap', async () => {
  const slow = await GraphQLSocket.connect(server.url, admin);
  const quick = await GraphQLSocket.connect(server.url, admin);
  slow.subscribe('1', query);
  quick.subscribe('1', query);
  await untilListening(2);
  slow.socket.pause();
  const all = 20_000;
  for (let from = 1; from <= all; from += 1000) await flood(from, from + 999);
  await eventually(async () => expect(await server.metric('slow_consumers_total')).toBe(1), 15_000);
  const got = () => quick.messages.all.filter(({ type }) => type === 'next').length;
  await eventually(() => expect(got()).toBe(all), 15_000);
  await untilListening(1);

  slow.socket.resume();
  const { code, reason } = await slow.closed;
  expect(code).toBe(1013);
  const seen = slow.messages.all
    .filter(({ type }) => type === 'next')
    .map(({ payload }) => payload.data.connectorChanged);
  expect(seen.length).toBeLessThan(all);
  const after = /Last cursor sent: (\S+)$/.exec(reason)?.[1];
  expect(after).toBe(seen.at(-1).cursor);

  const back = await GraphQLSocket.connect(server.url, admin);
  back.subscribe('1', query, { after });
  const numbers = seen.map(({ chargerId }) => Number(chargerId));
  for (let count = seen.length; count < all; count += 1) {
    numbers.push(Number((await back.messages.next()).payload.data.connectorChanged.chargerId));
  }
  expect(numbers).toEqual(Array.from({ length: all }, (_, index) => index + 1));
  quick.socket.close();
  back.socket.close();
});

it('an event stream that is not read ends with a SLOW_CONSUMER result and complete', async () => {
  const headers = { authorization: `Bearer ${admin}`, 'content-type': 'application/json', accept: 'text/event-stream' };
  const response = await fetch(`${server.url}/stream`, { method: 'POST', headers, body: JSON.stringify({ query }) });
  await untilListening(1);
  for (let from = 1; from <= 20_000; from += 1000) await flood(from, from + 999);
  await eventually(async () => expect(await server.metric('slow_consumers_total')).toBe(1), 15_000);
  await untilListening(0);
  const text = await response.text();
  const events = text.split('\n\n').filter((event) => event.startsWith('event: next'));
  const last = JSON.parse(events.at(-1)?.replace('event: next\ndata: ', '') ?? '');
  const lastEvent = JSON.parse(events.at(-2)?.replace('event: next\ndata: ', '') ?? '');
  const lastCursor = lastEvent.data.connectorChanged.cursor;
  expect(last).toMatchObject({ errors: [{ extensions: { code: 'SLOW_CONSUMER', lastCursor } }] });
  expect(text).toMatch(/event: complete\ndata:\n\n$/);
});

it('a subscriber that reads its missed events slowly is waited for and gets them all', async () => {
  const { eventCursor: after } = await server.graphql(admin, '{ eventCursor }');
  for (let from = 1; from <= 20_000; from += 1000) await flood(from, from + 999);
  const socket = await GraphQLSocket.connect(server.url, admin);
  socket.subscribe('1', query, { after });
  await socket.messages.next();
  socket.socket.pause();
  await flood(20_001, 20_010);
  expect(await server.metric('listening_subscriptions')).toBe(0);
  socket.socket.resume();
  await eventually(
    () => expect(socket.messages.all.at(-1)?.payload.data.connectorChanged.chargerId).toBe('20010'),
    15_000,
  );
  expect(socket.messages.all.filter(({ type }) => type === 'next')).toHaveLength(20_010);
  expect(await server.metric('slow_consumers_total')).toBe(0);
  socket.socket.close();
});
