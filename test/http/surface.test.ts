// The API as the internet meets it: document limits, trusted documents, CORS and security headers, rate limits, slow
// clients.
import { createHash } from 'node:crypto';
import { writeFileSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { connect } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { getIntrospectionQuery } from 'graphql';
import { Client } from 'pg';
import { afterAll, beforeAll, describe, expect, it, onTestFinished } from 'vitest';
import { WebSocket } from 'ws';
import { eventually } from '../support/eventually.ts';
import { GraphQLSocket } from '../support/graphql-socket.ts';
import { adminToken, driverToken, TestServer } from '../support/test-server.ts';

// biome-ignore lint/suspicious/noExplicitAny: a test knows what it asked for
type Data = any;

let server: TestServer;
let anna: string;
let admin: string;
beforeAll(async () => {
  server = await TestServer.start({ env: { ALLOWED_ORIGINS: 'https://app.example', REQUEST_TIMEOUT_SECONDS: '30' } });
  await server.fill();
  anna = await driverToken('ANNA');
  admin = await adminToken();
});
afterAll(() => server.stop());

const path = (of: string, on = server) => on.url.replace('/graphql', of);

async function send(init: RequestInit & { path?: string; on?: TestServer }) {
  const { path: of = '/graphql', on = server, ...rest } = init;
  const response = await fetch(path(of, on), { method: 'POST', ...rest });
  const text = await response.text();
  const isJson = response.headers.get('content-type')?.includes('json');
  return { status: response.status, headers: response.headers, body: isJson ? JSON.parse(text) : text };
}
const as = (token: string, more: Record<string, string> = {}) => ({
  authorization: `Bearer ${token}`,
  'content-type': 'application/json',
  ...more,
});

/** The code of the first error over HTTP, WebSocket and event stream, in that order. */
async function codes(query: string, token = anna, on = server, extra: object = {}): Promise<(string | undefined)[]> {
  const http = (await send({ on, headers: as(token), body: JSON.stringify({ query, ...extra }) })).body;
  const socket = await GraphQLSocket.connect(on.url, token);
  socket.send({ id: 'q', type: 'subscribe', payload: { query, ...extra } });
  const { type, payload } = await socket.messages.next();
  socket.socket.close();
  const stream = await send({
    on,
    path: '/graphql/stream',
    headers: as(token, { accept: 'text/event-stream' }),
    body: JSON.stringify({ query, ...extra }),
  });
  const told: Data = JSON.parse(/data: ({.*})/.exec(`${stream.body}`)?.[1] ?? JSON.stringify(stream.body));
  return [http.errors, type === 'error' ? payload : payload.errors, told.errors].map(
    (errors) => errors?.[0]?.extensions?.code,
  );
}

describe('a document', () => {
  const many = (count: number, field: (index: number) => string) =>
    Array.from({ length: count }, (_, index) => field(index)).join(' ');
  it.each([
    ['with many aliases', `{ ${many(120, (n) => `a${n}: eventCursor`)} }`, 'QUERY_TOO_LARGE'],
    ['with many directives', `{ eventCursor ${many(60, () => '@include(if: true)')} }`, undefined],
    [
      'with many directives on many fields',
      `{ ${many(60, (n) => `${n % 2 ? 'eventCursor' : '__typename'} @include(if: true)`)} }`,
      'QUERY_TOO_LARGE',
    ],
    ['with 300 fields', `{ ${many(300, () => '__typename')} }`, 'QUERY_TOO_LARGE'],
    [
      'with many mutations',
      `mutation { ${many(11, (n) => `m${n}: removeSite(id: "x") { __typename }`)} }`,
      'QUERY_TOO_LARGE',
    ],
    [
      'with many mutations in fragments',
      `mutation { ...f ...g } fragment f on Mutation { ${many(6, (n) => `f${n}: removeSite(id: "x") { __typename }`)} } fragment g on Mutation { ${many(6, (n) => `g${n}: removeSite(id: "x") { __typename }`)} }`,
      'QUERY_TOO_LARGE',
    ],
    [
      'that reads __schema 12 times',
      `{ ${many(12, (n) => `s${n}: __schema { queryType { name } }`)} }`,
      'QUERY_TOO_COSTLY',
    ],
    [
      'with a deep introspection',
      '{ __type(name: "Query") { fields { type { fields { type { fields { type { fields { name } } } } } } } } }',
      undefined,
    ],
  ])('a document %s is refused over HTTP, WebSocket and event stream', async (_, query, code) => {
    const found = await codes(query);
    if (code) expect(found).toEqual([code, code, code]);
    else expect(found.every((one) => one !== 'INTERNAL_SERVER_ERROR')).toBe(true);
    const { body } = await send({ headers: as(anna), body: JSON.stringify({ query }) });
    expect(body.data).toBeUndefined();
  });

  it('an answer states the cost of its document and the remaining budget', async () => {
    const { body } = await server.post(
      anna,
      '{ chargers(first: 10) { edges { node { id connectors { connectorId } } } } }',
    );
    const { requested, remaining, limit } = body.extensions.cost;
    expect(requested).toBeGreaterThan(10);
    expect(requested).toBeLessThan(500);
    expect(remaining).toBeLessThan(limit);
    const { body: more } = await server.post(
      anna,
      '{ chargers(first: 100) { edges { node { id connectors { connectorId } } } } }',
    );
    expect(more.extensions.cost.requested).toBeGreaterThan(5 * requested);
  });

  it('a query that reads many rows has a high cost, even if it selects few fields', async () => {
    const now = server.clock.now();
    const [from, to] = [new Date(now.getTime() - 86_400_000).toISOString(), now.toISOString()];
    const usage = `reservationUsage(siteId: "site", from: "${from}", to: "${to}") { ... on ReservationUsage { made } }`;
    const { body } = await server.post(admin, `{ ${usage} }`);
    expect(body.data.reservationUsage).toEqual({ made: expect.any(Number) });
    expect(body.extensions.cost.requested).toBeGreaterThan(2000);
    expect(await codes(`{ ${many(10, (n) => `u${n}: ${usage}`)} }`, admin)).toEqual(Array(3).fill('QUERY_TOO_COSTLY'));
  });

  it('a batch of documents in one request is refused with 400', async () => {
    const { status, body } = await send({
      headers: as(anna),
      body: JSON.stringify([{ query: '{ eventCursor }' }, { query: '{ eventCursor }' }]),
    });
    expect(status).toBe(400);
    expect(JSON.stringify(body)).toContain('batch');
  });

  it('introspection is refused where INTROSPECTION is off', async () => {
    const shut = await TestServer.start({ database: server.database, env: { INTROSPECTION: 'off' } });
    const found = await codes(getIntrospectionQuery().replaceAll('description', ''), admin, shut);
    expect(found).toEqual(['GRAPHQL_VALIDATION_FAILED', 'BAD_REQUEST', 'BAD_REQUEST']);
    expect(await codes('{ __typename }', admin, shut)).toEqual([undefined, undefined, undefined]);
    await shut.stop();
    expect((await server.post(anna, '{ __schema { queryType { name } } }')).body.data.__schema.queryType.name).toBe(
      'Query',
    );
  });
});

describe('trusted documents', () => {
  const known = '{ eventCursor }';
  const changing = 'mutation Remove { removeSite(id: "none") { __typename } }';
  let folder: string;
  let trusting: TestServer;
  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), 'ev-reservation-documents-'));
    writeFileSync(join(folder, 'documents.json'), JSON.stringify({ cursor: known, remove: changing }));
    trusting = await TestServer.start({
      database: server.database,
      env: { TRUSTED_DOCUMENTS: join(folder, 'documents.json') },
    });
  });
  afterAll(async () => {
    await trusting.stop();
    await rm(folder, { recursive: true });
  });

  it('a document that is not trusted is refused over HTTP, WebSocket and event stream', async () => {
    const refused = 'DOCUMENT_NOT_TRUSTED';
    expect(await codes('{ sites { edges { cursor } } }', admin, trusting)).toEqual([refused, refused, refused]);
    expect(await codes('{ eventCursor # }', admin, trusting)).toEqual([refused, refused, refused]);
    expect(await codes('', admin, trusting, { documentId: 'none' })).toEqual([refused, refused, refused]);
  });

  it('a trusted document is executed by its text, its id, or its hash as Apollo’s clients send it', async () => {
    const sha256Hash = createHash('sha256').update(known).digest('hex');
    const ways = [
      ['', { documentId: 'cursor' }],
      ['', { extensions: { documentId: 'cursor' } }],
      ['', { extensions: { persistedQuery: { version: 1, sha256Hash } } }],
      [known, {}],
    ] as const;
    for (const [query, extra] of ways)
      expect(await codes(query, admin, trusting, extra)).toEqual([undefined, undefined, undefined]);
    const { body } = await send({
      on: trusting,
      method: 'GET',
      path: `/graphql?documentId=cursor`,
      headers: { authorization: `Bearer ${admin}`, 'apollo-require-preflight': '1' },
    });
    expect(body.data.eventCursor).toEqual(expect.any(String));
    // When a request has both an id and a text, the id decides.
    const both = await send({
      on: trusting,
      headers: as(admin),
      body: JSON.stringify({ query: '{ sites { edges { cursor } } }', documentId: 'cursor' }),
    });
    expect(Object.keys(both.body.data)).toEqual(['eventCursor']);
  });

  it('a trusted document that does not fit the schema keeps the server from starting', async () => {
    writeFileSync(join(folder, 'bad.json'), JSON.stringify({ operations: [{ id: 'x', body: '{ nothing }' }] }));
    const env = { TRUSTED_DOCUMENTS: join(folder, 'bad.json') };
    await expect(TestServer.start({ database: server.database, env })).rejects.toThrow('"x" cannot be executed');
  });
});

describe('requests from a browser', () => {
  it('requests that a page of another site can make a browser send are refused, and so is a mutation by GET', async () => {
    const query = 'mutation { removeSite(id: "site") { __typename } }';
    const plain = await send({
      headers: { authorization: `Bearer ${admin}`, 'content-type': 'text/plain' },
      body: JSON.stringify({ query }),
    });
    const form = await send({
      headers: { authorization: `Bearer ${admin}`, 'content-type': 'application/x-www-form-urlencoded' },
      body: `query=${query}`,
    });
    const simple = await send({
      method: 'GET',
      path: `/graphql?query=${encodeURIComponent('{eventCursor}')}`,
      headers: { authorization: `Bearer ${admin}` },
    });
    for (const { status } of [plain, form, simple]) expect(status).toBeGreaterThanOrEqual(400);
    const get = await send({
      method: 'GET',
      path: `/graphql?query=${encodeURIComponent(query)}`,
      headers: { authorization: `Bearer ${admin}`, 'apollo-require-preflight': '1' },
    });
    expect(get.status).toBe(405);
    const { body } = await server.post(admin, '{ site(id: "site") { id } }');
    expect(body.data.site).toEqual({ id: 'site' });
  });

  it('a browser may call from the allowed origins only', async () => {
    const ask = (origin: string, method = 'OPTIONS') =>
      send({
        method,
        ...(method === 'POST' && { body: JSON.stringify({ query: '{ eventCursor }' }) }),
        headers: as(anna, {
          origin,
          'access-control-request-method': 'POST',
          'access-control-request-headers': 'authorization,content-type',
        }),
      });
    const allowed = await ask('https://app.example');
    expect(allowed.status).toBe(204);
    expect(allowed.headers.get('access-control-allow-origin')).toBe('https://app.example');
    expect(allowed.headers.get('access-control-allow-headers')).toContain('authorization');
    for (const origin of ['https://evil.example', 'https://app.example.evil.example', 'http://app.example', 'null']) {
      expect((await ask(origin)).headers.get('access-control-allow-origin')).toBeNull();
      expect((await ask(origin, 'POST')).headers.get('access-control-allow-origin')).toBeNull();
      const refused = await new Promise((resolve) => {
        const socket = new WebSocket(server.url.replace('http', 'ws'), 'graphql-transport-ws', { headers: { origin } });
        socket.on('unexpected-response', (_, response) => resolve(response.statusCode));
        socket.on('open', () => resolve('open'));
        socket.on('error', () => {});
      });
      expect(refused).toBe(403);
    }
    const stream = await fetch(path('/events'), { headers: { ...as(anna), origin: 'https://app.example' } });
    expect(stream.headers.get('access-control-allow-origin')).toBe('https://app.example');
    await stream.body?.cancel();
  });

  it('every answer forbids scripts, type sniffing and framing, and does not name the server software', async () => {
    const answers = [
      await send({ headers: as(anna), body: JSON.stringify({ query: '{ eventCursor }' }) }),
      await send({ method: 'GET', path: '/reservations', headers: as(anna) }),
      await send({ method: 'GET', path: '/nothing', headers: {} }),
      await send({ method: 'GET', path: '/healthz', headers: {} }),
    ];
    for (const { headers } of answers) {
      expect(headers.get('content-security-policy')).toBe("default-src 'none';frame-ancestors 'none'");
      expect(headers.get('x-content-type-options')).toBe('nosniff');
      expect(headers.get('strict-transport-security')).toContain('max-age=');
      expect(headers.get('x-powered-by')).toBeNull();
      expect(headers.get('server')).toBeNull();
    }
  });
});

describe('rate limits', () => {
  const env = {
    REQUESTS_PER_SECOND_PER_DRIVER: '1',
    REQUESTS_PER_SECOND_PER_OPERATOR: '1000',
    REQUESTS_PER_SECOND_PER_ADDRESS: '1000',
  };

  it('a driver past its request rate is RATE_LIMITED over every transport, and no other caller is', async () => {
    const own = await TestServer.start({ database: server.database, env });
    const results = [];
    for (let n = 0; n < 12; n += 1)
      results.push(await send({ on: own, headers: as(anna), body: JSON.stringify({ query: '{ eventCursor }' }) }));
    const { status, headers, body } = results.at(-1) ?? results[0] ?? (await send({}));
    expect(results.slice(0, 10).map((one) => one.status)).toEqual(Array(10).fill(200));
    expect(status).toBe(429);
    expect(Number(headers.get('retry-after'))).toBeGreaterThanOrEqual(1);
    expect(body.errors).toMatchObject([
      { extensions: { code: 'RATE_LIMITED', retryable: true, retryAfterSeconds: expect.any(Number) } },
    ]);
    expect(await codes('{ eventCursor }', anna, own)).toEqual(['RATE_LIMITED', 'RATE_LIMITED', 'RATE_LIMITED']);
    const rest = await send({ on: own, method: 'GET', path: '/reservations', headers: as(anna) });
    expect(rest).toMatchObject({ status: 429, body: { code: 'RATE_LIMITED' } });
    expect(Number(rest.headers.get('retry-after'))).toBeGreaterThanOrEqual(1);
    expect((await own.post(await driverToken('BEN'), '{ eventCursor }')).status).toBe(200);
    expect((await own.post(admin, '{ eventCursor }')).status).toBe(200);
    own.clock.advance(5000);
    expect((await own.post(anna, '{ eventCursor }')).status).toBe(200);
    await own.stop();
  });

  it('a driver is RATE_LIMITED once its documents have spent its cost budget', async () => {
    const own = await TestServer.start({ database: server.database, env });
    const fields =
      'id name connectors { connectorId state plugTypes errorCode stateAt reservedUntil reservation { id status } }';
    const query = `{ chargers(first: 100) { edges { node { ${fields} } } } }`;
    const first = await own.post(anna, query);
    const { requested, limit } = first.body.extensions.cost;
    expect(limit).toBe(50_000);
    let asked = 1;
    for (; asked < 10; asked += 1) {
      const { status, body } = await own.post(anna, query);
      if (status !== 429) continue;
      expect(body.errors).toMatchObject([
        { message: expect.stringContaining(`costs ${requested}`), extensions: { code: 'RATE_LIMITED' } },
      ]);
      break;
    }
    // The budget refills by 500 per second meanwhile, so one query more may pass.
    expect(asked - Math.floor(limit / requested)).toBeOneOf([0, 1]);
    await own.stop();
  });

  it('a document that cannot be run is charged to the budget, too', async () => {
    const own = await TestServer.start({ database: server.database, env });
    const left = async () => (await own.post(anna, '{ eventCursor }')).body.extensions.cost.remaining;
    const before = await left();
    expect((await own.post(anna, `{ ${'nothing '.repeat(190)} }`)).body.errors.length).toBeGreaterThan(0);
    // The budget refills by 500 per second meanwhile, so the test expects only a part of the charge.
    expect(await left()).toBeLessThan(before - 100);
    await own.stop();
  });

  it('a long list of invalid values gets one short error but is charged in full; the driver waits until its budget refills', async () => {
    const own = await TestServer.start({ database: server.database, env });
    const query = 'query ($kinds: [EventKind!]) { events(filter: { kinds: $kinds }, first: 1) { edges { cursor } } }';
    const variables = { kinds: Array.from({ length: 20_000 }, () => 'X') };
    for (let n = 0; n < 3; n += 1) {
      const { body } = await own.post(anna, query, variables);
      expect(body.errors).toMatchObject([{ extensions: { code: 'BAD_USER_INPUT' } }]);
      expect(body.errors[0].message.length).toBeLessThan(600);
    }
    expect(await codes('{ eventCursor }', anna, own)).toEqual(['RATE_LIMITED', 'RATE_LIMITED', 'RATE_LIMITED']);
    expect((await own.post(await driverToken('BEN'), '{ eventCursor }')).status).toBe(200);
    own.clock.advance(30_000);
    expect((await own.post(anna, '{ eventCursor }')).status).toBe(200);
    await own.stop();
  });

  it('requests of one address are limited before authentication; X-Forwarded-For counts only behind a trusted proxy', async () => {
    const few = { ...env, REQUESTS_PER_SECOND_PER_ADDRESS: '1' };
    const own = await TestServer.start({ database: server.database, env: few });
    const get = (on: TestServer, forwarded: string) =>
      send({ on, method: 'GET', path: '/reservations', headers: { 'x-forwarded-for': forwarded } });
    const statuses = [];
    for (let n = 0; n < 12; n += 1) statuses.push((await get(own, `203.0.113.${n}`)).status);
    expect(statuses.at(0)).toBe(401);
    expect(statuses.at(-1)).toBe(429);
    const upgrade = await new Promise<number | undefined>((resolve) => {
      const socket = new WebSocket(own.url.replace('http', 'ws'), 'graphql-transport-ws');
      socket.on('unexpected-response', (_, response) => resolve(response.statusCode));
      socket.on('open', () => resolve(101));
      socket.on('error', () => {});
    });
    expect(upgrade).toBe(429);
    expect((await send({ on: own, method: 'GET', path: '/healthz', headers: {} })).status).toBe(200);
    await own.stop();
    const proxied = await TestServer.start({
      database: server.database,
      env: { ...few, TRUSTED_PROXIES: '127.0.0.0/8' },
    });
    for (let n = 0; n < 12; n += 1) expect((await get(proxied, `203.0.113.${n}`)).status).toBe(401);
    for (let n = 0; n < 11; n += 1) await get(proxied, `2001:db8:1:2::${n}`);
    expect((await get(proxied, '2001:db8:1:2:ffff::1')).status).toBe(429);
    expect((await get(proxied, '2001:db8:1:3::1')).status).toBe(401);
    await proxied.stop();
  });
});

describe('slow clients and slow requests', () => {
  it('a client that sends its request header one byte per second is disconnected, at the API port and at the charger port', async () => {
    const { port } = new URL(server.url);
    const loris = (to: number, text: string) =>
      new Promise<string>((resolve) => {
        const socket = connect(to, '127.0.0.1');
        let answer = '';
        const drip = setInterval(() => socket.write('x'), 1000);
        socket.on('data', (chunk) => {
          answer += chunk;
        });
        socket.on('error', () => {});
        socket.on('close', () => {
          clearInterval(drip);
          resolve(answer);
        });
        socket.write(text);
      });
    const began = Date.now();
    const ended = await Promise.all([
      loris(Number(port), 'POST /graphql HTTP/1.1\r\nHost: x\r\nX-Drip: '),
      loris(server.app.ocppPort ?? 0, 'GET /CH1 HTTP/1.1\r\nHost: x\r\nX-Drip: '),
    ]);
    for (const one of ended) expect(one).toMatch(/^(HTTP\/1\.1 408|$)/);
    expect(Date.now() - began).toBeLessThan(16_000);
  });

  it('a WebSocket that never sends connection_init is closed with 4408', async () => {
    const socket = await GraphQLSocket.open(server.url);
    server.clock.advance(3500);
    expect(await socket.closed).toMatchObject({ code: 4408 });
  });

  const locked = async (table: string) => {
    const client = new Client({ connectionString: server.database.url });
    await client.connect();
    onTestFinished(() => client.end());
    await client.query('BEGIN');
    await client.query(`LOCK TABLE ${table} IN ACCESS EXCLUSIVE MODE`);
    return () => client.query('ROLLBACK');
  };
  // Counts only the reads of requests, because the server's background work waits for these tables, too.
  const waiting = () =>
    server.database.query<{ table: string }>(
      `SELECT l.relation::regclass::text AS table FROM pg_locks l JOIN pg_stat_activity a USING (pid)
       WHERE NOT l.granted AND a.datname = current_database() AND a.query ~ '^\\s*SELECT ("[cr]"|charger_id AS)'`,
    );

  it.each(['gets the timeout error', 'goes away'])(
    'the database runs no further query for a client that waits too long and %s',
    async (end) => {
      const release = await locked('charger');
      const aborting = new AbortController();
      const asking = fetch(server.url, {
        method: 'POST',
        headers: as(admin),
        signal: aborting.signal,
        body: JSON.stringify({ query: '{ charger(id: "CH1") { id connectors { connectorId } } }' }),
      }).then(
        ({ status }) => status,
        () => 'gone',
      );
      await eventually(async () => expect(await waiting()).toEqual([{ table: 'charger' }]));
      if (end === 'goes away') aborting.abort();
      else server.clock.advance(31_000);
      expect(await asking).toBe(end === 'goes away' ? 'gone' : 503);
      const releaseConnectors = await locked('connector');
      await release();
      // The probe waits for the same table; if the request before it were still running, two would wait.
      const probe = server.post(admin, '{ charger(id: "CH1") { connectors { connectorId } } }');
      await eventually(async () => expect(await waiting()).toEqual([{ table: 'connector' }]));
      await releaseConnectors();
      expect((await probe).status).toBe(200);
    },
  );

  it('a REST request past the time limit is answered with 503 TIMED_OUT and Retry-After', async () => {
    const release = await locked('reservation');
    const asking = send({ method: 'GET', path: '/reservations', headers: as(admin) });
    await eventually(async () => expect(await waiting()).toEqual([{ table: 'reservation' }]));
    server.clock.advance(31_000);
    const { status, body, headers } = await asking;
    expect([status, body.code, headers.get('retry-after')]).toEqual([503, 'TIMED_OUT', '1']);
    await release();
  });
});
