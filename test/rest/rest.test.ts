// REST as a client without GraphQL uses it: the routes, their statuses, the event stream and the OpenAPI document.
import { Validator } from '@seriousme/openapi-schema-validator';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { problem, reservation, reservationPage } from '../../src/rest/schemas.ts';
import { Queue } from '../support/queue.ts';
import { adminToken, driverToken, operatorToken, signToken, TestServer } from '../support/test-server.ts';

let server: TestServer;
let anna: string;
let admin: string;

beforeAll(async () => {
  server = await TestServer.start({ env: { ALLOWED_ORIGINS: 'https://app.example' } });
  await server.fill();
  for (const id of ['CH2', 'CH3', 'OFF']) await server.saveCharger(id);
  anna = await driverToken('ANNA');
  admin = await adminToken();
});
afterAll(() => server.stop());

interface Call {
  readonly token?: string;
  readonly body?: unknown;
  readonly headers?: Record<string, string>;
}

const address = (path: string) => server.url.replace('/graphql', path);

async function call(method: 'GET' | 'POST', path: string, { token, body, headers }: Call = {}) {
  const response = await fetch(address(path), {
    method,
    headers: {
      ...(token && { authorization: `Bearer ${token}` }),
      ...(body !== undefined && { 'content-type': 'application/json' }),
      ...headers,
    },
    ...(body !== undefined && { body: typeof body === 'string' ? body : JSON.stringify(body) }),
  });
  const text = await response.text();
  const type = response.headers.get('content-type') ?? '';
  const answer = type.includes('json') ? JSON.parse(text) : text;
  // Whatever the test asks for: the answer fits the schema that the OpenAPI document shows for it.
  const schema = type.includes('problem') ? problem : schemaOf(path);
  if (schema) expect(schema.safeParse(answer).error).toBeUndefined();
  return { status: response.status, type, headers: response.headers, body: answer };
}

function schemaOf(path: string) {
  if (path.startsWith('/chargers/') || path.startsWith('/reservations/')) return reservation;
  return path.startsWith('/reservations') ? reservationPage : undefined;
}

const reserve = (id: string, body: unknown, more: Omit<Call, 'body'> = {}) =>
  call('POST', `/chargers/${id}/actions/reserve-now`, { token: anna, body, ...more });
const cancel = (id: string, body: unknown, more: Omit<Call, 'body'> = {}) =>
  call('POST', `/chargers/${id}/actions/cancel-reservation`, { token: anna, body, ...more });
const minutes = { idTag: 'ANNA', durationMinutes: 15 };

describe('reserve-now and cancel-reservation', () => {
  it('reserve-now holds a connector on the charger, and cancel-reservation frees it', async () => {
    const charger = await server.charger('CH1');
    const made = await reserve('CH1', { ...minutes, connectorId: 1 });
    expect(made).toMatchObject({
      status: 200,
      body: { status: 'ACCEPTED', chargerId: 'CH1', connectorId: 1, idTag: 'ANNA', expiryDate: expect.any(String) },
    });
    expect(charger.stateOf(1)).toBe('Reserved');
    expect(made.body).not.toHaveProperty('createdBy');
    expect(await call('GET', `/reservations/${made.body.id}`, { token: anna })).toMatchObject({ body: made.body });
    expect(await cancel('CH1', { id: made.body.id })).toMatchObject({
      status: 200,
      body: { status: 'CANCELLED', reason: 'DRIVER_REQUEST' },
    });
    expect(charger.stateOf(1)).toBe('Available');
    await charger.disconnect();
  });

  it('an operator cancels a driver’s reservation by its reservationId on the charger', async () => {
    const charger = await server.charger('CH1');
    const { body } = await reserve('CH1', { ...minutes, connectorId: 1, reservationId: 77 });
    const { reservationId } = body;
    expect(reservationId).toBe(77);
    const token = await operatorToken('site');
    expect(await cancel('CH1', { reservationId, reason: 'POLICY' }, { token })).toMatchObject({
      status: 200,
      body: { status: 'CANCELLED', reason: 'POLICY' },
    });
    await charger.disconnect();
  });

  it('a repeated Idempotency-Key gives the same answer, and another request with it is refused with 422', async () => {
    const charger = await server.charger('CH1');
    const headers = { 'idempotency-key': 'tap-1' };
    const [one, two] = await Promise.all([
      reserve('CH1', { ...minutes, connectorId: 2 }, { headers }),
      reserve('CH1', { ...minutes, connectorId: 2 }, { headers }),
    ]);
    expect(one).toMatchObject({ status: 200, body: { status: 'ACCEPTED' } });
    expect(two.body.id).toBe(one.body.id);
    expect(charger.received.filter(({ method }) => method === 'ReserveNow')).toHaveLength(1);
    expect(await reserve('CH1', { ...minutes, connectorId: 1 }, { headers })).toMatchObject({
      status: 422,
      body: { code: 'IDEMPOTENCY_KEY_REUSED' },
    });
    const key = { headers: { 'idempotency-key': 'cancel-1' } };
    expect((await cancel('CH1', { id: one.body.id }, key)).status).toBe(200);
    expect(await cancel('CH1', { id: one.body.id }, key)).toMatchObject({ status: 200, body: { status: 'CANCELLED' } });
    expect(await cancel('CH1', { id: one.body.id })).toMatchObject({
      status: 409,
      body: { code: 'ALREADY_ENDED', reservation: { status: 'CANCELLED' } },
    });
    await charger.disconnect();
  });
});

describe('refusals as problem details', () => {
  it.each([
    ['a body that is not JSON', '{', 400],
    ['a number sent as text', { ...minutes, connectorId: '1' }, 400],
    ['an unknown field', { ...minutes, conectorId: 1 }, 400],
    ['a malformed date', { idTag: 'ANNA', expiryDate: 'tomorrow' }, 400],
    ['a date in the past', { idTag: 'ANNA', expiryDate: '2020-01-01T00:00:00Z' }, 400],
    ['both durationMinutes and expiryDate', { ...minutes, expiryDate: '2100-01-01T00:00:00Z' }, 400],
    ['another driver’s idTag', { ...minutes, idTag: 'CLEO' }, 403],
  ])('reserve-now with %s is answered with problem details', async (_, body, status) => {
    const answer = await reserve('CH1', body);
    expect(answer).toMatchObject({ status, type: expect.stringContaining('application/problem+json') });
    expect(answer.body).toMatchObject({
      type: 'about:blank',
      status,
      code: expect.any(String),
      detail: expect.any(String),
    });
  });

  it.each([
    ['a space before the time', (iso: string) => iso.replace('T', ' ')],
    ['lowercase letters', (iso: string) => iso.toLowerCase()],
    ['an offset without a colon', (iso: string) => iso.replace('Z', '+0000')],
    ['an offset in hours only', (iso: string) => iso.replace('Z', '+00')],
  ])('an expiryDate with %s is read as the same instant', async (_, written) => {
    const charger = await server.charger('CH1');
    const expiryDate = new Date(server.clock.now().getTime() + 15 * 60_000).toISOString();
    const { body } = await reserve('CH1', { idTag: 'ANNA', connectorId: 1, expiryDate: written(expiryDate) });
    expect(body).toMatchObject({ status: 'ACCEPTED', expiryDate });
    await cancel('CH1', { id: body.id });
    await charger.disconnect();
  });

  it('an empty number in a query is refused, not read as 0', async () => {
    for (const query of ['connectorId=', 'connectorId', 'first=']) {
      const answer = await call('GET', `/reservations?${query}`, { token: anna });
      expect(answer).toMatchObject({ status: 400, body: { field: query.split('=')[0] } });
    }
  });

  it('problem details name the invalid field, and an unknown field before an invalid one', async () => {
    expect((await reserve('CH1', { foo: 1, durationMinutes: 'x' })).body).toMatchObject({ field: 'foo' });
    expect((await reserve('CH1', { ...minutes, conectorId: 1 })).body).toMatchObject({ field: 'conectorId' });
    expect((await reserve('CH1', { ...minutes, connectorId: -1 })).body).toMatchObject({ field: 'connectorId' });
  });

  it('a request without a credential is answered with 401 and WWW-Authenticate', async () => {
    const answer = await call('POST', '/chargers/CH1/actions/reserve-now', { body: minutes });
    expect(answer).toMatchObject({ status: 401, body: { code: 'UNAUTHENTICATED' } });
    expect(answer.headers.get('www-authenticate')).toBe('Bearer');
  });

  it('a request beyond the scopes of its token is answered with 403', async () => {
    const claims = { role: 'driver', idTags: ['ANNA'], scope: 'reservations:read' };
    const token = await signToken('driver of ANNA', claims);
    expect(await reserve('CH1', minutes, { token })).toMatchObject({ status: 403, body: { code: 'FORBIDDEN' } });
    expect((await call('GET', '/reservations', { token })).status).toBe(200);
  });

  it('an unknown path, charger or reservation is answered with 404, and another driver’s reservation like an unknown one', async () => {
    const charger = await server.charger('CH1');
    const { body } = await reserve('CH1', { ...minutes, connectorId: 1 });
    const cleo = await driverToken('CLEO');
    const unknown = '00000000-0000-4000-8000-000000000000';
    const read = (id: string, token: string) => call('GET', `/reservations/${id}`, { token });
    const foreign = await read(body.id, cleo);
    expect(foreign).toMatchObject({ status: 404 });
    expect(foreign.body).toEqual((await read(unknown, cleo)).body);
    expect(foreign.body).toEqual((await read('nothing', cleo)).body);
    const ended = await cancel('CH1', { id: body.id }, { token: cleo });
    expect(ended.status).toBe(404);
    expect(ended.body).toEqual((await cancel('CH1', { id: unknown }, { token: cleo })).body);
    // The path names another charger, at which this reservation does not exist.
    expect((await cancel('CH2', { id: body.id })).status).toBe(404);
    expect((await reserve('NOBODY', minutes)).status).toBe(404);
    expect((await call('GET', '/nothing')).body).toMatchObject({ status: 404, code: 'NOT_FOUND' });
    expect((await cancel('CH1', { id: body.id })).status).toBe(200);
    await charger.disconnect();
  });

  it('reserve-now of a connector that another driver holds is answered with 409 and reservedUntil, without the holder', async () => {
    const charger = await server.charger('CH1');
    const { body } = await reserve('CH1', { ...minutes, connectorId: 1 });
    const token = await driverToken('CLEO');
    const taken = await reserve('CH1', { idTag: 'CLEO', connectorId: 1, durationMinutes: 15 }, { token });
    expect(taken).toMatchObject({ status: 409, body: { code: 'RESERVED', reservedUntil: body.expiryDate } });
    expect(JSON.stringify(taken.body)).not.toContain('ANNA');
    await cancel('CH1', { id: body.id });
    await charger.disconnect();
  });

  it('a request that the policy forbids is answered with 422 and the reasons', async () => {
    const answer = await reserve('CH1', { idTag: 'ANNA', durationMinutes: 100_000 });
    expect(answer).toMatchObject({ status: 422, body: { code: 'POLICY', reasons: [{ rule: 'MAX_DURATION' }] } });
  });

  it('reserve-now is answered with 502 when the charger refuses, with 503 when the charger is offline', async () => {
    const charger = await server.charger('CH2');
    charger.behaviour = { type: 'refuse', status: 'Occupied' };
    expect(await reserve('CH2', { ...minutes, connectorId: 1 })).toMatchObject({
      status: 502,
      body: { code: 'CHARGER_REFUSED', answer: 'OCCUPIED', reservation: { status: 'REJECTED' } },
    });
    await charger.disconnect();
    expect(await reserve('OFF', minutes)).toMatchObject({ status: 503, body: { code: 'CHARGER_OFFLINE' } });
  });

  it('reserve-now that the charger does not answer is answered with 504 and a Location, which shows the outcome after a late answer', async () => {
    const charger = await server.rawCharger('CH3');
    const reserving = reserve('CH3', { ...minutes, connectorId: 1 });
    const { id } = await charger.expectCall('ReserveNow');
    server.clock.advance(6000);
    const answer = await reserving;
    expect(answer).toMatchObject({ status: 504, body: { code: 'NO_ANSWER', reservation: { status: 'UNKNOWN' } } });
    const location = answer.headers.get('location') ?? '';
    charger.answer(id, { status: 'Accepted' });
    await expect.poll(async () => (await call('GET', location, { token: anna })).body.status).toBe('ACCEPTED');
    charger.close();
  });

  it('reserve-now answers GET with 404, an oversized body with 413, a content type other than JSON with 415', async () => {
    expect((await call('GET', '/chargers/CH1/actions/reserve-now', { token: anna })).status).toBe(404);
    expect((await reserve('CH1', { idTag: 'x'.repeat(200_000) })).status).toBe(413);
    const headers = { 'content-type': 'text/csv' };
    expect(
      (await call('POST', '/chargers/CH1/actions/reserve-now', { token: anna, body: 'a,b', headers })).status,
    ).toBe(415);
  });
});

describe('reservations', () => {
  it('reservations are listed in pages, within the caller’s rights, and a bad parameter is answered with 400', async () => {
    const charger = await server.charger('CH1');
    for (let n = 0; n < 3; n += 1) {
      const { body } = await reserve('CH1', { ...minutes, connectorId: 1 });
      await cancel('CH1', { id: body.id });
    }
    const list = async (query: string, token = anna) => (await call('GET', `/reservations?${query}`, { token })).body;
    const one = await list('first=2&status=CANCELLED&chargerId=CH1');
    expect(one.items).toHaveLength(2);
    const two = await list(`first=2&status=CANCELLED&chargerId=CH1&after=${one.nextCursor}`);
    const ids = [...one.items, ...two.items].map(({ id }: { id: string }) => id);
    expect(new Set(ids).size).toBe(4);
    expect((await list('first=100', await driverToken('CLEO'))).items).toEqual([]);
    expect((await list('first=100&idTag=ANNA', await driverToken('CLEO'))).items).toEqual([]);
    expect((await list('first=100', await operatorToken('elsewhere'))).items).toEqual([]);
    for (const bad of ['first=0', 'first=x', 'after=nonsense', 'status=GONE', 'sort=id'])
      expect(await list(bad)).toMatchObject({ status: 400, code: 'INVALID_INPUT' });
    await charger.disconnect();
  });
});

describe('the event stream', () => {
  async function open(query: string, token: string, headers: Record<string, string> = {}) {
    const aborting = new AbortController();
    const response = await fetch(address(`/events?${query}`), {
      headers: { authorization: `Bearer ${token}`, ...headers },
      signal: aborting.signal,
    });
    const events = new Queue<{ id: string; event: string; data: Record<string, unknown> }>();
    const read = async () => {
      let text = '';
      for await (const chunk of response.body ?? []) {
        text += Buffer.from(chunk).toString();
        for (let end = text.indexOf('\n\n'); end >= 0; end = text.indexOf('\n\n')) {
          const fields = Object.fromEntries(
            text
              .slice(0, end)
              .split('\n')
              .map((line) => [line.slice(0, line.indexOf(':')), line.slice(line.indexOf(':') + 2)]),
          );
          text = text.slice(end + 2);
          const { id, event = '', data = '' } = fields;
          if (id) events.push({ id, event, data: JSON.parse(data) });
        }
      }
    };
    if (response.status === 200) read().catch(() => {});
    return { response, events, close: () => aborting.abort() };
  }

  it('the event stream sends the events that the caller may see, and resumes without a gap after Last-Event-ID', async () => {
    const charger = await server.charger('CH1');
    const stream = await open('kind=RESERVATION', anna);
    const stranger = await open('kind=RESERVATION', await driverToken('CLEO'));
    const { body } = await reserve('CH1', { ...minutes, connectorId: 1 });
    const first = await stream.events.next();
    expect(first).toMatchObject({ event: 'RESERVATION', data: { type: 'REQUESTED', reservation: { id: body.id } } });
    expect(await stream.events.next()).toMatchObject({ data: { type: 'ACCEPTED', to: 'ACCEPTED', actor: 'CHARGER' } });
    stream.close();
    await cancel('CH1', { id: body.id });
    const again = await open('kind=RESERVATION', anna, { 'last-event-id': first.id });
    const types = [(await again.events.next()).data.type];
    while (types.at(-1) !== 'CANCELLED') types.push((await again.events.next()).data.type);
    expect(types).toEqual(['ACCEPTED', 'CANCEL_REQUESTED', 'CANCELLED']);
    expect(stranger.events.all).toEqual([]);
    const connectors = await open(`kind=CONNECTOR&after=${first.id}`, await driverToken('CLEO'));
    expect(await connectors.events.next()).toMatchObject({ event: 'CONNECTOR', data: { chargerId: 'CH1' } });
    for (const one of [again, stranger, connectors]) one.close();
    await charger.disconnect();
  });

  it('the event stream answers an invalid cursor with 400 and a missing credential with 401', async () => {
    expect((await open('after=nonsense', anna)).response.status).toBe(400);
    expect((await fetch(address('/events'))).status).toBe(401);
  });

  it('the event stream ends when its token expires', async () => {
    const own = await TestServer.start();
    await own.fill();
    const token = await signToken('driver of ANNA', { role: 'driver', idTags: ['ANNA'] }, { expiresIn: '1m' });
    const response = await fetch(own.url.replace('/graphql', '/events'), {
      headers: { authorization: `Bearer ${token}` },
    });
    const ended = (async () => {
      for await (const _ of response.body ?? []) {
      }
      return 'ended';
    })();
    own.clock.advance(70_000);
    expect(await ended).toBe('ended');
    await own.stop();
  });
});

describe('the OpenAPI document', () => {
  it('the OpenAPI document is valid and lists every route with its credential, and the statuses of reserve-now', async () => {
    const { body } = await call('GET', '/openapi.json');
    const validated = await new Validator().validate(structuredClone(body));
    expect(validated).toEqual({ valid: true });
    expect(body.openapi).toBe('3.1.0');
    expect(Object.keys(body.paths).toSorted()).toEqual([
      '/chargers/{id}/actions/cancel-reservation',
      '/chargers/{id}/actions/reserve-now',
      '/events',
      '/reservations',
      '/reservations/{id}',
    ]);
    const { responses } = body.paths['/chargers/{id}/actions/reserve-now'].post;
    expect(Object.keys(responses)).toEqual([
      '200',
      '400',
      '401',
      '403',
      '404',
      '409',
      '422',
      '429',
      '502',
      '503',
      '504',
    ]);
    const operations = Object.values<Record<string, { security: unknown; description: string }>>(body.paths).flatMap(
      (methods) => Object.values(methods),
    );
    for (const { security, description } of operations) {
      expect(security).toEqual([{ bearer: [] }]);
      expect(description.length).toBeGreaterThan(20);
    }
    expect(Object.keys(body.components.schemas).toSorted()).toEqual(['Problem', 'Reservation', 'ReservationPage']);
  });

  it('the OpenAPI Reservation has every field that REST returns, and the same fields as GraphQL except site and charger', async () => {
    const charger = await server.charger('CH1');
    const { body } = await reserve('CH1', { ...minutes, connectorId: 1 });
    const { body: document } = await call('GET', '/openapi.json');
    const described = Object.keys(document.components.schemas.Reservation.properties);
    expect(described).toEqual(expect.arrayContaining(Object.keys(body)));
    const query = '{ __type(name: "Reservation") { fields { name } } }';
    const { __type } = await server.graphql(admin, query);
    const names = __type.fields
      .map(({ name }: { name: string }) => name)
      .filter((one: string) => !['site', 'charger'].includes(one));
    expect(described.toSorted()).toEqual(names.toSorted());
    await cancel('CH1', { id: body.id });
    await charger.disconnect();
  });

  it('the page that shows the OpenAPI document loads nothing from another server', async () => {
    const page = await call('GET', '/docs/');
    expect(page).toMatchObject({ status: 200, type: expect.stringContaining('text/html') });
    expect(page.body).not.toMatch(/(src|href)="https?:/);
    expect(page.headers.get('content-security-policy')).toContain("default-src 'self'");
    const assets = [...page.body.matchAll(/(?:src|href)="\.?\/?([^"]+)"/g)].map(([, asset]) => `${asset}`);
    expect(assets.length).toBeGreaterThan(3);
    for (const asset of assets)
      expect(await call('GET', asset.startsWith('docs') ? `/${asset}` : `/docs/${asset}`)).toMatchObject({
        status: 200,
      });
  });
});
