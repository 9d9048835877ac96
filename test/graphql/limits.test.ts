// Limits of one request, one document and one caller: what exceeds them is refused with a clear error, a document over
// HTTP and WebSocket alike.
import { connect } from 'node:net';
import { createClient } from 'graphql-ws';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { WebSocket } from 'ws';
import { adminToken, driverToken, operatorToken, TestServer } from '../support/test-server.ts';

let server: TestServer;
let anna: string;
beforeAll(async () => {
  const env = { MAX_SOCKETS_PER_DRIVER: '3', MAX_SUBSCRIPTIONS_PER_DRIVER: '5', REQUEST_TIMEOUT_SECONDS: '30' };
  server = await TestServer.start({ env });
  await server.fill();
  anna = await driverToken('ANNA');
});
afterAll(() => server.stop());

const nested = (depth: number): string =>
  depth === 0 ? 'id' : `id charger { connectors { reservation { ${nested(depth - 1)} } } }`;
const deep = `{ reservation(id: "x") { ${nested(4)} } }`;
const costly = `{ chargers(first: 100) { edges { node { id ${Array.from(
  { length: 60 },
  (_, index) => `a${index}: connectors { connectorId state }`,
).join(' ')} } } } }`;
const bomb = `query { ...f0 } ${Array.from({ length: 40 }, (_, index) => `fragment f${index} on Query { ...f${index + 1} ...f${index + 1} }`).join(' ')}
  fragment f40 on Query { __typename }`;

describe.each([
  ['that is too deep', deep, 'QUERY_TOO_DEEP'],
  ['that is too costly', costly, 'QUERY_TOO_COSTLY'],
  ['with too many tokens', `{ ${'a: __typename '.repeat(3000)} }`, 'GRAPHQL_PARSE_FAILED'],
])('a document %s', (_, query, code) => {
  it('a document over a limit is refused over HTTP', async () => {
    const { body } = await server.post(anna, query);
    expect(body.errors).toMatchObject([{ extensions: { code } }]);
    expect(body.data).toBeUndefined();
  });

  it('a document over a limit is refused over WebSocket', async () => {
    const client = createClient({
      url: server.url.replace('http', 'ws'),
      webSocketImpl: WebSocket,
      connectionParams: { authorization: `Bearer ${anna}` },
      retryAttempts: 0,
    });
    const errors = await new Promise((resolve, reject) => {
      client.subscribe({ query }, { next: reject, complete: () => reject(new Error('complete')), error: resolve });
    });
    const expected =
      code === 'GRAPHQL_PARSE_FAILED' ? { message: expect.stringContaining('token') } : { extensions: { code } };
    expect(errors).toMatchObject([expected]);
    await client.dispose();
  });
});

it('an invalid variable does not bypass the cost limit: the query is refused as BAD_USER_INPUT', async () => {
  const query = `query ($n: Int) { x: authorization(chargerId: "CH1", connectorId: $n, idTag: "ANNA") { status } ${costly.slice(1)}`;
  const { body } = await server.post(anna, query, { n: null });
  expect(body.errors).toMatchObject([{ extensions: { code: 'BAD_USER_INPUT' } }]);
  expect(body.data).toBeUndefined();
});

it('a document with 40 nested fragments, each used twice, is refused as QUERY_TOO_COSTLY', async () => {
  const { body } = await server.post(anna, bomb);
  expect(body.errors).toMatchObject([{ extensions: { code: 'QUERY_TOO_COSTLY' } }]);
});

it('a typical dashboard query stays within the limits', async () => {
  const query = `{ chargers(first: 100) { edges { node { id name isConnected site { id name policy { enabled } }
    connectors { connectorId state plugTypes reservedUntil reservation { id status idTag expiryDate } } } } pageInfo { endCursor } } }`;
  expect(await server.graphql(await operatorToken('site'), query)).toMatchObject({
    chargers: { edges: [{ node: { id: 'CH1' } }] },
  });
});

it('a body that is too large is answered with 413 and a GraphQL error', async () => {
  const response = await fetch(server.url, {
    method: 'POST',
    headers: { 'content-type': 'application/json', authorization: `Bearer ${anna}` },
    body: JSON.stringify({ query: `{ __typename } ${'#'.repeat(200_000)}` }),
  });
  expect(response.status).toBe(413);
  expect(await response.json()).toMatchObject({ errors: [{ extensions: { code: 'BAD_REQUEST' } }] });
});

it('a request past the time limit is answered, or refused with a retryable 503 TIMED_OUT', async () => {
  const charger = await server.rawCharger('CH1');
  const reserving = server.post(
    anna,
    'mutation ($input: ReserveNowInput!) { reserveNow(input: $input) { __typename } }',
    {
      input: { chargerId: 'CH1', connectorId: 1, idTag: 'ANNA', waitMs: 600_000 },
    },
  );
  await charger.expectCall('ReserveNow');
  server.clock.advance(31_000);
  const { status, body } = await reserving;
  expect([200, 503]).toContain(status);
  if (status === 503) expect(body).toMatchObject({ errors: [{ extensions: { code: 'TIMED_OUT', retryable: true } }] });
});

describe('a driver’s sockets and subscriptions', () => {
  const open = async (token: string) => {
    const socket = new WebSocket(server.url.replace('http', 'ws'), 'graphql-transport-ws');
    const closed = new Promise<{ code: number; reason: string }>((resolve) =>
      socket.once('close', (code, reason) => resolve({ code, reason: `${reason}` })),
    );
    await new Promise((resolve) => socket.once('open', resolve));
    socket.send(JSON.stringify({ type: 'connection_init', payload: { authorization: `Bearer ${token}` } }));
    const acknowledged = new Promise<'acknowledged'>((resolve) =>
      socket.once('message', () => resolve('acknowledged')),
    );
    return { socket, closed, end: await Promise.race([acknowledged, closed]) };
  };

  it('a driver’s socket beyond the limit is closed with 1013; a new one is accepted after another has closed', async () => {
    const cleo = await driverToken('CLEO');
    const three = await Promise.all([open(cleo), open(cleo), open(cleo)]);
    expect(three.map(({ end }) => end)).toEqual(['acknowledged', 'acknowledged', 'acknowledged']);
    expect((await open(cleo)).end).toEqual({ code: 1013, reason: 'A caller may have 3 connections open' });
    expect((await open(await adminToken())).end).toBe('acknowledged');
    three[0]?.socket.close();
    await three[0]?.closed;
    expect((await open(cleo)).end).toBe('acknowledged');
  });

  it('a driver’s subscription beyond the limit gets TOO_MANY_SUBSCRIPTIONS, and the socket still runs operations', async () => {
    const ben = await driverToken('BEN');
    const { socket } = await open(ben);
    const answers: { id: string; type: string }[] = [];
    socket.on('message', (data) => answers.push(JSON.parse(`${data}`)));
    const query = 'subscription { reservationChanged { type } }';
    for (let id = 1; id <= 6; id += 1)
      socket.send(JSON.stringify({ id: `${id}`, type: 'subscribe', payload: { query } }));
    await expect
      .poll(() => answers)
      .toMatchObject([
        { id: '6', type: 'error', payload: [{ extensions: { code: 'TOO_MANY_SUBSCRIPTIONS', limit: 5 } }] },
      ]);
    socket.send(JSON.stringify({ id: '1', type: 'complete' }));
    socket.send(JSON.stringify({ id: '7', type: 'subscribe', payload: { query: '{ __typename }' } }));
    await expect
      .poll(() => answers.filter(({ id }) => id === '7').map(({ type }) => type))
      .toEqual(['next', 'complete']);
    socket.close();
  });
});

it('metrics are served to admins only, and count refused requests', async () => {
  const url = server.url.replace('graphql', 'metrics');
  expect((await fetch(url)).status).toBe(401);
  expect((await fetch(url, { headers: { authorization: `Bearer ${anna}` } })).status).toBe(403);
  const response = await fetch(url, { headers: { authorization: `Bearer ${await adminToken()}` } });
  const text = await response.text();
  expect(text).toMatch(/ev_reservation_requests_refused_total\{limit="sockets"\} 1/);
  expect(text).toMatch(/ev_reservation_settled_total/);
});

it.each([
  ['with a valid token', true, 413],
  ['without a token', false, 401],
])(
  'a request %s whose announced body never comes is answered and its connection closed',
  async (_, isKnown, status) => {
    const { hostname, port } = new URL(server.url);
    const socket = connect(Number(port), hostname);
    const ended = new Promise<string>((resolve) => {
      let text = '';
      socket.on('data', (chunk) => {
        text += chunk;
      });
      socket.on('close', () => resolve(text));
    });
    const authorization = isKnown ? `Authorization: Bearer ${anna}\r\n` : '';
    socket.write(
      `POST /graphql HTTP/1.1\r\nHost: x\r\n${authorization}Content-Type: application/json\r\nContent-Length: 99999999\r\n\r\n`,
    );
    expect((await ended).split('\r\n')[0]).toContain(`${status}`);
  },
);
