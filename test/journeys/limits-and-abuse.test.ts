// Policy limits under races; blocks for no-shows, late cancels and re-reservations; and the usage of a site.
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { eventually } from '../support/eventually.ts';
import { createTestDatabase } from '../support/test-database.ts';
import { adminToken, driverToken, operatorToken, TestServer } from '../support/test-server.ts';

let server: TestServer;
let anna: string;
let cleo: string;
let operator: string;
const MINUTE = 60_000;
const HUNDRED = 100;
const CHARGERS = 10;

beforeEach(async () => {
  server = await TestServer.start();
  await server.fill();
  [anna, cleo, operator] = await Promise.all([driverToken('ANNA'), driverToken('CLEO'), operatorToken('site')]);
});
afterEach(() => server.stop());

const input = { chargerId: 'CH1', connectorId: 1, idTag: 'ANNA', durationMinutes: 30 };
const inMinutes = (minutes: number) => new Date(server.clock.now().getTime() + minutes * MINUTE).toISOString();

describe('a hundred simultaneous bookings, over ten chargers and two servers', () => {
  let other: TestServer;
  beforeEach(async () => {
    other = await TestServer.start({ database: server.database });
    for (let index = 2; index <= CHARGERS; index += 1) {
      const connectors = [{ connectorId: 1 }, { connectorId: 2 }];
      await server.saveCharger(`CH${index}`, 'site', { connectors });
    }
    await server.saveCharger('CH1', 'site', { connectors: [{ connectorId: 1 }, { connectorId: 2 }] });
  });
  afterEach(() => other.stop());

  /**
   * A hundred bookings by two servers over all connectors. By default no two ask for the same window of the same
   * connector, so that only the policy limits them.
   */
  const bookAll = (idTagOf: (index: number) => string, startOf = (index: number) => 60 + 60 * Math.floor(index / 20)) =>
    Promise.all(
      Array.from({ length: HUNDRED }, (_, index) =>
        (index % 2 ? server : other).scheduleReservation(operator, {
          chargerId: `CH${1 + (index % CHARGERS)}`,
          connectorId: 1 + (Math.floor(index / CHARGERS) % 2),
          idTag: idTagOf(index),
          startsAt: inMinutes(startOf(index)),
          durationMinutes: 30,
        }),
      ),
    );
  const count = (all: { status?: string }[]) => all.filter(({ status }) => status === 'SCHEDULED').length;
  const rulesOf = (all: { code?: string; reasons?: { rule: string }[] }[]) => [
    ...new Set(
      all.filter(({ code }) => code).flatMap(({ code, reasons }) => reasons?.map(({ rule }) => rule) ?? [code]),
    ),
  ];

  it.each<[string, object, number]>([
    ['MAX_ACTIVE_PER_ID_TAG', { maxActivePerIdTag: 7 }, 7],
    ['MAX_ACTIVE_PER_GROUP', { maxActivePerGroup: 5 }, 5],
    ['MAX_PER_DAY_PER_ID_TAG', { maxPerDayPerIdTag: 3 }, 3],
    ['OVERLAPPING_ALLOWED', { overlappingAllowed: false }, 1],
  ])('a hundred simultaneous bookings never break %s', async (rule, policy, limit) => {
    await server.saveSite('site', policy);
    // All begin at the same time, so that all fall on the same day and all overlap.
    const all = await bookAll(
      () => 'ANNA',
      () => 60,
    );
    expect(count(all)).toBe(limit);
    expect(rulesOf(all)).toContain(rule);
    const rows = await server.database.query(`SELECT FROM reservation WHERE status = 'SCHEDULED'`);
    expect(rows).toHaveLength(limit);
  });

  it('a hundred simultaneous bookings of one idTag keep cooldownMinutes between them', async () => {
    await server.saveSite('site', { cooldownMinutes: 30, overlappingAllowed: false });
    const all = await bookAll(
      () => 'ANNA',
      (index) => 60 + index * 7,
    );
    const rows = await server.database.query<{ starts_at: Date; expiry_date: Date }>(
      `SELECT starts_at, expiry_date FROM reservation WHERE status = 'SCHEDULED' ORDER BY starts_at`,
    );
    expect(rows.length).toBe(count(all));
    expect(rows.length).toBeGreaterThan(3);
    for (const [index, row] of rows.entries()) {
      const before = rows[index - 1];
      if (before) expect(+row.starts_at - +before.expiry_date).toBeGreaterThanOrEqual(30 * MINUTE);
    }
  });

  it('a hundred simultaneous bookings leave minFreeConnectors connectors free', async () => {
    await server.saveSite('site', { minFreeConnectors: 4 });
    const all = await bookAll(
      (index) => (index % 2 ? 'ANNA' : 'CLEO'),
      () => 60,
    );
    expect(count(all)).toBe(2 * CHARGERS - 4);
    expect(rulesOf(all).toSorted()).toEqual(expect.arrayContaining(['MIN_FREE_CONNECTORS']));
  });

  it('among a hundred simultaneous bookings maxActivePerIdTag counts each idTag by itself', async () => {
    await server.saveSite('site', { maxActivePerIdTag: 2 });
    const tags = Array.from({ length: 20 }, (_, index) => `TAG${index}`);
    for (const tag of tags) await server.saveIdTag(tag);
    const all = await bookAll((index) => tags[index % 20] ?? '');
    const perTag = await server.database.query<{ n: number }>(
      `SELECT count(*)::int AS n FROM reservation WHERE status = 'SCHEDULED' GROUP BY id_tag`,
    );
    expect(perTag.map(({ n }) => n)).toEqual(tags.map(() => 2));
    expect(count(all)).toBe(40);
  });
});

it('extensions that race with bookings of the same idTag never overlap them', async () => {
  await server.saveSite('site', { maxDurationMinutes: 600 });
  await server.saveSite('site', { overlappingAllowed: false });
  const first = await server.scheduleReservation(anna, {
    chargerId: 'CH1',
    connectorId: 1,
    idTag: 'ANNA',
    startsAt: inMinutes(60),
    durationMinutes: 30,
  });
  const racers = Array.from({ length: 50 }, (_, index) =>
    index % 2
      ? server.extendReservation(anna, { id: first.id, expiryDate: inMinutes(150) })
      : server.scheduleReservation(operator, {
          chargerId: 'CH1',
          connectorId: 2,
          idTag: 'ANNA',
          startsAt: inMinutes(100),
          durationMinutes: 30,
        }),
  );
  await Promise.all(racers);
  const rows = await server.database.query<{ starts_at: Date; expiry_date: Date }>(
    `SELECT starts_at, expiry_date FROM reservation WHERE status = 'SCHEDULED' ORDER BY starts_at`,
  );
  for (const [index, row] of rows.entries()) {
    const before = rows[index - 1];
    if (before) expect(+row.starts_at).toBeGreaterThanOrEqual(+before.expiry_date);
  }
});

const blocksOf = async (token = operator) =>
  (
    await server.graphql(
      token,
      `{ reservationBlocks(siteId: "site") { ... on Refusal { code } ... on ReservationBlocks { blocks { idTag parentIdTag blockedUntil reasons { rule limitCount } } } } }`,
    )
  ).reservationBlocks;
const lift = async (token: string, who: object) =>
  (
    await server.graphql(
      token,
      `mutation ($input: LiftReservationBlockInput!) { liftReservationBlock(input: $input) { __typename ... on Refusal { code } } }`,
      { input: { siteId: 'site', ...who } },
    )
  ).liftReservationBlock;

describe('no-shows of an idTag', () => {
  const comesTo = (id: string, expected: object) =>
    eventually(async () => expect(await server.reservation(id)).toMatchObject(expected));

  async function miss(token = anna, idTag = 'ANNA') {
    const { id } = await server.reserveNow(token, { ...input, idTag, durationMinutes: 1 });
    server.clock.advance(MINUTE);
    await comesTo(id, { status: 'EXPIRED' });
    // The charger runs on the server's clock: it ends the expired hold itself within the grace of 10 s.
    server.clock.advance(10_000);
  }

  it('an idTag with too many no-shows is blocked, which reservationBlocks shows, until an operator lifts the block', async () => {
    await server.saveSite('site', { noShowLimit: 2, blockMinutes: 60 });
    await server.charger('CH1', '1.6', { clock: server.clock });
    await miss();
    expect(await blocksOf()).toEqual({ blocks: [] });
    await miss();
    const refused = await server.reserveNow(anna, input);
    expect(refused).toMatchObject({ code: 'POLICY', reasons: [{ rule: 'NO_SHOW_LIMIT', limitCount: 2 }] });
    const { blocks } = await blocksOf();
    expect(blocks).toEqual([
      {
        idTag: 'ANNA',
        parentIdTag: null,
        blockedUntil: refused.reasons[0].allowedFrom,
        reasons: [{ rule: 'NO_SHOW_LIMIT', limitCount: 2 }],
      },
    ]);
    expect(await server.reserveNow(cleo, { ...input, idTag: 'CLEO', connectorId: 2 })).toMatchObject({
      status: 'ACCEPTED',
    });
    expect(await lift(anna, { idTag: 'ANNA' })).toMatchObject({ code: 'FORBIDDEN' });
    expect(await lift(operator, { idTag: 'anna' })).toMatchObject({ __typename: 'Removed' });
    expect(await blocksOf()).toEqual({ blocks: [] });
    expect(await server.reserveNow(anna, input)).toMatchObject({ status: 'ACCEPTED' });
  });

  it('a block for no-shows ends after blockMinutes', async () => {
    await server.saveSite('site', { noShowLimit: 1, blockMinutes: 30 });
    await server.charger('CH1', '1.6', { clock: server.clock });
    await miss();
    const { reasons } = await server.reserveNow(anna, input);
    server.clock.advance(Date.parse(reasons[0].allowedFrom) - server.clock.now().getTime() - 2000);
    expect(await server.reserveNow(anna, input)).toMatchObject({ code: 'POLICY' });
    server.clock.advance(2000);
    expect(await server.reserveNow(anna, input)).toMatchObject({ status: 'ACCEPTED' });
  });

  it('no-shows of an idTag count against its group, too', async () => {
    await server.saveSite('site', { noShowLimitPerGroup: 2 });
    await server.charger('CH1', '1.6', { clock: server.clock });
    await miss();
    await miss(await driverToken('BEN'), 'BEN');
    expect(await server.reserveNow(anna, input)).toMatchObject({ reasons: [{ rule: 'NO_SHOW_LIMIT_PER_GROUP' }] });
    expect(await blocksOf()).toMatchObject({ blocks: [{ idTag: null, parentIdTag: 'fleet' }] });
    expect(await server.reserveNow(cleo, { ...input, idTag: 'CLEO' })).toMatchObject({ status: 'ACCEPTED' });
    await lift(operator, { parentIdTag: 'FLEET' });
    expect(await server.reserveNow(anna, { ...input, connectorId: 2 })).toMatchObject({ status: 'ACCEPTED' });
  });

  it('a no-show does not count once a late message shows that the holder came', async () => {
    await server.saveSite('site', { noShowLimit: 1 });
    const charger = await server.charger('CH1', '1.6', { clock: server.clock });
    const { id } = await server.reserveNow(anna, { ...input, durationMinutes: 1 });
    await charger.disconnect();
    await charger.present(1, 'ANNA');
    server.clock.advance(2 * MINUTE);
    await comesTo(id, { status: 'EXPIRED' });
    expect(await server.reserveNow(anna, input)).toMatchObject({ reasons: [{ rule: 'NO_SHOW_LIMIT' }] });
    await charger.connect();
    await comesTo(id, { status: 'USED' });
    expect(await blocksOf()).toEqual({ blocks: [] });
  });
});

it('late cancels and re-reservations are marked, and block the idTag at their limits', async () => {
  await server.saveSite('site', {
    lateCancelMinutes: 10,
    lateCancelLimit: 1,
    reReservationMinutes: 5,
    reReservationLimit: 1,
    blockMinutes: 1,
  });
  await server.charger('CH1');
  const early = await server.reserveNow(anna, input);
  expect(early).toMatchObject({ isReReservation: false });
  expect(await server.cancelReservation(anna, { id: early.id })).toMatchObject({
    status: 'CANCELLED',
    isLateCancel: false,
  });
  const again = await server.reserveNow(anna, input);
  expect(again).toMatchObject({ status: 'ACCEPTED', isReReservation: true });
  expect(await server.reserveNow(anna, { ...input, connectorId: 2 })).toMatchObject({
    reasons: [{ rule: 'RE_RESERVATION_LIMIT' }],
  });
  server.clock.advance(11 * MINUTE);
  expect(await server.cancelReservation(anna, { id: again.id })).toMatchObject({ isLateCancel: true });
  expect(await server.reserveNow(anna, input)).toMatchObject({
    reasons: [{ rule: 'LATE_CANCEL_LIMIT', limitCount: 1 }],
  });
  server.clock.advance(6 * MINUTE);
  const byOperator = await server.reserveNow(anna, input);
  expect(byOperator).toMatchObject({ status: 'ACCEPTED', isReReservation: false });
  server.clock.advance(11 * MINUTE);
  expect(await server.cancelReservation(operator, { id: byOperator.id })).toMatchObject({ isLateCancel: false });
});

it('minFreeConnectors counts a connector that is in use as not free', async () => {
  await server.saveSite('site', { minFreeConnectors: 1 });
  const charger = await server.charger('CH1');
  await charger.present(2, 'CLEO');
  expect(await server.reserveNow(anna, input)).toMatchObject({
    reasons: [{ rule: 'MIN_FREE_CONNECTORS', limitCount: 1 }],
  });
  await charger.unplug(2);
  expect(await server.reserveNow(anna, input)).toMatchObject({ status: 'ACCEPTED' });
});

describe('reservationUsage', () => {
  const usage = async (token: string, variables: object = {}) =>
    (
      await server.graphql(
        token,
        `query ($from: DateTime!, $to: DateTime!, $bucket: UsageBucket) { reservationUsage(siteId: "site", from: $from, to: $to, bucket: $bucket) {
          ... on Refusal { code } ... on InvalidInput { field }
          ... on ReservationUsage { made used noShows cancelled lateCancels removed failed refused reservedHours medianWaitMinutes refusedBy { reason count }
            buckets { from made used noShows refused } topOffenders { idTag noShows lateCancels refused } } } }`,
        { from: inMinutes(-24 * 60), to: inMinutes(24 * 60), ...variables },
      )
    ).reservationUsage;

  it('reservationUsage counts hours, ends, refusals by reason, the median wait and the top offenders from the events', async () => {
    await server.saveSite('site', { maxDurationMinutes: 60 });
    const charger = await server.charger('CH1', '1.6', { clock: server.clock });
    const begun = server.clock.now().getTime();
    const used = await server.reserveNow(anna, input);
    server.clock.advance(10 * MINUTE);
    await charger.present(1, 'ANNA');
    await eventually(async () => expect(await server.reservation(used.id)).toMatchObject({ status: 'USED' }));
    const missed = await server.reserveNow(cleo, { ...input, idTag: 'CLEO', connectorId: 2 });
    server.clock.advance(30 * MINUTE);
    await eventually(async () => expect(await server.reservation(missed.id)).toMatchObject({ status: 'EXPIRED' }));
    await server.reserveNow(anna, { ...input, durationMinutes: 61 });
    await server.reserveNow(anna, { ...input, durationMinutes: 61 });
    charger.behaviour = { type: 'refuse', status: 'Faulted' };
    await server.reserveNow(anna, { ...input, connectorId: 2 });
    const told = await eventually(async () => {
      const found = await usage(operator, { bucket: 'HOUR' });
      expect(found.refused).toBe(3);
      return found;
    });
    expect(told).toMatchObject({
      made: 3,
      used: 1,
      noShows: 1,
      cancelled: 0,
      removed: 0,
      failed: 0,
      refusedBy: [
        { reason: 'MAX_DURATION', count: 2 },
        { reason: 'FAULTED', count: 1 },
      ],
      topOffenders: [
        { idTag: 'CLEO', noShows: 1, lateCancels: 0, refused: 0 },
        { idTag: 'ANNA', noShows: 0, lateCancels: 0, refused: 2 },
      ],
    });
    expect(told.medianWaitMinutes).toBeCloseTo(10, 0);
    expect(told.reservedHours).toBeCloseTo(40 / 60, 1);
    const hour = new Date(Math.floor(begun / 3_600_000) * 3_600_000).toISOString();
    expect(told.buckets[0]).toMatchObject({ from: hour });
    expect(told.buckets.reduce((sum: number, one: { made: number }) => sum + one.made, 0)).toBe(3);
  });

  it('reservationUsage is refused to all but those who run the site, and checks its range', async () => {
    expect(await usage(anna)).toMatchObject({ code: 'FORBIDDEN' });
    expect(await usage(await operatorToken('other'))).toMatchObject({ code: 'FORBIDDEN' });
    expect(await usage(operator, { to: inMinutes(-24 * 60 - 1) })).toMatchObject({ field: 'to' });
    expect(await usage(operator, { from: inMinutes(-525_600), bucket: 'HOUR' })).toMatchObject({ field: 'bucket' });
    expect(await usage(await adminToken())).toMatchObject({ made: 0, medianWaitMinutes: null, buckets: [] });
  });
});

it('events of an older server, which lack newer fields, are read with default values', async () => {
  const database = await createTestDatabase();
  const old = await TestServer.start({ database });
  await old.fill();
  await old.charger('CH1');
  await old.reserveNow(anna, input);
  await database.query(
    `UPDATE event SET snapshot = snapshot - 'policyVersion' - 'extensions' - 'isLateCancel' - 'isReReservation'`,
  );
  const query = `subscription { reservationChanged(after: "MC4w") { type reservation { policyVersion extensions isLateCancel isReReservation } } }`;
  const events = await old.subscribe(await adminToken(), query);
  expect(await events.next()).toEqual({
    type: 'REQUESTED',
    reservation: { policyVersion: 1, extensions: 0, isLateCancel: false, isReReservation: false },
  });
  await old.stop();
  await database.drop();
});

it('twenty extensions at once never exceed maxExtensions', async () => {
  await server.saveSite('site', { maxExtensions: 2 });
  const { id } = await server.scheduleReservation(anna, {
    chargerId: 'CH1',
    connectorId: 1,
    idTag: 'ANNA',
    startsAt: inMinutes(60),
    durationMinutes: 30,
  });
  for (let round = 0; round < 3; round += 1) {
    const until = Array.from({ length: 20 }, (_, index) => inMinutes(91 + round * 20 + index));
    await Promise.all(until.map((expiryDate) => server.extendReservation(anna, { id, expiryDate })));
  }
  expect(await server.reservation(id)).toMatchObject({ extensions: 2, version: 3 });
});
