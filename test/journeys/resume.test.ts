// Resuming a subscription by cursor: a subscriber that was away misses no event and gets none twice.
import { afterAll, beforeAll, expect, it } from 'vitest';
import { eventually } from '../support/eventually.ts';
import { adminToken, driverToken, TestServer } from '../support/test-server.ts';

let server: TestServer;
let anna: string;
beforeAll(async () => {
  server = await TestServer.start();
  await server.fill();
  await server.charger('CH1');
  anna = await driverToken('ANNA');
});
afterAll(() => server.stop());

const query = `subscription ($after: String) { reservationChanged(after: $after) { cursor type reservation { id version } } }`;
const reserveAndCancel = async (connectorId: number) => {
  const { id } = await server.reserveNow(anna, { chargerId: 'CH1', connectorId, idTag: 'ANNA' });
  await server.cancelReservation(anna, { id });
  return id as string;
};

it('a subscriber resumes after the last event it saw, then gets live events', async () => {
  const first = await server.watchReservations(anna);
  await reserveAndCancel(1);
  const { cursor } = await first.next();
  const missed = await reserveAndCancel(1);
  const resumed = await server.subscribe(anna, query, { after: cursor });
  const live = await reserveAndCancel(2);
  const seen = [];
  for (let count = 0; count < 11; count += 1) seen.push(await resumed.next());
  expect(seen.map(({ reservation }) => reservation.version)).toEqual([2, 3, 4, 1, 2, 3, 4, 1, 2, 3, 4]);
  expect(seen.slice(3).map(({ reservation }) => reservation.id)).toEqual([
    ...Array.from({ length: 4 }, () => missed),
    ...Array.from({ length: 4 }, () => live),
  ]);
});

it('a subscriber that keeps reconnecting while others write gets each event once and in order', async () => {
  const { eventCursor } = await server.graphql(anna, '{ eventCursor }');
  const steady = await server.subscribe(anna, query, { after: eventCursor });
  let isWriting = true;
  const writing = Promise.all(
    [1, 2].map(async (connectorId) => {
      for (let round = 0; round < 12; round += 1) await reserveAndCancel(connectorId);
    }),
  ).finally(() => {
    isWriting = false;
  });
  const seen: { cursor: string }[] = [];
  let after: string = eventCursor;
  while (isWriting && seen.length < 80) {
    const visit = await server.subscribe(anna, query, { after });
    for (let count = 0; count < 5; count += 1) {
      const event = await visit.next();
      seen.push(event);
      after = event.cursor;
    }
  }
  await writing;
  await eventually(() => expect(steady.all).toHaveLength(2 * 12 * 4));
  const cursors = steady.all.map(({ cursor }) => cursor);
  expect(new Set(cursors).size).toBe(cursors.length);
  expect(seen.map(({ cursor }) => cursor)).toEqual(cursors.slice(0, seen.length));
});

it('connectorChanged can be resumed, and a resumed driver gets no events of other drivers’ reservations', async () => {
  const { eventCursor } = await server.graphql(anna, '{ eventCursor }');
  await reserveAndCancel(1);
  const text = `subscription ($after: String) { connectorChanged(after: $after, filter: { connectorId: 1 }) { to } }`;
  const changes = await server.subscribe(await adminToken(), text, { after: eventCursor });
  // Changes of connector 1 from earlier reservations may still come first.
  await changes.until(({ to }) => to === 'RESERVED');
  expect(await changes.next()).toEqual({ to: 'AVAILABLE' });
  const cleo = await driverToken('CLEO');
  const others = await server.subscribe(cleo, query, { after: eventCursor });
  await server.reserveNow(cleo, { chargerId: 'CH1', connectorId: 2, idTag: 'CLEO' });
  expect(await others.next()).toMatchObject({ type: 'REQUESTED', reservation: { version: 1 } });
});

it('a malformed cursor is refused, naming the argument after', async () => {
  const { body } = await server.post(anna, '{ eventCursor }');
  for (const after of ['', 'nonsense', 'MS4', `${body.data.eventCursor}AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA`]) {
    const refused = await (await server.subscribe(anna, query, { after })).next();
    expect(refused.errors).toMatchObject([{ extensions: { code: 'BAD_USER_INPUT', argument: 'after' } }]);
  }
});
