// The graphql-transport-ws protocol on the wire: its messages and close codes, tokens, limits, and the stop of the
// server.
import { connect as connectTcp } from 'node:net';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { WebSocket } from 'ws';
import { eventually } from '../support/eventually.ts';
import { GraphQLSocket } from '../support/graphql-socket.ts';
import { adminToken, driverToken, signToken, TestServer } from '../support/test-server.ts';

let server: TestServer;
let admin: string;
beforeAll(async () => {
  server = await TestServer.start();
  await server.fill();
  await server.charger('CH1');
  admin = await adminToken();
});
afterAll(() => server.stop());

const connect = async (token = admin) => {
  const socket = await GraphQLSocket.connect(server.url, token);
  server.onStop(() => socket.socket.terminate());
  return socket;
};
const changes = 'subscription { reservationChanged { type } }';
/** Sends a ping and waits for its pong: the server has then read every message sent before. */
const roundTrip = async (socket: GraphQLSocket) => {
  socket.send({ type: 'ping' });
  await socket.messages.until(({ type }) => type === 'pong');
};
const untilListening = async (count: number) => {
  await expect
    .poll(async () => (await server.metric('listening_subscriptions')) >= count, { timeout: 5000 })
    .toBe(true);
};
const reserveAndCancel = async () => {
  const anna = await driverToken('ANNA');
  const { id } = await server.reserveNow(anna, { chargerId: 'CH1', connectorId: 1, idTag: 'ANNA' });
  await server.cancelReservation(anna, { id });
};

describe('connection_init', () => {
  it('connection_init with a valid token is answered with connection_ack', async () => {
    const socket = await GraphQLSocket.open(server.url);
    socket.send({ type: 'connection_init', payload: { authorization: `Bearer ${admin}` } });
    expect(await socket.messages.next()).toEqual({ type: 'connection_ack' });
    socket.socket.close();
  });

  it('connection_init without a valid token closes the socket with 4403', async () => {
    const bad = [{}, { authorization: 'Bearer nonsense' }, { authorization: admin }, { authorization: 7 }];
    for (const payload of bad) {
      const socket = await GraphQLSocket.open(server.url);
      socket.send({ type: 'connection_init', payload });
      expect(await socket.closed).toEqual({ code: 4403, reason: 'Forbidden' });
    }
  });

  it('a second connection_init closes the socket with 4429', async () => {
    const socket = await connect();
    socket.send({ type: 'connection_init', payload: { authorization: `Bearer ${admin}` } });
    expect(await socket.closed).toEqual({ code: 4429, reason: 'Too many initialisation requests' });
  });

  it('a socket that never sends connection_init is closed with 4408', async () => {
    const socket = await GraphQLSocket.open(server.url);
    expect(await socket.closed).toEqual({ code: 4408, reason: 'Connection initialisation timeout' });
  });
});

it('a socket without a subprotocol is closed with 4406, one that offers only another does not open', async () => {
  const none = new WebSocket(server.url.replace('http', 'ws'));
  const code = await new Promise((resolve) => none.once('close', resolve));
  expect(code).toBe(4406);
  await expect(GraphQLSocket.open(server.url, 'graphql-ws')).rejects.toThrow();
  const both = await GraphQLSocket.open(server.url, ['graphql-ws', 'graphql-transport-ws']);
  expect(both.socket.protocol).toBe('graphql-transport-ws');
  both.socket.close();
});

it('an invalid message closes the socket with 4400', async () => {
  const bad = ['nonsense', '{}', '[]', '"ping"', '{"type":"start"}', '{"type":"subscribe"}', '{"type":"complete"}'];
  const worse = [
    '{"type":"subscribe","id":"1","payload":{}}',
    '{"type":"subscribe","id":"","payload":{"query":"{a}"}}',
  ];
  const more = ['{"type":"ping","payload":1}', '{"type":"subscribe","id":"1","payload":{"query":"{a}","variables":1}}'];
  for (const text of [...bad, ...worse, ...more]) {
    const socket = await connect();
    socket.send(text);
    expect(await socket.closed, text).toEqual({ code: 4400, reason: 'Invalid message received' });
  }
});

it('a ping nested too deeply to be echoed closes the socket with 4400', async () => {
  const socket = await GraphQLSocket.open(server.url);
  socket.socket.send(`{"type":"ping","payload":{"deep":${'['.repeat(40_000)}${']'.repeat(40_000)}}}`);
  expect(await socket.closed).toEqual({ code: 4400, reason: 'Invalid message received' });
});

describe('ping and pong', () => {
  it('a ping is answered with a pong that has its payload, even before connection_ack', async () => {
    const socket = await GraphQLSocket.open(server.url);
    socket.send({ type: 'ping' });
    expect(await socket.messages.next()).toEqual({ type: 'pong' });
    socket.send({ type: 'ping', payload: { at: 1 } });
    expect(await socket.messages.next()).toEqual({ type: 'pong', payload: { at: 1 } });
    socket.send({ type: 'pong' });
    socket.send({ type: 'connection_init', payload: { authorization: `Bearer ${admin}` } });
    expect(await socket.messages.next()).toEqual({ type: 'connection_ack' });
    socket.socket.close();
  });

  it('the server pings every socket and terminates one that does not respond', async () => {
    const own = await TestServer.start();
    const alive = await GraphQLSocket.connect(own.url, admin);
    const dead = await GraphQLSocket.connect(own.url, admin);
    let pings = 0;
    alive.socket.on('ping', () => {
      pings += 1;
    });
    dead.socket.pause();
    for (let round = 1; round <= 4; round += 1) {
      own.clock.advance(12_000);
      await expect.poll(() => pings).toBe(round);
      await roundTrip(alive);
    }
    dead.socket.resume();
    expect((await dead.closed).code).toBe(1006);
    expect(alive.socket.readyState).toBe(WebSocket.OPEN);
    alive.socket.close();
    await own.stop();
  });
});

describe('subscribe', () => {
  it('subscribe before connection_ack closes the socket with 4401', async () => {
    const socket = await GraphQLSocket.open(server.url);
    socket.subscribe('1', changes);
    expect(await socket.closed).toEqual({ code: 4401, reason: 'Unauthorized' });
  });

  it('subscribe with an id in use closes the socket with 4409; the id of a completed operation may be reused', async () => {
    const socket = await connect();
    socket.subscribe('1', '{ __typename }');
    expect((await socket.messages.next()).type).toBe('next');
    expect(await socket.messages.next()).toEqual({ id: '1', type: 'complete' });
    socket.subscribe('1', changes);
    socket.subscribe('1', changes);
    expect(await socket.closed).toEqual({ code: 4409, reason: 'Subscriber for 1 already exists' });
  });

  it('a query and a mutation over WebSocket are each answered with next, then complete', async () => {
    const socket = await connect();
    const cost = { requested: expect.any(Number), remaining: expect.any(Number), limit: expect.any(Number) };
    socket.subscribe('q', '{ site(id: "site") { id } }');
    expect(await socket.messages.next()).toEqual({
      id: 'q',
      type: 'next',
      payload: { data: { site: { id: 'site' } }, extensions: { cost } },
    });
    expect(await socket.messages.next()).toEqual({ id: 'q', type: 'complete' });
    socket.subscribe('m', 'mutation { removeSite(id: "none") { __typename } }');
    const next = {
      id: 'm',
      type: 'next',
      payload: { data: { removeSite: { __typename: 'NotFound' } }, extensions: { cost } },
    };
    expect(await socket.messages.next()).toEqual(next);
    expect(await socket.messages.next()).toEqual({ id: 'm', type: 'complete' });
    socket.socket.close();
  });

  it('an operation that cannot be run is answered with error and without complete', async () => {
    const socket = await connect();
    for (const query of [
      '{',
      '{ nothing }',
      'subscription { reservationChanged { type } connectorChanged { type } }',
    ]) {
      socket.subscribe('1', query);
      const { id, type, payload } = await socket.messages.next();
      expect({ id, type, count: payload.length > 0 }, query).toEqual({ id: '1', type: 'error', count: true });
    }
    await roundTrip(socket);
    expect(socket.messages.all.filter(({ type }) => type === 'complete')).toEqual([]);
    socket.socket.close();
  });

  it('a subscription sends next for each event, in order, with the id that the client chose', async () => {
    const socket = await connect();
    const id = 'ü "quoted" \\ id';
    socket.subscribe(
      id,
      'subscription ($f: ReservationEventFilter) { changed: reservationChanged(filter: $f) { type } }',
      {
        f: { chargerId: 'CH1' },
      },
    );
    await untilListening(1);
    await reserveAndCancel();
    const types = ['REQUESTED', 'ACCEPTED', 'CANCEL_REQUESTED', 'CANCELLED'];
    for (const type of types) {
      expect(await socket.messages.next()).toEqual({ id, type: 'next', payload: { data: { changed: { type } } } });
    }
    socket.socket.close();
  });
});

it('a complete message ends a subscription: no further message has its id, and the id may be reused', async () => {
  const socket = await connect();
  const before = await server.metric('listening_subscriptions');
  socket.subscribe('1', changes);
  await untilListening(before + 1);
  socket.send({ id: '1', type: 'complete' });
  socket.send({ id: 'none', type: 'complete' });
  await roundTrip(socket);
  await reserveAndCancel();
  await roundTrip(socket);
  expect(socket.messages.all.filter(({ id }) => id === '1')).toEqual([]);
  socket.subscribe('1', '{ __typename }');
  expect(await socket.messages.next()).toMatchObject({ id: '1', type: 'next' });
  socket.socket.close();
});

it('an id that is completed and reused while its first operation is still starting has exactly one operation', async () => {
  const socket = await connect();
  const before = await server.metric('listening_subscriptions');
  for (let round = 0; round < 5; round += 1) {
    socket.subscribe('a', changes);
    socket.send({ id: 'a', type: 'complete' });
  }
  socket.subscribe('a', changes);
  await untilListening(before + 1);
  await reserveAndCancel();
  for (let count = 0; count < 4; count += 1) expect((await socket.messages.next()).id).toBe('a');
  await roundTrip(socket);
  expect(socket.messages.all.filter(({ type }) => type === 'next')).toHaveLength(4);
  expect(await server.metric('listening_subscriptions')).toBe(before + 1);
  socket.send({ id: 'a', type: 'complete' });
  await expect.poll(() => server.metric('listening_subscriptions')).toBe(before);
  socket.socket.close();
});

it('the 4409 reason for a long id is cut to the length that a reason may have', async () => {
  const socket = await connect();
  const id = '€'.repeat(60);
  socket.subscribe(id, changes);
  socket.subscribe(id, changes);
  const { code, reason } = await socket.closed;
  expect(code).toBe(4409);
  expect(reason).toMatch(/^Subscriber for €+$/);
});

it('a message that only a server may send closes the socket with 4400', async () => {
  for (const text of [
    '{"type":"connection_ack"}',
    '{"type":"next","id":"1","payload":{}}',
    '{"type":"error","id":"1","payload":[{"message":"x"}]}',
  ]) {
    const socket = await connect();
    socket.send(text);
    expect((await socket.closed).code, text).toBe(4400);
  }
});

it('a message beyond the size limit closes the socket with 1009', async () => {
  const socket = await connect();
  socket.subscribe('1', `{ __typename } #${'x'.repeat(200_000)}`);
  expect((await socket.closed).code).toBe(1009);
});

it('a client that sends too many messages is read more slowly, and none is lost', async () => {
  const own = await TestServer.start();
  const socket = await GraphQLSocket.connect(own.url, admin);
  for (let count = 0; count < 2500; count += 1) socket.send({ type: 'ping' });
  await expect
    .poll(
      () => {
        own.clock.advance(500);
        return socket.messages.all.filter(({ type }) => type === 'pong').length;
      },
      { timeout: 8000 },
    )
    .toBe(2500);
  socket.socket.close();
  await own.stop();
});

describe('tokens on a socket', () => {
  const soon = () => signToken('driver of ANNA', { role: 'driver', idTags: ['ANNA'] }, { expiresIn: '60s' });

  it('an expired token closes the socket with 4403', async () => {
    const own = await TestServer.start();
    const socket = await GraphQLSocket.connect(own.url, await soon());
    own.clock.advance(61_000);
    expect(await socket.closed).toEqual({ code: 4403, reason: 'The token has expired' });
    await own.stop();
  });

  it('a ping with a new token keeps the socket open, with the new rights and without a gap in its events', async () => {
    const own = await TestServer.start();
    await own.fill();
    await own.charger('CH1');
    const socket = await GraphQLSocket.connect(own.url, await soon());
    socket.subscribe('1', 'subscription { reservationChanged { type reservation { idTag } } }');
    const listening = async () => (await own.metric('listening_subscriptions')) === 1;
    await expect.poll(listening).toBe(true);
    const hold = async (idTag: string, connectorId: number) =>
      own.reserveNow(await driverToken(idTag), { chargerId: 'CH1', connectorId, idTag });
    await hold('CLEO', 1);
    const { id } = await hold('ANNA', 2);
    await socket.messages.until(({ payload }) => payload?.data?.reservationChanged.type === 'ACCEPTED');
    const renewed = await signToken('driver of ANNA', { role: 'driver', idTags: ['CLEO'] });
    socket.send({ type: 'ping', payload: { authorization: `Bearer ${renewed}` } });
    await socket.messages.until(({ type }) => type === 'pong');
    await expect.poll(listening).toBe(true);
    await own.cancelReservation(await adminToken(), { id });
    await own.cancelReservation(await driverToken('CLEO'), {
      id: (await own.graphql(admin, '{ reservations(filter: { idTag: "CLEO" }) { edges { node { id } } } }'))
        .reservations.edges[0].node.id,
    });
    await socket.messages.until(({ payload }) => payload?.data?.reservationChanged.type === 'CANCELLED');
    const seen = socket.messages.all
      .filter(({ type }) => type === 'next')
      .map(({ payload }) => payload.data.reservationChanged);
    expect(seen).toEqual([
      { type: 'REQUESTED', reservation: { idTag: 'ANNA' } },
      { type: 'ACCEPTED', reservation: { idTag: 'ANNA' } },
      { type: 'CANCEL_REQUESTED', reservation: { idTag: 'CLEO' } },
      { type: 'CANCELLED', reservation: { idTag: 'CLEO' } },
    ]);
    own.clock.advance(61_000);
    await roundTrip(socket);
    expect(socket.socket.readyState).toBe(WebSocket.OPEN);
    socket.socket.close();
    await own.stop();
  });

  it('a ping with a new token also restricts a subscription that is still starting', async () => {
    const own = await TestServer.start();
    await own.fill();
    await own.charger('CH1');
    const both = await signToken('olga', { role: 'operator', sites: ['site', 'other'] });
    const one = await signToken('olga', { role: 'operator', sites: ['other'] });
    const socket = await GraphQLSocket.connect(own.url, both);
    socket.subscribe('1', changes);
    socket.send({ type: 'ping', payload: { Authorization: `Bearer ${one}` } });
    // The pong leaves out the token.
    expect(await socket.messages.next()).toEqual({ type: 'pong' });
    const anna = await driverToken('ANNA');
    const watcher = await own.watchReservations(anna);
    const { id } = await own.reserveNow(anna, { chargerId: 'CH1', connectorId: 1, idTag: 'ANNA' });
    await own.cancelReservation(anna, { id });
    await watcher.until(({ type }) => type === 'CANCELLED');
    await roundTrip(socket);
    expect(socket.messages.all.filter(({ type }) => type === 'next')).toEqual([]);
    socket.socket.close();
    await own.stop();
  });

  it('a ping with an invalid token or one of another subject closes the socket with 4403', async () => {
    for (const token of [await driverToken('BEN'), 'nonsense']) {
      const socket = await connect(await driverToken('ANNA'));
      socket.send({ type: 'ping', payload: { authorization: `Bearer ${token}` } });
      expect((await socket.closed).code).toBe(4403);
    }
  });
});

it('an upgrade from another origin is refused with 403, one on another path with 404', async () => {
  const url = server.url.replace('http', 'ws');
  const status = (address: string, origin: string) =>
    new Promise((resolve) => {
      const socket = new WebSocket(address, 'graphql-transport-ws', { origin });
      socket.once('unexpected-response', (_, { statusCode }) => resolve(statusCode));
      socket.once('open', () => {
        resolve('open');
        socket.close();
      });
      socket.on('error', () => {});
    });
  expect(await status(url, 'https://elsewhere.example')).toBe(403);
  expect(await status(url, server.url.replace('/graphql', ''))).toBe('open');
  expect(await status(`${url}/other`, server.url.replace('/graphql', ''))).toBe(404);
});

it.each(['server', 'gateway'])(
  'the %s drops the connection of a refused upgrade even when the client never closes its side',
  async (edge) => {
    const { hostname, port } = new URL(edge === 'server' ? server.url : server.ocppUrl);
    const socket = connectTcp({ host: hostname, port: Number(port), allowHalfOpen: true });
    socket.on('error', () => {});
    const ended = new Promise((resolve) => socket.once('end', resolve));
    const key = 'dGhlIHNhbXBsZSBub25jZQ==';
    socket.write(
      `GET /no/way/in/ HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: ${key}\r\n\r\n`,
    );
    const told = new Promise((resolve) => socket.once('data', (data) => resolve(`${data}`)));
    expect(await told).toMatch(/^HTTP\/1.1 404 Not Found\r\n/);
    await ended;
    await eventually(() => {
      socket.write('still here');
      expect(socket.destroyed).toBe(true);
    });
  },
);

it('a stopping server refuses new sockets and streams with 503, and stops although a client does not read', async () => {
  const own = await TestServer.start();
  const deaf = await GraphQLSocket.connect(own.url, admin);
  deaf.socket.pause();
  const told = await GraphQLSocket.connect(own.url, admin);
  const stopped = own.app.stop();
  expect(await told.closed).toEqual({ code: 1001, reason: 'Going away' });
  await expect(GraphQLSocket.open(own.url)).rejects.toThrow('503');
  const headers = { authorization: `Bearer ${admin}`, accept: 'text/event-stream', 'content-type': 'application/json' };
  const body = JSON.stringify({ query: changes });
  expect((await fetch(`${own.url}/stream`, { method: 'POST', headers, body })).status).toBe(503);
  own.clock.advance(6000);
  await stopped;
  deaf.socket.terminate();
  await own.database.drop();
});

it('a client that reads gets many large answers at once without being closed', async () => {
  const socket = await connect();
  for (let count = 0; count < 40; count += 1)
    socket.subscribe(`${count}`, '{ __schema { types { name description fields { name description } } } }');
  const ended = () => socket.messages.all.filter(({ type }) => type === 'complete').length;
  await expect.poll(ended, { timeout: 15_000 }).toBe(40);
  socket.socket.close();
});
