// GraphQL API tests against a running server: tokens, rights, bad input, administration, lists, internal errors and the
// stop of the server.
import { once } from 'node:events';
import { connect } from 'node:net';
import { createClient } from 'graphql-ws';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { WebSocket } from 'ws';
import { adminToken, driverToken, operatorToken, signToken, TestServer } from '../support/test-server.ts';

let server: TestServer;
let admin: string;
let anna: string;

beforeAll(async () => {
  server = await TestServer.start();
  await server.fill();
  await server.saveSite('other-site');
  await server.saveCharger('CH9', 'other-site');
  await server.charger('CH1', '1.6', { connectors: 4 });
  [admin, anna] = await Promise.all([adminToken(), driverToken('ANNA')]);
});
afterAll(() => server.stop());

describe('tokens', () => {
  const status = async (token: string | undefined) => {
    const { status: code, body } = await server.post(token, '{ __typename }');
    return [code, body.errors?.[0].extensions.code, body.errors?.[0].message];
  };

  it('an operation without a token is answered with 401', async () => {
    expect(await status(undefined)).toEqual([401, 'UNAUTHENTICATED', expect.stringContaining('Bearer')]);
  });

  it.each([
    [
      'signed with another secret',
      signToken('x', { role: 'admin' }, { secret: 'another-secret-of-32-characters-or-more' }),
      'signature',
    ],
    ['that has expired', signToken('x', { role: 'admin' }, { expiresIn: '-1h' }), 'expired'],
    ['without a role', signToken('x', {}), 'role'],
    ['of a driver without idTags', signToken('x', { role: 'driver' }), 'idTags'],
    ['of an operator without sites', signToken('x', { role: 'operator' }), 'sites'],
    ['that is not a JWT', Promise.resolve('nonsense'), 'not valid'],
    [
      'that is unsigned',
      Promise.resolve('eyJhbGciOiJub25lIn0.eyJyb2xlIjoiYWRtaW4iLCJzdWIiOiJ4IiwiZXhwIjo5OTk5OTk5OTk5fQ.'),
      'not valid',
    ],
  ])('a token %s is refused with 401 and the reason', async (_, token, why) => {
    expect(await status(await token)).toEqual([401, 'UNAUTHENTICATED', expect.stringContaining(why)]);
  });

  it('a WebSocket with an invalid token is closed with 4403, and so is one whose token expires', async () => {
    const closeCode = (authorization: string) =>
      new Promise((resolve) => {
        const client = createClient({
          url: server.url.replace('http', 'ws'),
          webSocketImpl: WebSocket,
          connectionParams: { authorization },
          lazy: false,
          retryAttempts: 0,
          onNonLazyError: () => {},
          on: { closed: (event) => resolve((event as { code: number }).code) },
        });
        server.onStop(() => client.dispose());
      });
    expect(await closeCode('Bearer nonsense')).toBe(4403);
    expect(await closeCode(`Bearer ${await signToken('x', { role: 'admin' }, { expiresIn: '2s' })}`)).toBe(4403);
  });

  it('a WebSocket upgrade from a page of another origin is refused with 403', async () => {
    const socket = new WebSocket(server.url.replace('http', 'ws'), ['graphql-transport-ws'], {
      origin: 'https://evil.example',
    });
    const status403 = await new Promise((resolve) => {
      socket.on('unexpected-response', (_, response) => resolve(response.statusCode));
      socket.on('error', () => {});
    });
    expect(status403).toBe(403);
  });
});

describe('rights', () => {
  const own = { chargerId: 'CH1', connectorId: 1, idTag: 'ANNA' };

  it('a driver reserves and asks for authorization with its own idTags only', async () => {
    expect(await server.reserveNow(anna, { ...own, idTag: 'BEN' })).toMatchObject({
      __typename: 'IdTagRefused',
      code: 'NOT_YOUR_ID_TAG',
    });
    expect(await server.reserveNow(anna, { ...own, parentIdTag: 'STRANGERS' })).toMatchObject({
      __typename: 'InvalidInput',
      field: 'parentIdTag',
    });
    const asked = await server.post(anna, '{ authorization(chargerId: "CH1", idTag: "BEN") { status } }');
    expect(asked.body.errors).toMatchObject([{ extensions: { code: 'FORBIDDEN' } }]);
  });

  it('a driver sees only its own reservations, and gets the same answer for a foreign reservation as for an unknown one', async () => {
    const { id } = await server.reserveNow(anna, own);
    const cleo = await driverToken('CLEO');
    const byId = 'query ($id: ID!) { reservation(id: $id) { id } }';
    expect(await server.graphql(anna, byId, { id })).toEqual({ reservation: { id } });
    expect(await server.graphql(cleo, byId, { id })).toEqual({ reservation: null });
    expect(await server.graphql(cleo, '{ reservations { edges { node { id } } } }')).toEqual({
      reservations: { edges: [] },
    });
    const foreign = await server.cancelReservation(cleo, { id });
    const none = await server.cancelReservation(cleo, { id: '00000000-0000-4000-8000-000000000000' });
    expect(foreign).toEqual(none);
    expect(foreign).toMatchObject({ __typename: 'NotFound', code: 'RESERVATION_NOT_FOUND' });
    await server.cancelReservation(anna, { id });
  });

  it('a driver’s subscription delivers events of its own reservations only', async () => {
    const [seenByAnna, seenByCleo] = [
      await server.watchReservations(anna),
      await server.watchReservations(await driverToken('CLEO')),
    ];
    const reserved = await server.reserveNow(await operatorToken('site'), { ...own, idTag: 'CLEO' });
    expect(await seenByCleo.next()).toMatchObject({
      type: 'REQUESTED',
      actor: 'OPERATOR',
      reservation: { id: reserved.id },
    });
    await server.cancelReservation(await operatorToken('site'), { id: reserved.id });
    const mine = await server.reserveNow(anna, own);
    expect(await seenByAnna.next()).toMatchObject({ reservation: { id: mine.id } });
    await server.cancelReservation(anna, { id: mine.id });
  });

  it('an operator sees and reserves chargers of its own sites only', async () => {
    const olga = await operatorToken('site');
    expect(await server.graphql(olga, '{ charger(id: "CH9") { id } site(id: "other-site") { id } }')).toEqual({
      charger: null,
      site: null,
    });
    expect(await server.graphql(olga, '{ chargers { edges { node { id } } } }')).toEqual({
      chargers: { edges: [{ node: { id: 'CH1' } }] },
    });
    const elsewhere = await server.reserveNow(olga, { chargerId: 'CH9', idTag: 'CLEO' });
    const nowhere = await server.reserveNow(olga, { chargerId: 'NONE', idTag: 'CLEO' });
    expect([elsewhere.code, nowhere.code]).toEqual(['CHARGER_NOT_FOUND', 'CHARGER_NOT_FOUND']);
    expect(
      await server.graphql(olga, '{ reservations(filter: { siteId: "other-site" }) { edges { node { id } } } }'),
    ).toEqual({ reservations: { edges: [] } });
  });

  it('an operator may save its own site, but no foreign site or charger and no idTag; a driver may not save a site', async () => {
    const saveSite = 'mutation { saveSite(input: { id: "site", name: "New", timeZone: "UTC" }) { __typename } }';
    const saveTag = 'mutation { saveIdTag(input: { idTag: "EVE" }) { __typename } }';
    const saveCharger = 'mutation { saveCharger(input: { id: "CH9", siteId: "other-site" }) { __typename } }';
    expect(await server.graphql(anna, saveSite)).toEqual({ saveSite: { __typename: 'NotAllowed' } });
    expect(await server.graphql(await operatorToken('other-site'), saveSite)).toEqual({
      saveSite: { __typename: 'NotAllowed' },
    });
    expect(await server.graphql(await operatorToken('site'), saveSite)).toEqual({ saveSite: { __typename: 'Site' } });
    expect(await server.graphql(await operatorToken('site'), saveTag)).toEqual({
      saveIdTag: { __typename: 'NotAllowed' },
    });
    expect(await server.graphql(await operatorToken('site'), saveCharger)).toEqual({
      saveCharger: { __typename: 'NotAllowed' },
    });
  });
});

describe('bad input of reserveNow', () => {
  const base = { chargerId: 'CH1', connectorId: 1, idTag: 'ANNA' };
  it.each([
    ['a past expiry', { expiryDate: '2020-01-01T00:00:00Z' }, 'expiryDate'],
    ['an expiry and a duration', { expiryDate: '2099-01-01T00:00:00Z', durationMinutes: 5 }, 'durationMinutes'],
    ['a duration of 0', { durationMinutes: 0 }, 'durationMinutes'],
    ['a reservationId of 0', { reservationId: 0 }, 'reservationId'],
    ['a negative reservationId', { reservationId: -1 }, 'reservationId'],
    ['a negative connectorId', { connectorId: -1 }, 'connectorId'],
    ['a negative waitMs', { waitMs: -1 }, 'waitMs'],
    ['an empty idempotencyKey', { idempotencyKey: '' }, 'idempotencyKey'],
  ])('reserveNow refuses %s with a code and a message', async (_, extra, field) => {
    expect(await server.reserveNow(admin, { ...base, ...extra })).toMatchObject({
      __typename: 'InvalidInput',
      code: 'INVALID_INPUT',
      field,
    });
  });

  it.each([
    ['an unknown charger', { chargerId: 'NONE' }, 'CHARGER_NOT_FOUND'],
    ['an unknown connector', { connectorId: 99 }, 'CONNECTOR_NOT_FOUND'],
    ['an unknown idTag', { idTag: 'NOBODY' }, 'ID_TAG_INVALID'],
    ['an offline charger', { chargerId: 'CH9' }, 'CHARGER_OFFLINE'],
    ['a reservation that is too long', { durationMinutes: 181 }, 'POLICY'],
  ])('reserveNow refuses %s with a code and a message', async (_, extra, code) => {
    expect(await server.reserveNow(admin, { ...base, ...extra })).toMatchObject({ code, message: expect.any(String) });
  });

  it('reserveNow refuses an idTag that is blocked, expired or too long for the charger', async () => {
    await server.saveIdTag('BAD', { status: 'BLOCKED' });
    await server.saveIdTag('OLD', { expiryDate: '2020-01-01T00:00:00Z' });
    await server.saveIdTag('L'.repeat(21));
    const code = async (idTag: string) => (await server.reserveNow(admin, { ...base, idTag })).code;
    expect([await code('BAD'), await code('OLD'), await code('L'.repeat(21))]).toEqual([
      'ID_TAG_BLOCKED',
      'ID_TAG_EXPIRED',
      'ID_TAG_TOO_LONG',
    ]);
  });

  it('a reservationId chosen by the caller is refused while a live reservation of that charger has it', async () => {
    const first = await server.reserveNow(admin, { ...base, reservationId: 77 });
    expect(first).toMatchObject({ status: 'ACCEPTED', reservationId: 77 });
    expect(await server.reserveNow(admin, { ...base, connectorId: 2, reservationId: 77 })).toMatchObject({
      code: 'RESERVATION_ID_IN_USE',
    });
    await server.cancelReservation(admin, { chargerId: 'CH1', reservationId: 77 });
    const again = await server.reserveNow(admin, { ...base, reservationId: 77 });
    expect(again).toMatchObject({ status: 'ACCEPTED', reservationId: 77 });
    await server.cancelReservation(admin, { id: again.id });
  });

  it('a policy refusal names the broken rule and its limit', async () => {
    await server.saveSite('site', { minDurationMinutes: 5, maxDurationMinutes: 60 });
    expect(await server.reserveNow(admin, { ...base, durationMinutes: 4 })).toMatchObject({
      reasons: [{ rule: 'MIN_DURATION', limitMinutes: 5 }],
    });
    expect(await server.reserveNow(admin, { ...base, durationMinutes: 61 })).toMatchObject({
      reasons: [{ rule: 'MAX_DURATION', limitMinutes: 60 }],
    });
    await server.saveSite('site', { enabled: false });
    expect(await server.reserveNow(admin, base)).toMatchObject({ reasons: [{ rule: 'ENABLED', limitMinutes: null }] });
    await server.saveSite('site', { enabled: true, minDurationMinutes: 0, maxDurationMinutes: 180 });
  });
});

describe('bad input of cancelReservation', () => {
  it.each([
    [{}],
    [{ id: 'x', chargerId: 'CH1', reservationId: 1 }],
    [{ chargerId: 'CH1' }],
    [{ id: 'x', chargerId: 'CH1' }],
  ])('cancelReservation with %j, which does not name exactly one reservation, is InvalidInput', async (input) => {
    expect(await server.cancelReservation(admin, input)).toMatchObject({ __typename: 'InvalidInput', field: 'id' });
  });

  it('cancelReservation with a malformed id or an unknown reservationId answers RESERVATION_NOT_FOUND', async () => {
    expect(await server.cancelReservation(admin, { id: 'x' })).toMatchObject({ code: 'RESERVATION_NOT_FOUND' });
    expect(await server.cancelReservation(admin, { chargerId: 'CH1', reservationId: 123_456 })).toMatchObject({
      code: 'RESERVATION_NOT_FOUND',
    });
  });
});

describe('administration', () => {
  it('refusals of saveSite, saveCharger and saveIdTag name the invalid field', async () => {
    const field = async (mutation: string) =>
      Object.values((await server.graphql(admin, `mutation { ${mutation} }`)) as object)[0].field;
    const more = '{ ... on InvalidInput { field } }';
    expect(await field(`saveSite(input: { id: "a b", name: "A", timeZone: "UTC" }) ${more}`)).toBe('id');
    expect(await field(`saveSite(input: { id: "a", name: "", timeZone: "UTC" }) ${more}`)).toBe('name');
    expect(await field(`saveSite(input: { id: "a", name: "A", timeZone: "Mars/Base" }) ${more}`)).toBe('timeZone');
    const policy = 'policy: { minDurationMinutes: 10, maxDurationMinutes: 5 }';
    expect(await field(`saveSite(input: { id: "a", name: "A", timeZone: "UTC", ${policy} }) ${more}`)).toBe(
      'maxDurationMinutes',
    );
    expect(await field(`saveCharger(input: { id: "new", siteId: "site" }) ${more}`)).toBe('password');
    expect(await field(`saveCharger(input: { id: "a/b", siteId: "site", password: "long enough" }) ${more}`)).toBe(
      'id',
    );
    expect(await field(`saveIdTag(input: { idTag: "" }) ${more}`)).toBe('idTag');
    expect(await field(`saveIdTag(input: { idTag: "A", parentIdTag: "a" }) ${more}`)).toBe('parentIdTag');
  });

  it('an idTag is found in any letter case, and is stored once, as it was last spelled', async () => {
    await server.saveIdTag('Mixed');
    await server.saveIdTag('MIXED', { parentIdTag: 'GROUP' });
    const rows = await server.database.query(`SELECT id_tag, parent_id_tag FROM id_tag WHERE lower(id_tag) = 'mixed'`);
    expect(rows).toEqual([{ id_tag: 'MIXED', parent_id_tag: 'GROUP' }]);
    const removed = await server.graphql(admin, 'mutation { removeIdTag(idTag: "mixed") { __typename } }');
    expect(removed).toEqual({ removeIdTag: { __typename: 'Removed' } });
  });

  it('a charger with a live reservation and a site with chargers are InUse and not removed; unknown ones are NotFound', async () => {
    const { id } = await server.reserveNow(anna, { chargerId: 'CH1', connectorId: 1, idTag: 'ANNA' });
    const mutation = 'mutation { removeCharger(id: "CH1") { __typename } removeSite(id: "site") { __typename } }';
    expect(await server.graphql(admin, mutation)).toEqual({
      removeCharger: { __typename: 'InUse' },
      removeSite: { __typename: 'InUse' },
    });
    await server.cancelReservation(anna, { id });
    const gone = 'mutation { removeCharger(id: "NONE") { __typename } removeSite(id: "none") { __typename } }';
    expect(await server.graphql(admin, gone)).toEqual({
      removeCharger: { __typename: 'NotFound' },
      removeSite: { __typename: 'NotFound' },
    });
  });
});

describe('lists', () => {
  it('pages list every charger exactly once, in order, and a page size outside 1 to 100 or a bad cursor is refused', async () => {
    for (const name of ['P1', 'P2', 'P3', 'P4', 'P5']) await server.saveCharger(name, 'other-site');
    const query = `query ($first: Int!, $after: String) { chargers(siteId: "other-site", first: $first, after: $after) {
      edges { node { id } } pageInfo { hasNextPage endCursor } } }`;
    const ids: string[] = [];
    let after: string | null = null;
    for (let isMore = true; isMore; ) {
      const { chargers } = await server.graphql(admin, query, { first: 2, after });
      ids.push(...chargers.edges.map(({ node }: { node: { id: string } }) => node.id));
      isMore = chargers.pageInfo.hasNextPage;
      after = chargers.pageInfo.endCursor;
    }
    expect(ids).toEqual(['CH9', 'P1', 'P2', 'P3', 'P4', 'P5']);
    for (const [variables, argument] of [
      [{ first: 0 }, 'first'],
      [{ first: 101 }, 'first'],
      [{ first: 1, after: 'nonsense' }, 'after'],
    ] as const) {
      const { body } = await server.post(admin, query, variables);
      expect(body.errors).toMatchObject([{ extensions: { code: 'BAD_USER_INPUT', argument } }]);
    }
  });

  it('reservations are listed newest first, filtered, and each one once across the pages', async () => {
    const made: string[] = [];
    for (const connectorId of [1, 2, 3]) {
      const { id } = await server.reserveNow(anna, { chargerId: 'CH1', connectorId, idTag: 'ANNA' });
      await server.cancelReservation(anna, { id });
      made.unshift(id);
    }
    const query = `query ($after: String, $filter: ReservationFilterInput) { reservations(first: 2, after: $after, filter: $filter) {
      edges { node { id charger { id } site { id } } } pageInfo { hasNextPage endCursor } } }`;
    const filter = { chargerId: 'CH1', idTag: 'anna', statuses: ['CANCELLED'] };
    const one = (await server.graphql(anna, query, { filter })).reservations;
    const two = (await server.graphql(anna, query, { filter, after: one.pageInfo.endCursor })).reservations;
    const listed = [...one.edges, ...two.edges].map(({ node }: { node: { id: string } }) => node.id);
    expect(listed.slice(0, 3)).toEqual(made);
    expect(one.edges[0].node).toMatchObject({ charger: { id: 'CH1' }, site: { id: 'site' } });
  });
});

describe('internal errors and readiness', () => {
  it('an internal error is masked and has a correlation id', async () => {
    const other = await TestServer.start();
    await other.database.query('ALTER TABLE site RENAME TO gone');
    const { body } = await other.post(admin, '{ sites { edges { node { id } } } }');
    expect(body.errors).toEqual([
      expect.objectContaining({
        message: expect.stringMatching(/[0-9a-f-]{36}$/),
        extensions: { code: 'INTERNAL_SERVER_ERROR', correlationId: expect.any(String) },
      }),
    ]);
    expect(JSON.stringify(body)).not.toContain('does not exist');
    await other.stop();
  });

  it('readyz and healthz answer 200 while the database is reachable', async () => {
    const ready = () => fetch(server.url.replace('/graphql', '/readyz'));
    expect((await ready()).status).toBe(200);
    expect((await fetch(server.url.replace('/graphql', '/healthz'))).status).toBe(200);
  });
});

describe('the WebSocket', () => {
  it('the WebSocket also runs queries: an invalid document gets error, a bad argument gets errors inside next', async () => {
    const client = createClient({
      url: server.url.replace('http', 'ws'),
      webSocketImpl: WebSocket,
      connectionParams: { Authorization: `Bearer ${admin}` },
      retryAttempts: 0,
    });
    const results: unknown[] = [];
    const errors: unknown[] = [];
    const run = (query: string) =>
      new Promise<void>((resolve) => {
        client.subscribe(
          { query },
          {
            next: (result) => results.push(result),
            error: (error) => {
              errors.push(error);
              resolve();
            },
            complete: resolve,
          },
        );
      });
    await run('{ site(id: "site") { id } }');
    await run('{ nothing }');
    await run('{ sites(first: 0) { edges { cursor } } }');
    expect(results).toMatchObject([
      { data: { site: { id: 'site' } } },
      { errors: [{ extensions: { code: 'BAD_USER_INPUT' } }] },
    ]);
    expect(errors).toMatchObject([[{ message: expect.stringContaining('nothing') }]]);
    await client.dispose();
  });

  it('stopping the server closes client sockets with 1001 and still answers the request under way', async () => {
    const stopping = await TestServer.start();
    // An idle TCP connection without a request: the stop must close it instead of waiting for it.
    const unused = connect(stopping.app.port, '127.0.0.1');
    await once(unused, 'connect');
    await stopping.fill();
    const charger = await stopping.rawCharger('CH1');
    const closed = new Promise((resolve) => {
      const client = createClient({
        url: stopping.url.replace('http', 'ws'),
        webSocketImpl: WebSocket,
        connectionParams: { authorization: `Bearer ${admin}` },
        lazy: false,
        retryAttempts: 0,
        onNonLazyError: () => {},
        on: {
          connected: () =>
            client.subscribe(
              { query: 'subscription { reservationChanged { type } }' },
              { next() {}, error() {}, complete() {} },
            ),
          closed: (event) => resolve((event as { code: number }).code),
        },
      });
    });
    const reserving = stopping.reserveNow(anna, { chargerId: 'CH1', connectorId: 1, idTag: 'ANNA' });
    const { id } = await charger.expectCall('ReserveNow');
    const stopped = stopping.app.stop();
    expect(await closed).toBe(1001);
    expect(charger.socket.readyState).toBe(WebSocket.OPEN);
    charger.answer(id, { status: 'Accepted' });
    expect(await reserving).toMatchObject({ status: 'ACCEPTED' });
    expect(await charger.closed).toMatchObject({ code: 1001 });
    await stopped;
    expect(unused.readableEnded || unused.destroyed || (await once(unused, 'close'))).toBeTruthy();
    await stopping.database.drop();
  });
});
