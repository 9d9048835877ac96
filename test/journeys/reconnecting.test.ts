// Clients that disconnect at random and resume from their last cursor while many write: they receive the log without a
// gap, without a repeat and in order. `RECONNECT_SECONDS=300` makes a long run.
import { Client } from 'pg';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { eventually } from '../support/eventually.ts';
import { GraphQLSocket } from '../support/graphql-socket.ts';
import { adminToken, driverToken, operatorToken, TestServer } from '../support/test-server.ts';

const SECONDS = Number(process.env.RECONNECT_SECONDS ?? 6);
const CHARGERS = 24;
const OTHER_WRITERS = 8;

let server: TestServer;
beforeAll(async () => {
  server = await TestServer.start({ env: { DATABASE_POOL_SIZE: '16', MAX_SOCKETS_PER_DRIVER: '1000' } });
  await server.fill();
  await server.saveSite('second');
  for (let index = 0; index < CHARGERS; index += 1)
    await server.saveCharger(`W${index}`, index % 3 ? 'site' : 'second');
  await Promise.all(Array.from({ length: CHARGERS }, (_, index) => server.charger(`W${index}`)));
});
afterAll(() => server.stop());

interface Row {
  readonly kind: string;
  readonly siteId: string;
  readonly chargerId: string;
  readonly connectorId: number;
  readonly idTag: string | null;
  readonly number: string;
}

interface Watcher {
  readonly name: string;
  readonly field: 'reservationChanged' | 'connectorChanged';
  readonly filter: object;
  readonly token: () => Promise<string>;
  /** Filter and rights again, as a predicate on rows: selects the events that this watcher must receive. */
  readonly isWanted: (row: Row) => boolean;
  readonly overSse?: boolean;
}

const watchers: Watcher[] = [
  {
    name: 'all reservations',
    field: 'reservationChanged',
    filter: {},
    token: adminToken,
    isWanted: ({ kind }) => kind === 'RESERVATION',
  },
  {
    name: 'all connectors',
    field: 'connectorChanged',
    filter: {},
    token: adminToken,
    isWanted: ({ kind }) => kind === 'CONNECTOR',
  },
  {
    name: 'a charger',
    field: 'reservationChanged',
    filter: { chargerId: 'W3' },
    token: adminToken,
    isWanted: ({ kind, chargerId }) => kind === 'RESERVATION' && chargerId === 'W3',
  },
  {
    name: 'an operator',
    field: 'reservationChanged',
    filter: {},
    token: () => operatorToken('second'),
    isWanted: ({ kind, siteId }) => kind === 'RESERVATION' && siteId === 'second',
  },
  {
    name: 'a driver',
    field: 'reservationChanged',
    filter: { siteId: 'site' },
    token: () => driverToken('BEN'),
    isWanted: ({ kind, siteId, idTag }) => kind === 'RESERVATION' && siteId === 'site' && idTag === 'BEN',
  },
  {
    name: 'a connector',
    field: 'connectorChanged',
    filter: { chargerId: 'W5', connectorId: 1 },
    token: () => driverToken('CLEO'),
    isWanted: ({ kind, chargerId, connectorId }) => kind === 'CONNECTOR' && chargerId === 'W5' && connectorId === 1,
  },
  {
    name: 'all, over event streams',
    field: 'reservationChanged',
    filter: {},
    token: adminToken,
    overSse: true,
    isWanted: ({ kind }) => kind === 'RESERVATION',
  },
];

const random = (below: number) => Math.floor(Math.random() * below);

/**
 * One connection: receives up to `enough` events, waits at most 300 ms (over WebSocket: for each), then disconnects.
 */
async function visit(watcher: Watcher, after: string, seen: string[], enough: number): Promise<void> {
  const token = await watcher.token();
  const type = watcher.field === 'reservationChanged' ? 'ReservationEventFilter' : 'ConnectorEventFilter';
  const query = `subscription ($filter: ${type}, $after: String) { changed: ${watcher.field}(filter: $filter, after: $after) { cursor } }`;
  const variables = { filter: watcher.filter, after };
  // biome-ignore lint/suspicious/noExplicitAny: what came
  const take = (payload: any) => {
    if (payload.errors) throw new Error(JSON.stringify(payload.errors));
    seen.push(payload.data.changed.cursor);
  };
  const until = seen.length + enough;
  if (watcher.overSse) {
    const gone = new AbortController();
    const headers = {
      authorization: `Bearer ${token}`,
      'content-type': 'application/json',
      accept: 'text/event-stream',
    };
    const body = JSON.stringify({ query, variables });
    const response = await fetch(`${server.url}/stream`, { method: 'POST', headers, body, signal: gone.signal });
    const late = setTimeout(() => gone.abort(), 300);
    let text = '';
    try {
      for await (const chunk of response.body ?? []) {
        text += Buffer.from(chunk);
        for (let end = text.indexOf('\n\n'); end >= 0 && seen.length < until; end = text.indexOf('\n\n')) {
          const event = text.slice(0, end);
          text = text.slice(end + 2);
          if (event.startsWith('event: next')) take(JSON.parse(event.slice(event.indexOf('{'))));
        }
        if (seen.length >= until) break;
      }
    } catch (error) {
      if (!gone.signal.aborted) throw error;
    }
    clearTimeout(late);
    gone.abort();
    return;
  }
  const socket = await GraphQLSocket.connect(server.url, token);
  socket.subscribe('1', query, variables);
  while (seen.length < until) {
    const message = await socket.messages.next(300).catch(() => undefined);
    if (!message) break;
    if (message.type !== 'next') throw new Error(JSON.stringify(message));
    take(message.payload);
  }
  if (random(2)) socket.socket.terminate();
  else socket.socket.close();
}

it(
  `for ${SECONDS} seconds, ${CHARGERS + OTHER_WRITERS} writers: each reconnecting client receives its events once and in order`,
  async () => {
    const { eventCursor } = await server.graphql(await adminToken(), '{ eventCursor }');
    const [{ first }] = (await server.database.query<{ first: string }>(
      'SELECT coalesce(max(id), 0)::text AS first FROM event',
    )) as [{ first: string }];
    const end = Date.now() + SECONDS * 1000;
    let isWriting = true;

    const drivers = await Promise.all(
      ['ANNA', 'BEN', 'CLEO'].map(async (idTag) => ({ idTag, token: await driverToken(idTag) })),
    );
    const reserving = Array.from({ length: CHARGERS }, async (_, index) => {
      while (Date.now() < end) {
        const { idTag, token } = drivers[random(3)] ?? { idTag: '', token: '' };
        const { id } = await server.reserveNow(token, { chargerId: `W${index}`, connectorId: 1 + random(2), idTag });
        if (id) await server.cancelReservation(token, { id });
      }
    });
    // Transactions that take their xid and event ids early and commit late, each after a random time.
    const dawdling = Array.from({ length: OTHER_WRITERS }, async (_, index) => {
      const client = new Client({ connectionString: server.database.url });
      await client.connect();
      while (Date.now() < end) {
        await client.query('BEGIN');
        for (let count = random(3); count >= 0; count -= 1) {
          await client.query(
            `INSERT INTO event (at, kind, type, site_id, charger_id, connector_id, to_status, snapshot)
           VALUES (now(), 'CONNECTOR', 'STATE_CHANGED', 'site', $1, 1, 'AVAILABLE', '{}')`,
            [`W${index}`],
          );
          await client.query('SELECT pg_sleep($1)', [random(30) / 1000]);
        }
        await client.query(random(10) ? 'COMMIT' : 'ROLLBACK');
      }
      await client.end();
    });
    const seenBy = watchers.map((watcher) => ({ watcher, seen: [] as string[], visits: 0 }));
    const watching = seenBy.map(async (one) => {
      while (isWriting) {
        await visit(one.watcher, one.seen.at(-1) ?? eventCursor, one.seen, 1 + random(random(10) ? 30 : 300));
        one.visits += 1;
      }
    });
    await Promise.all([...reserving, ...dawdling]);
    isWriting = false;
    await Promise.all(watching);

    expect(seenBy.reduce((all, { visits }) => all + visits, 0)).toBeGreaterThan(5 * SECONDS);
    const rows = await server.database.query<Row & { xid: string; id: string }>(
      `SELECT kind, site_id AS "siteId", charger_id AS "chargerId", connector_id AS "connectorId", snapshot ->> 'idTag' AS "idTag",
            event.xid::text AS xid, event.id::text AS id
     FROM event WHERE id > $1 ORDER BY event.xid, event.id`,
      [first],
    );
    for (const { watcher, seen } of seenBy) {
      const log = rows.filter(watcher.isWanted).map(({ xid, id }) => Buffer.from(`${xid}.${id}`).toString('base64url'));
      await eventually(async () => {
        if (seen.length < log.length) await visit(watcher, seen.at(-1) ?? eventCursor, seen, log.length);
        expect(seen.length, watcher.name).toBeGreaterThanOrEqual(log.length);
      });
      expect(seen, watcher.name).toEqual(log);
    }
    const told = seenBy.map(
      ({ watcher, seen, visits }) => `${watcher.name}: ${seen.length} events, ${visits} visits\n`,
    );
    if (process.env.RECONNECT_SECONDS) process.stdout.write(told.join(''));
  },
  SECONDS * 1000 + 60_000,
);
