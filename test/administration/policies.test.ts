// Policies of a site: overrides, versions and changes as an operator maintains them; reservationOptions and
// availability as everybody reads them.
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { adminToken, driverToken, operatorToken, TestServer } from '../support/test-server.ts';

let server: TestServer;
let admin: string;
let operator: string;
let anna: string;

beforeAll(async () => {
  server = await TestServer.start();
  await server.fill();
  [admin, operator, anna] = await Promise.all([adminToken(), operatorToken('site'), driverToken('ANNA')]);
});
afterAll(() => server.stop());

const save = async (token: string, input: object, mutation = 'savePolicyOverride', type = 'SavePolicyOverrideInput') =>
  (
    await server.graphql(
      token,
      `mutation ($input: ${type}!) { ${mutation}(input: $input) { __typename ... on Refusal { code message } ... on InvalidInput { field }
        ... on Site { policyVersion policyOverrides { scope key fields { maxDurationMinutes maxActivePerIdTag allowedGroups openingHours { weekday opens closes } } } } } }`,
      { input },
    )
  )[mutation];
const removeOverride = (token: string, input: object) =>
  save(token, input, 'removePolicyOverride', 'PolicyOverrideKey');
const options = async (token: string, variables: object) =>
  (
    await server.graphql(
      token,
      `query ($chargerId: ID, $siteId: ID, $connectorId: Int, $idTag: String!) {
        reservationOptions(chargerId: $chargerId, siteId: $siteId, connectorId: $connectorId, idTag: $idTag) { __typename
          ... on Refusal { code } ... on ReservationOptions { isAllowed reasons { rule limitCount limitMinutes allowedFrom } refusal { code }
            policyVersion minDurationMinutes maxDurationMinutes defaultDurationMinutes latestStart remainingActive remainingToday
            blockedUntil policy { maxDurationMinutes } freeWindows { chargerId connectorId from until } } } }`,
      variables,
    )
  ).reservationOptions;

it('a group’s override wins over a charger’s, a charger’s over the site’s policy, and each change makes a new version', async () => {
  await server.saveCharger('CH2');
  await server.saveSite('site', { maxDurationMinutes: 100 });
  await save(operator, { siteId: 'site', chargerId: 'CH1', policy: { maxDurationMinutes: 60 } });
  const saved = await save(operator, { siteId: 'site', parentIdTag: 'Fleet', policy: { maxDurationMinutes: 120 } });
  expect(saved.policyOverrides.map(({ scope, key }: { scope: string; key: string }) => [scope, key])).toEqual([
    ['CHARGER', 'CH1'],
    ['GROUP', 'Fleet'],
  ]);
  const longest = async (idTag: string, chargerId: string) =>
    (await options(admin, { chargerId, idTag })).policy.maxDurationMinutes;
  expect(await longest('CLEO', 'CH2')).toBe(100);
  expect(await longest('CLEO', 'CH1')).toBe(60);
  expect(await longest('ANNA', 'CH1')).toBe(120);
  await removeOverride(operator, { siteId: 'site', parentIdTag: 'FLEET' });
  expect(await longest('ANNA', 'CH1')).toBe(60);
  await removeOverride(operator, { siteId: 'site', chargerId: 'CH1' });
  expect(await longest('ANNA', 'CH1')).toBe(100);
  const { policyChanges } = await server.graphql(
    operator,
    `{ policyChanges(siteId: "site", first: 3) { edges { node { version scope key changedBy changedAt fields { maxDurationMinutes } } } pageInfo { hasNextPage } } }`,
  );
  const newest = saved.policyVersion + 2;
  expect(policyChanges.edges.map(({ node }: { node: object }) => node)).toMatchObject([
    { version: newest, scope: 'CHARGER', key: 'CH1', changedBy: 'olga', fields: null },
    { version: newest - 1, scope: 'GROUP', changedBy: 'olga', fields: null },
    { version: newest - 2, scope: 'GROUP', key: 'Fleet', changedBy: 'olga', fields: { maxDurationMinutes: 120 } },
  ]);
  expect(policyChanges.pageInfo.hasNextPage).toBe(true);
});

it('a reservation stores the policyVersion that allowed it, and each node decides by the newest version', async () => {
  await server.charger('CH1');
  const input = { chargerId: 'CH1', connectorId: 1, idTag: 'ANNA', durationMinutes: 30 };
  const first = await server.reserveNow(anna, input);
  await server.cancelReservation(anna, { id: first.id });
  const other = await TestServer.start({ database: server.database });
  await other.saveSite('site', { maxDurationMinutes: 29, defaultDurationMinutes: 20 });
  expect(await server.reserveNow(anna, input)).toMatchObject({ code: 'POLICY', reasons: [{ rule: 'MAX_DURATION' }] });
  await other.saveSite('site', { maxDurationMinutes: 180 });
  await other.stop();
  const second = await server.reserveNow(anna, input);
  expect(second).toMatchObject({ status: 'ACCEPTED', policyVersion: first.policyVersion + 2 });
  await server.cancelReservation(anna, { id: second.id });
});

it('null in a policy override removes the limit that the site’s policy sets', async () => {
  await server.saveSite('site', { maxActivePerIdTag: 0 });
  expect(await options(anna, { chargerId: 'CH1', idTag: 'ANNA' })).toMatchObject({
    isAllowed: false,
    remainingActive: 0,
  });
  await save(operator, { siteId: 'site', parentIdTag: 'FLEET', policy: { maxActivePerIdTag: null } });
  expect(await options(anna, { chargerId: 'CH1', idTag: 'ANNA' })).toMatchObject({
    isAllowed: true,
    remainingActive: null,
  });
  await removeOverride(operator, { siteId: 'site', parentIdTag: 'FLEET' });
  await server.saveSite('site', { maxActivePerIdTag: null });
});

describe('refused policies and overrides', () => {
  it.each<[object, string]>([
    [{ minDurationMinutes: -1 }, 'minDurationMinutes'],
    [{ maxActivePerIdTag: -1 }, 'maxActivePerIdTag'],
    [{ noShowLimit: 0 }, 'noShowLimit'],
    [{ blockMinutes: 0 }, 'blockMinutes'],
    [{ allowedGroups: [''] }, 'allowedGroups'],
    [{ openingHours: [{ weekday: 'MONDAY', opens: '8:00', closes: '20:00' }] }, 'openingHours'],
    [{ openingHours: [{ weekday: 'MONDAY', opens: '24:00', closes: '20:00' }] }, 'openingHours'],
    [{ openingHours: [{ weekday: 'MONDAY', opens: '08:00', closes: '25:00' }] }, 'openingHours'],
    [{ defaultDurationMinutes: 600 }, 'defaultDurationMinutes'],
    [{ lateCancelLimit: 3 }, 'lateCancelMinutes'],
    [{ reReservationLimit: 3 }, 'reReservationMinutes'],
  ])('the policy override %j is refused, and the refusal names the invalid field', async (policy, field) => {
    const before = await save(operator, { siteId: 'site', parentIdTag: 'X', policy: {} });
    expect(await save(operator, { siteId: 'site', parentIdTag: 'X', policy })).toMatchObject({
      code: 'INVALID_INPUT',
      field,
    });
    const after = await removeOverride(operator, { siteId: 'site', parentIdTag: 'X' });
    expect(after.policyVersion).toBe(before.policyVersion + 1);
  });

  it('saving a site is refused if an existing override would make an invalid policy with it', async () => {
    await save(operator, {
      siteId: 'site',
      chargerId: 'CH1',
      policy: { minDurationMinutes: 20, defaultDurationMinutes: 20 },
    });
    const site = {
      id: 'site',
      name: 'site',
      timeZone: 'Europe/Berlin',
      policy: { maxDurationMinutes: 10, defaultDurationMinutes: 10 },
    };
    expect(await save(admin, site, 'saveSite', 'SaveSiteInput')).toMatchObject({
      field: 'maxDurationMinutes',
      message: expect.stringContaining('charger "CH1"'),
    });
    await removeOverride(operator, { siteId: 'site', chargerId: 'CH1' });
  });

  it('an override is refused without a target, with two, for an unknown charger or site, or by a caller without the right', async () => {
    const policy = { maxDurationMinutes: 60 };
    expect(await save(operator, { siteId: 'site', policy })).toMatchObject({ field: 'chargerId' });
    expect(await save(operator, { siteId: 'site', chargerId: 'CH1', parentIdTag: 'X', policy })).toMatchObject({
      field: 'chargerId',
    });
    expect(await save(operator, { siteId: 'site', chargerId: 'NONE', policy })).toMatchObject({
      code: 'CHARGER_NOT_FOUND',
    });
    expect(await save(await operatorToken('other'), { siteId: 'site', chargerId: 'CH1', policy })).toMatchObject({
      code: 'FORBIDDEN',
    });
    expect(await save(anna, { siteId: 'site', chargerId: 'CH1', policy })).toMatchObject({ code: 'FORBIDDEN' });
    expect(await save(admin, { siteId: 'none', parentIdTag: 'X', policy })).toMatchObject({ code: 'SITE_NOT_FOUND' });
  });

  it('a driver sees the policy, but neither overrides nor who changed it', async () => {
    await save(operator, { siteId: 'site', parentIdTag: 'SECRET', policy: {} });
    const read = `{ site(id: "site") { policy { enabled } policyOverrides { key } } }`;
    expect(await server.graphql(anna, read)).toEqual({ site: { policy: { enabled: true }, policyOverrides: [] } });
    const { body } = await server.post(anna, `{ policyChanges(siteId: "site") { edges { node { version } } } }`);
    expect(body.errors).toMatchObject([{ extensions: { code: 'FORBIDDEN' } }]);
    await removeOverride(operator, { siteId: 'site', parentIdTag: 'SECRET' });
  });
});

describe('reservationOptions and availability', () => {
  const MINUTE = 60_000;

  it('reservationOptions returns quota, durations and free windows up to the next booking', async () => {
    await server.saveSite('site', { maxActivePerIdTag: 2, maxPerDayPerIdTag: 50, minDurationMinutes: 5 });
    const startsAt = new Date(server.clock.now().getTime() + 45 * MINUTE);
    const booked = { chargerId: 'CH1', connectorId: 1, idTag: 'CLEO', startsAt, durationMinutes: 60 };
    const { id } = await server.scheduleReservation(admin, booked);
    const told = await options(anna, { chargerId: 'CH1', connectorId: 1, idTag: 'ANNA' });
    expect(told).toMatchObject({
      isAllowed: true,
      reasons: [],
      refusal: null,
      minDurationMinutes: 5,
      maxDurationMinutes: 44,
    });
    expect(told).toMatchObject({ remainingActive: 2, remainingToday: expect.any(Number), blockedUntil: null });
    expect(
      told.freeWindows.map(({ connectorId, until }: { connectorId: number; until: string }) => [connectorId, until])[0],
    ).toEqual([1, startsAt.toISOString()]);
    expect(told.freeWindows).toHaveLength(2);
    await server.cancelReservation(admin, { id });
  });

  it('reservationOptions returns every reason of the policy, and any other refusal', async () => {
    await server.saveSite('site', { maxActivePerIdTag: 0, allowedGroups: [] });
    expect(await options(anna, { siteId: 'site', idTag: 'ANNA' })).toMatchObject({
      isAllowed: false,
      reasons: [{ rule: 'ALLOWED_GROUPS' }, { rule: 'MAX_ACTIVE_PER_ID_TAG', limitCount: 0 }],
    });
    await server.saveSite('site', { maxActivePerIdTag: null, allowedGroups: null });
    expect(await options(anna, { chargerId: 'CH2', idTag: 'ANNA' })).toMatchObject({
      isAllowed: false,
      reasons: [],
      refusal: { code: 'CHARGER_OFFLINE' },
    });
  });

  it('reservationOptions refuses another driver’s idTag, an unknown charger, a query without charger and site, and a site the caller may not see', async () => {
    expect(await options(anna, { chargerId: 'CH1', idTag: 'CLEO' })).toMatchObject({ code: 'NOT_YOUR_ID_TAG' });
    expect(await options(anna, { chargerId: 'NONE', idTag: 'ANNA' })).toMatchObject({ code: 'CHARGER_NOT_FOUND' });
    expect(await options(anna, { idTag: 'ANNA' })).toMatchObject({ code: 'INVALID_INPUT' });
    expect(await options(await operatorToken('other'), { siteId: 'site', idTag: 'X' })).toMatchObject({
      code: 'SITE_NOT_FOUND',
    });
  });

  it('availability returns the free windows of each connector with the plug, within the opening hours', async () => {
    await server.saveCharger('CH2', 'site', { connectors: [{ connectorId: 1, plugTypes: ['CCS2'] }] });
    // A Monday; Berlin is an hour ahead of UTC.
    const at = (hours: number) => new Date(Date.UTC(2027, 0, 11, hours)).toISOString();
    await server.saveSite('site', {
      maxLeadTimeMinutes: null,
      openingHours: [{ weekday: 'MONDAY', opens: '09:00', closes: '21:00' }],
    });
    const { status } = await server.scheduleReservation(admin, {
      chargerId: 'CH2',
      connectorId: 1,
      idTag: 'CLEO',
      startsAt: at(10),
      expiryDate: at(12),
    });
    expect(status).toBe('SCHEDULED');
    const read = async (variables: object) =>
      (
        await server.graphql(
          anna,
          `query ($from: DateTime!, $to: DateTime!, $plugType: String) { availability(siteId: "site", from: $from, to: $to, plugType: $plugType) {
            ... on Refusal { code } ... on InvalidInput { field } ... on Availability { connectors { chargerId connectorId plugTypes windows { from until } } } } }`,
          variables,
        )
      ).availability;
    expect(await read({ from: at(0), to: at(23), plugType: 'ccs2' })).toEqual({
      connectors: [
        {
          chargerId: 'CH2',
          connectorId: 1,
          plugTypes: ['CCS2'],
          windows: [
            { from: at(8), until: at(10) },
            { from: at(12), until: at(20) },
          ],
        },
      ],
    });
    expect((await read({ from: at(0), to: at(23) })).connectors).toHaveLength(3);
    expect(await read({ from: at(1), to: at(1) })).toMatchObject({ field: 'to' });
    expect(await read({ from: at(0), to: at(24 * 367) })).toMatchObject({ field: 'to' });
  });
});
