// GraphQL over Server-Sent Events, with a stream for each operation and with one for all: tested with the graphql-sse
// client and byte by byte.
import { createClient } from 'graphql-sse';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { eventually } from '../support/eventually.ts';
import { Queue } from '../support/queue.ts';
import { adminToken, driverToken, signToken, TestServer } from '../support/test-server.ts';

let server: TestServer;
let admin: string;
let anna: string;
beforeAll(async () => {
  server = await TestServer.start({ env: { MAX_SOCKETS_PER_DRIVER: '3' } });
  await server.fill();
  await server.charger('CH1');
  [admin, anna] = [await adminToken(), await driverToken('ANNA')];
});
afterAll(() => server.stop());

const url = (query = '') => `${server.url}/stream${query}`;
const changes = 'subscription { reservationChanged { type cursor } }';
const types = ['REQUESTED', 'ACCEPTED', 'CANCEL_REQUESTED', 'CANCELLED'];
const reserveAndCancel = async () => {
  const { id } = await server.reserveNow(anna, { chargerId: 'CH1', connectorId: 1, idTag: 'ANNA' });
  await server.cancelReservation(anna, { id });
};
const listening = (at = server) => at.metric('listening_subscriptions');
const untilListening = (count: number) => eventually(async () => expect(await listening()).toBe(count));

interface Asked {
  readonly method?: string;
  readonly token?: string | null;
  readonly headers?: Record<string, string>;
  readonly body?: object;
  readonly at?: string;
}
const ask = ({ method = 'POST', token = admin, headers = {}, body, at = url() }: Asked) =>
  fetch(at, {
    method,
    headers: {
      ...(token !== null && { authorization: `Bearer ${token}` }),
      ...(body && { 'content-type': 'application/json' }),
      ...headers,
    },
    ...(body && { body: JSON.stringify(body) }),
  });
const streaming = { accept: 'text/event-stream' };

/** Queues the raw text of each event of the stream, then `(end)` when the stream ends or `(broken)` when it fails. */
function eventsOf(response: Response): Queue<string> {
  const events = new Queue<string>();
  const read = async () => {
    let text = '';
    for await (const chunk of response.body ?? []) {
      text += Buffer.from(chunk);
      for (let end = text.indexOf('\n\n'); end >= 0; end = text.indexOf('\n\n')) {
        events.push(text.slice(0, end));
        text = text.slice(end + 2);
      }
    }
    events.push('(end)');
  };
  read().catch(() => events.push('(broken)'));
  return events;
}

describe('the graphql-sse client', () => {
  for (const singleConnection of [false, true]) {
    it(`${singleConnection ? 'one connection' : 'a connection each'}: the graphql-sse client gets results, errors and events`, async () => {
      const client = createClient({
        url: url(),
        singleConnection,
        headers: { authorization: `Bearer ${admin}` },
        retryAttempts: 0,
      });
      const run = (query: string) => {
        const results = new Queue<unknown>();
        const stop = client.subscribe(
          { query },
          {
            next: (value) => results.push(value),
            error: (error) => results.push(error),
            complete: () => results.push('complete'),
          },
        );
        return { results, stop };
      };
      const before = await listening();
      const { results, stop } = run(changes);
      await untilListening(before + 1);
      const one = run('{ site(id: "site") { id } }').results;
      expect([await one.next(), await one.next()]).toMatchObject([{ data: { site: { id: 'site' } } }, 'complete']);
      const bad = run('{ sites(first: 0) { edges { cursor } } }').results;
      expect(await bad.next()).toMatchObject({ errors: [{ extensions: { code: 'BAD_USER_INPUT' } }] });
      await reserveAndCancel();
      for (const type of types) expect(await results.next()).toMatchObject({ data: { reservationChanged: { type } } });
      stop();
      await untilListening(before);
      client.dispose();
    });
  }
});

describe('a stream for each operation', () => {
  it('a query on its own event stream is answered with a comment, next and complete, and then the stream ends', async () => {
    const response = await ask({ headers: streaming, body: { query: '{ site(id: "site") { id } }' } });
    expect(response.status).toBe(200);
    expect(response.headers.get('content-type')).toBe('text/event-stream; charset=utf-8');
    const events = eventsOf(response);
    expect(await events.next()).toBe(':');
    expect(await events.next()).toMatch(
      /^event: next\ndata: {"data":{"site":{"id":"site"}},"extensions":{"cost":{[^}]*}}}$/,
    );
    expect(await events.next()).toBe('event: complete\ndata:');
    expect(await events.next()).toBe('(end)');
  });

  it('an event stream runs a query sent by GET, and refuses a mutation sent by GET', async () => {
    const get = (query: string, variables = '') =>
      ask({ method: 'GET', headers: streaming, at: url(`?query=${encodeURIComponent(query)}${variables}`) }).then(
        eventsOf,
      );
    const found = await get(
      'query ($id: ID!) { site(id: $id) { id } }',
      `&variables=${encodeURIComponent('{"id":"site"}')}`,
    );
    expect(await found.until((text) => text.startsWith('event'))).toContain('"id":"site"');
    const refused = await get('mutation { removeSite(id: "x") { __typename } }');
    expect(await refused.until((text) => text.startsWith('event'))).toContain('cannot be sent with GET');
  });

  it('a document that cannot be run is answered over the stream, with its errors in next and then complete', async () => {
    for (const query of ['{', '{ nothing }', 'subscription { reservationChanged(after: "x") { type } }']) {
      const events = eventsOf(await ask({ headers: streaming, body: { query } }));
      expect(await events.until((text) => text.startsWith('event'))).toMatch(/^event: next\ndata: \{"errors":\[/);
      expect(await events.next()).toBe('event: complete\ndata:');
    }
  });

  it('a subscription ends when its client disconnects', async () => {
    const before = await listening();
    const gone = new AbortController();
    const headers = { ...streaming, authorization: `Bearer ${admin}`, 'content-type': 'application/json' };
    await fetch(url(), { method: 'POST', headers, body: JSON.stringify({ query: changes }), signal: gone.signal });
    await untilListening(before + 1);
    gone.abort();
    await untilListening(before);
  });

  it('a subscription on a stream of its own resumes after a cursor', async () => {
    const { eventCursor: after } = await server.graphql(admin, '{ eventCursor }');
    await reserveAndCancel();
    const query = `subscription { reservationChanged(after: "${after}") { type } }`;
    const events = eventsOf(await ask({ headers: streaming, body: { query } }));
    for (const type of types) expect(await events.until((text) => text !== ':')).toContain(`"${type}"`);
  });
});

describe('one stream for all operations of a client', () => {
  const reserve = async (token = admin) => (await ask({ method: 'PUT', token })).text();
  const withToken = (token: string) => ({ 'x-graphql-event-stream-token': token });
  const operate = (token: string, id: string | undefined, query: string, more: Asked = {}) =>
    ask({ ...more, headers: withToken(token), body: { query, extensions: { operationId: id } } });

  it('a shared stream is reserved with PUT and opened once, with its token in a header or in the address', async () => {
    const reserved = await ask({ method: 'PUT' });
    expect([reserved.status, reserved.headers.get('content-type')]).toEqual([201, 'text/plain; charset=utf-8']);
    const token = await reserved.text();
    // The stream's token is enough: a browser's EventSource cannot send an Authorization header.
    const opened = await ask({ method: 'GET', token: null, headers: streaming, at: url(`?token=${token}`) });
    expect(opened.status).toBe(200);
    const second = await ask({ method: 'GET', headers: { ...streaming, ...withToken(token) } });
    expect(second.status).toBe(409);
    expect((await operate(token, 'a', '{ site(id: "site") { id } }')).status).toBe(202);
    const events = eventsOf(opened);
    expect(await events.until((text) => text !== ':')).toMatch(
      /^event: next\ndata: {"id":"a","payload":{"data":{"site":{"id":"site"}},"extensions":{"cost":{[^}]*}}}}$/,
    );
    expect(await events.next()).toBe('event: complete\ndata: {"id":"a"}');
  });

  it('a shared stream delivers the results of operations that were sent before it was opened', async () => {
    const token = await reserve();
    expect((await operate(token, 'early', '{ site(id: "site") { id } }')).status).toBe(202);
    const events = eventsOf(await ask({ method: 'GET', headers: { ...streaming, ...withToken(token) } }));
    expect(await events.until((text) => text !== ':')).toContain('{"id":"early","payload":{"data"');
  });

  it('each operation of a shared stream needs an id of its own, and DELETE ends the operation with that id', async () => {
    const token = await reserve();
    const events = eventsOf(await ask({ method: 'GET', headers: { ...streaming, ...withToken(token) } }));
    const before = await listening();
    expect((await operate(token, 'one', changes)).status).toBe(202);
    expect((await operate(token, 'one', changes)).status).toBe(409);
    expect((await operate(token, undefined, changes)).status).toBe(400);
    expect((await operate(token, 'two', changes)).status).toBe(202);
    await untilListening(before + 2);
    const remove = (id: string) =>
      ask({ method: 'DELETE', headers: withToken(token), at: url(id && `?operationId=${id}`) });
    expect((await remove('two')).status).toBe(200);
    expect((await remove('')).status).toBe(400);
    await untilListening(before + 1);
    await reserveAndCancel();
    for (const type of types) {
      const event = await events.until((text) => text !== ':');
      expect(event).toMatch(/^event: next\ndata: \{"id":"one","payload":\{"data":\{"reservationChanged":\{"type":"/);
      expect(event).toContain(type);
    }
  });

  it('an id that is ended and reused while its first operation is still starting has exactly one operation', async () => {
    const token = await reserve();
    const events = eventsOf(await ask({ method: 'GET', headers: { ...streaming, ...withToken(token) } }));
    const before = await listening();
    const remove = () => ask({ method: 'DELETE', headers: withToken(token), at: url('?operationId=a') });
    await Promise.all([
      operate(token, 'a', changes),
      remove(),
      operate(token, 'a', changes),
      remove(),
      operate(token, 'a', changes),
    ]);
    await eventually(async () => expect((await operate(token, 'a', changes)).status).toBe(409));
    await untilListening(before + 1);
    await reserveAndCancel();
    for (const type of types) expect(await events.until((text) => text !== ':')).toContain(`"${type}"`);
    await remove();
    await untilListening(before);
  });

  it('a shared stream has the rights of the access token that was sent last', async () => {
    const names = '{ idTags { edges { node { idTag } } } }';
    const token = await (await ask({ method: 'PUT', token: await signToken('x', { role: 'admin' }) })).text();
    const events = eventsOf(await ask({ method: 'GET', token: null, headers: streaming, at: url(`?token=${token}`) }));
    const asDriver = await signToken('x', { role: 'driver', idTags: ['ANNA'] });
    expect((await operate(token, 'a', names, { token: asDriver })).status).toBe(202);
    expect(await events.until((text) => text !== ':')).not.toContain('BEN');
  });

  it('an invalid document for a shared stream is answered with 400 to its own request', async () => {
    const token = await reserve();
    const refused = await operate(token, 'bad', '{ nothing }');
    expect(refused.status).toBe(400);
    expect(await refused.json()).toMatchObject({ errors: [{ message: expect.stringContaining('nothing') }] });
  });

  it('a shared stream is refused to another subject with 403, an unknown stream token with 404, a bad credential with 401', async () => {
    const token = await reserve(anna);
    expect((await operate(token, 'x', changes, { token: await driverToken('BEN') })).status).toBe(403);
    expect((await operate('no-such-token', 'x', changes)).status).toBe(404);
    expect((await ask({ method: 'GET', headers: { ...streaming, ...withToken('no-such-token') } })).status).toBe(404);
    expect((await ask({ method: 'PUT', token: null })).status).toBe(401);
    expect((await ask({ headers: streaming, token: 'nonsense', body: { query: changes } })).status).toBe(401);
  });

  it('a shared stream that nobody opens within 30 seconds is discarded', async () => {
    const token = await reserve();
    server.clock.advance(31_000);
    await eventually(async () => expect((await operate(token, 'x', changes)).status).toBe(404));
  });
});

it('a malformed event stream request is refused as BAD_REQUEST', async () => {
  const bad: [Asked, number][] = [
    [{ headers: streaming, body: {} }, 400],
    [{ headers: streaming, body: { query: 1 } }, 400],
    [{ headers: streaming, body: { query: '{ a }', variables: 1 } }, 400],
    [{ headers: streaming, body: { query: '{ a }', operationName: 1 } }, 400],
    [{ method: 'GET', headers: streaming, at: url('?query={a}&variables={') }, 400],
    [{ body: { query: '{ a }' } }, 406],
  ];
  for (const [asked, status] of bad) {
    const response = await ask(asked);
    expect([response.status, (await response.json()).errors[0].extensions.code]).toEqual([status, 'BAD_REQUEST']);
  }
});

it('a driver may open a limited number of streams, and they end when its token expires', async () => {
  const own = await TestServer.start({ env: { MAX_SOCKETS_PER_DRIVER: '2' } });
  const token = await signToken('driver of BEN', { role: 'driver', idTags: ['BEN'] }, { expiresIn: '60s' });
  const open = () => ask({ token, headers: streaming, body: { query: changes }, at: `${own.url}/stream` });
  const streams = [eventsOf(await open()), eventsOf(await open())];
  const third = await open();
  expect([third.status, (await third.json()).errors[0].extensions.code]).toEqual([429, 'TOO_MANY_STREAMS']);
  await eventually(async () => expect(await listening(own)).toBe(2));
  own.clock.advance(61_000);
  for (const events of streams) {
    expect(await events.until((text) => text !== ':')).toMatch(/^event: next\ndata: \{"errors":\[.*"UNAUTHENTICATED"/);
    expect(await events.next()).toBe('event: complete\ndata:');
    expect(await events.next()).toBe('(end)');
  }
  await own.stop();
});

it('stopping the server ends open streams', async () => {
  const own = await TestServer.start();
  const events = eventsOf(await ask({ headers: streaming, body: { query: changes }, at: `${own.url}/stream` }));
  await eventually(async () => expect(await listening(own)).toBe(1));
  await own.stop();
  expect(await events.until((text) => text !== ':')).toBe('(end)');
});
