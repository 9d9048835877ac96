// A dashboard's reads: a snapshot followed by every change, the event log page by page, messages shared between
// subscribers, and what each caller may see.
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { eventually } from '../support/eventually.ts';
import { GraphQLSocket } from '../support/graphql-socket.ts';
import { adminToken, driverToken, memberToken, operatorToken, TestServer } from '../support/test-server.ts';

let server: TestServer;
let admin: string;
let anna: string;
beforeAll(async () => {
  server = await TestServer.start();
  await server.fill();
  await server.saveSite('elsewhere');
  await server.saveCharger('FAR', 'elsewhere');
  await server.charger('CH1');
  await server.charger('FAR');
  [admin, anna] = [await adminToken(), await driverToken('ANNA')];
});
afterAll(() => server.stop());

const reserve = (idTag: string, connectorId: number, chargerId = 'CH1') =>
  driverToken(idTag).then((token) => server.reserveNow(token, { chargerId, connectorId, idTag }));
const cancel = async ({ id }: { id: string }) => server.cancelReservation(admin, { id });

describe('subscriptions with snapshot: true', () => {
  const query = `subscription ($filter: ReservationEventFilter) { reservationChanged(filter: $filter, snapshot: true) {
    type cursor to snapshotLeft reservation { id version idTag status } } }`;

  it('a snapshot sends the matching live reservations first, with snapshotLeft counting down, then the changes', async () => {
    const [one, two] = [await reserve('ANNA', 1), await reserve('BEN', 2)];
    const far = await reserve('CLEO', 1, 'FAR');
    const events = await server.subscribe(admin, query, { filter: { siteId: 'site' } });
    expect(await events.next()).toMatchObject({
      type: 'SNAPSHOT',
      to: 'ACCEPTED',
      snapshotLeft: 1,
      reservation: { id: one.id },
    });
    expect(await events.next()).toMatchObject({
      type: 'SNAPSHOT',
      snapshotLeft: 0,
      reservation: { id: two.id, version: 2 },
    });
    await cancel(one);
    expect(await events.next()).toMatchObject({
      type: 'CANCEL_REQUESTED',
      snapshotLeft: null,
      reservation: { version: 3 },
    });
    await events.until(({ type }) => type === 'CANCELLED');
    await Promise.all([cancel(two), cancel(far)]);
  });

  it('a driver’s snapshot and changes contain only its own reservations', async () => {
    const [one, two] = [await reserve('ANNA', 1), await reserve('BEN', 2)];
    const events = await server.subscribe(anna, query);
    expect(await events.next()).toMatchObject({ type: 'SNAPSHOT', snapshotLeft: 0, reservation: { id: one.id } });
    await cancel(two);
    await cancel(one);
    expect(await events.next()).toMatchObject({ type: 'CANCEL_REQUESTED', reservation: { id: one.id } });
  });

  it('a snapshot is of one moment: the changes after it continue without a gap or a repeat while others write', async () => {
    for (let index = 0; index < 6; index += 1) await server.saveCharger(`B${index}`);
    const chargers = await Promise.all(Array.from({ length: 6 }, (_, index) => server.charger(`B${index}`)));
    let isWriting = true;
    const writing = Promise.all(
      chargers.map(async ({ id: chargerId }) => {
        while (isWriting) await cancel(await reserve('ANNA', 1, chargerId));
      }),
    );
    const watchers = [];
    for (let index = 0; index < 15; index += 1) watchers.push(await server.subscribe(admin, query));
    isWriting = false;
    await writing;
    await reserve('ANNA', 1, 'B0');
    for (const { all } of watchers) {
      await eventually(() =>
        expect(all.at(-1)).toMatchObject({ type: 'ACCEPTED', reservation: { status: 'ACCEPTED' } }),
      );
      const versions = new Map<string, number>();
      for (const { type, reservation } of all) {
        const before = versions.get(reservation.id);
        // Each reservation starts with SNAPSHOT or version 1, then its version grows by one with each event.
        if (before === undefined) expect(type === 'SNAPSHOT' || reservation.version === 1).toBe(true);
        else expect(reservation.version).toBe(before + 1);
        versions.set(reservation.id, reservation.version);
      }
    }
    const [left] = (
      await server.graphql(admin, '{ reservations(filter: { statuses: [ACCEPTED] }) { edges { node { id } } } }')
    ).reservations.edges;
    await cancel(left.node);
  });

  it('a snapshot of connectors shows their states and whether their charger is connected', async () => {
    const text = `subscription { connectorChanged(filter: { chargerId: "FAR" }, snapshot: true) {
      type connectorId to isChargerConnected snapshotLeft siteId } }`;
    const events = await server.subscribe(admin, text);
    const state = { type: 'SNAPSHOT', to: 'AVAILABLE', isChargerConnected: true, siteId: 'elsewhere' };
    expect(await events.next()).toEqual({ ...state, connectorId: 1, snapshotLeft: 1 });
    expect(await events.next()).toEqual({ ...state, connectorId: 2, snapshotLeft: 0 });
    const held = await reserve('CLEO', 2, 'FAR');
    expect(await events.next()).toMatchObject({
      type: 'STATE_CHANGED',
      connectorId: 2,
      to: 'RESERVED',
      snapshotLeft: null,
    });
    await cancel(held);
    const nothing = await server.subscribe(await operatorToken('site'), text);
    expect(nothing.all).toEqual([]);
  });

  it('a subscription can resume from the cursor of a snapshot', async () => {
    const held = await reserve('ANNA', 1);
    const { cursor } = await (await server.subscribe(anna, query)).next();
    await cancel(held);
    const text = 'subscription ($after: String) { reservationChanged(after: $after) { type } }';
    const resumed = await server.subscribe(anna, text, { after: cursor });
    expect(await resumed.next()).toEqual({ type: 'CANCEL_REQUESTED' });
  });

  it('a subscription with both snapshot and after is refused', async () => {
    const text = 'subscription { reservationChanged(after: "MS4x", snapshot: true) { type } }';
    const refused = await (await server.subscribe(admin, text)).next();
    expect(refused.errors).toMatchObject([{ extensions: { code: 'BAD_USER_INPUT', argument: 'snapshot' } }]);
  });
});

describe('the events query', () => {
  const query = `query ($filter: EventFilterInput, $after: String, $first: Int) { events(filter: $filter, after: $after, first: $first) {
    edges { cursor node { __typename cursor chargerId connectorId ... on ReservationEvent { type reservation { id } } ... on ConnectorEvent { to } } }
    pageInfo { hasNextPage endCursor startCursor } } }`;
  // biome-ignore lint/suspicious/noExplicitAny: a test knows what it asked for
  const poll = async (token: string, variables: object): Promise<any> =>
    (await server.graphql(token, query, variables)).events;

  it('the events query returns the events after a cursor in pages, each with the cursor for the next page', async () => {
    const { eventCursor } = await server.graphql(admin, '{ eventCursor }');
    const held = await reserve('ANNA', 1);
    await cancel(held);
    const filter = { reservationId: held.id };
    const first = await poll(admin, { filter, after: eventCursor, first: 3 });
    expect(first.edges.map(({ node }: { node: { type: string } }) => node.type)).toEqual([
      'REQUESTED',
      'ACCEPTED',
      'CANCEL_REQUESTED',
    ]);
    expect(first.pageInfo).toMatchObject({ hasNextPage: true, startCursor: first.edges[0].cursor });
    const second = await poll(admin, { filter, after: first.pageInfo.endCursor });
    expect(second.edges).toMatchObject([{ node: { __typename: 'ReservationEvent', type: 'CANCELLED' } }]);
    const third = await poll(admin, { filter, after: second.pageInfo.endCursor });
    expect(third).toMatchObject({ edges: [], pageInfo: { hasNextPage: false } });
    await cancel(await reserve('ANNA', 1));
    const later = await poll(admin, { filter: { kinds: ['RESERVATION'] }, after: third.pageInfo.endCursor });
    expect(later.edges).toHaveLength(4);
  });

  it('the events query returns connector events, too, and to each caller only what it may see', async () => {
    const { eventCursor: after } = await server.graphql(admin, '{ eventCursor }');
    const [here, far] = [await reserve('ANNA', 1), await reserve('CLEO', 1, 'FAR')];
    const kinds = async (token: string, filter: object = {}) => {
      const { edges } = await poll(token, { after, filter });
      return edges.map(
        ({ node }: { node: { __typename: string; chargerId: string } }) => `${node.__typename} ${node.chargerId}`,
      );
    };
    await eventually(async () => expect(await kinds(admin)).toHaveLength(6));
    const own = ['ReservationEvent CH1', 'ReservationEvent CH1'];
    const driver = await kinds(anna);
    expect(driver.filter((one: string) => one.startsWith('Res'))).toEqual(own);
    expect(driver.filter((one: string) => one.startsWith('Con')).toSorted()).toEqual([
      'ConnectorEvent CH1',
      'ConnectorEvent FAR',
    ]);
    expect((await kinds(await operatorToken('elsewhere'))).filter((one: string) => !one.endsWith(' FAR'))).toEqual([]);
    expect(await kinds(admin, { idTag: 'anna' })).toEqual(own);
    expect(await kinds(anna, { idTag: 'CLEO' })).toEqual([]);
    expect(await kinds(admin, { kinds: ['CONNECTOR'], chargerId: 'FAR' })).toEqual(['ConnectorEvent FAR']);
    expect(await kinds(admin, { connectorId: 2 })).toEqual([]);
    await Promise.all([cancel(here), cancel(far)]);
  });

  it('the events query works without after, and names a bad argument when it refuses it', async () => {
    const { edges } = await poll(admin, { first: 1 });
    expect(edges).toHaveLength(1);
    const refused = async (variables: object) => (await server.post(admin, query, variables)).body.errors[0].extensions;
    expect(await refused({ first: 0 })).toMatchObject({ code: 'BAD_USER_INPUT', argument: 'first' });
    expect(await refused({ first: 501 })).toMatchObject({ code: 'BAD_USER_INPUT', argument: 'first' });
    expect(await refused({ after: 'nonsense' })).toMatchObject({ code: 'BAD_USER_INPUT', argument: 'after' });
    expect(await refused({ filter: { reservationId: 'x' } })).toMatchObject({ argument: 'filter.reservationId' });
  });
});

it('a cursor beyond the end of the event log is refused', async () => {
  const after = Buffer.from('99999999999.1').toString('base64url');
  const text = 'subscription ($after: String) { reservationChanged(after: $after) { type } }';
  const refused = await (await server.subscribe(admin, text, { after })).next();
  expect(refused.errors).toMatchObject([{ extensions: { code: 'BAD_USER_INPUT', argument: 'after' } }]);
});

describe('messages shared between subscribers', () => {
  /** Selects the charger, a field that is looked up and that depends on the caller's rights. */
  const withCharger =
    'subscription ($f: ReservationEventFilter) { reservationChanged(filter: $f) { type reservation { id charger { id name } } } }';

  it('subscriptions that select the same get identical messages, whatever their filters and variable names', async () => {
    const socket = await GraphQLSocket.connect(server.url, admin);
    const same = [
      ['subscription { reservationChanged { type cursor } }', {}],
      ['subscription{reservationChanged(filter:{}){type cursor}}', {}],
      [
        'subscription ($f: ReservationEventFilter) { reservationChanged(filter: $f) { type cursor } }',
        { f: { chargerId: 'CH1' } },
      ],
      [
        'subscription ($g: ReservationEventFilter) { reservationChanged(filter: $g) { type cursor } }',
        { g: { connectorId: 1, chargerId: 'CH1', siteId: null } },
      ],
      ['subscription ($t: String) { reservationChanged(filter: { idTag: $t }) { type cursor } }', { t: 'anna' }],
    ] as const;
    same.forEach(([query, variables], index) => {
      socket.subscribe(`${index}`, query, variables);
    });
    // A subscription may still be starting: rounds are repeated until all five have got the four events of one.
    await eventually(async () => {
      const before = socket.messages.all.length;
      await cancel(await reserve('ANNA', 1));
      await eventually(() => expect(socket.messages.all.length).toBeGreaterThanOrEqual(before + 5 * 4), 1000);
    });
    const byCursor = new Map<string, string[]>();
    for (const { payload } of socket.messages.all.slice(-20)) {
      const { cursor } = payload.data.reservationChanged;
      byCursor.set(cursor, [...(byCursor.get(cursor) ?? []), JSON.stringify(payload)]);
    }
    for (const payloads of byCursor.values()) {
      expect(payloads).toHaveLength(5);
      expect(new Set(payloads).size).toBe(1);
    }
    socket.socket.close();
  });

  it('subscriptions whose variable defaults select different fields do not share messages', async () => {
    const shown = (isShown: boolean) =>
      server.subscribe(
        admin,
        `subscription ($d: Boolean = ${isShown}) { reservationChanged { type siteId @include(if: $d) } }`,
      );
    const [with_, without] = [await shown(true), await shown(false)];
    await cancel(await reserve('ANNA', 1));
    expect(await with_.next()).toEqual({ type: 'REQUESTED', siteId: 'site' });
    expect(await without.next()).toEqual({ type: 'REQUESTED' });
  });

  it('subscribers with different rights do not share messages if a field depends on the caller’s rights', async () => {
    const moved = await reserve('ANNA', 1);
    const [near, far] = [await operatorToken('site'), await operatorToken('site', 'elsewhere')];
    const [byNear, byFar] = [await server.subscribe(near, withCharger), await server.subscribe(far, withCharger)];
    // The reservation keeps its site; its charger moves to a site that only one of the two operators may see.
    await server.saveCharger('CH1', 'elsewhere');
    await cancel(moved);
    expect((await byNear.next()).reservation.charger).toBeNull();
    expect((await byFar.next()).reservation.charger).toMatchObject({ id: 'CH1' });
    await server.saveCharger('CH1', 'site');
  });

  it('events with a field that is looked up keep their order', async () => {
    const events = await server.subscribe(admin, withCharger, { f: { chargerId: 'CH1' } });
    for (let round = 0; round < 5; round += 1) await cancel(await reserve('ANNA', 1));
    const types = [];
    for (let count = 0; count < 20; count += 1) types.push((await events.next()).type);
    expect(types).toEqual(
      Array.from({ length: 5 }, () => ['REQUESTED', 'ACCEPTED', 'CANCEL_REQUESTED', 'CANCELLED']).flat(),
    );
  });
});

describe('the events and reservations that a caller may see', () => {
  it('a driver gets no events of others, whatever its filter, and a group member gets those of the group’s own reservations', async () => {
    const member = await memberToken('BEN', 'fleet');
    const watchers = {
      anna: await server.watchReservations(anna),
      prying: await server.watchReservations(anna, { chargerId: 'CH1', connectorId: 2 }),
      ofBen: await server.watchReservations(anna, { idTag: 'BEN' }),
      member: await server.watchReservations(member),
      operator: await server.watchReservations(await operatorToken('elsewhere')),
    };
    const ben = await reserve('BEN', 2);
    const fleet = await server.reserveNow(member, { chargerId: 'CH1', connectorId: 1, parentIdTag: 'FLEET' });
    await cancel(ben);
    await cancel(fleet);
    const own = await reserve('ANNA', 1);
    await cancel(own);
    await watchers.anna.until(({ type }) => type === 'CANCELLED');
    const ids = (queue: { all: { reservation: { id: string } }[] }) => [
      ...new Set(queue.all.map(({ reservation }) => reservation.id)),
    ];
    expect(ids(watchers.anna)).toEqual([own.id]);
    expect(ids(watchers.member).toSorted()).toEqual([ben.id, fleet.id].toSorted());
    expect(watchers.prying.all).toEqual([]);
    expect(watchers.ofBen.all).toEqual([]);
    expect(watchers.operator.all).toEqual([]);
  });
});
