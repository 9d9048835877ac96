// Random policies and random concurrent requests: the database never holds a reservation that the policy forbids.
// `POLICY_RUNS` sets the number of runs; a failure prints its seed, and `POLICY_SEED` repeats it.
import fc from 'fast-check';
import { afterAll, beforeAll, expect, it } from 'vitest';
import type { PolicyFields } from '../../src/model/site/policy.ts';
import { adminToken, TestServer } from '../support/test-server.ts';

let server: TestServer;
let admin: string;
let sites = 0;

const MINUTE = 60_000;
const CHARGERS = 3;
const CONNECTORS = 2;
const groupOf: Record<string, string | undefined> = { ANNA: 'FLEET', BEN: 'FLEET', CLEO: undefined, DORA: 'DESK' };

beforeAll(async () => {
  server = await TestServer.start();
  admin = await adminToken();
  for (const [idTag, parentIdTag] of Object.entries(groupOf))
    await server.saveIdTag(idTag, parentIdTag ? { parentIdTag } : {});
});
afterAll(() => server.stop());

/** Rarely 0, which forbids everything: if most policies did, few reservations would be left to check. */
const limit = (max: number) =>
  fc.option(
    fc.oneof({ weight: 15, arbitrary: fc.integer({ min: 1, max }) }, { weight: 1, arbitrary: fc.constant(0) }),
    {
      freq: 1,
    },
  );
const somePolicy = fc.record({
  enabled: fc.oneof({ weight: 9, arbitrary: fc.constant(true) }, { weight: 1, arbitrary: fc.constant(false) }),
  minDurationMinutes: fc.integer({ min: 0, max: 20 }),
  maxDurationMinutes: fc.integer({ min: 60, max: 120 }),
  maxLeadTimeMinutes: limit(1000),
  maxActivePerIdTag: limit(4),
  maxActivePerGroup: limit(6),
  maxPerDayPerIdTag: limit(5),
  cooldownMinutes: fc.constantFrom(0, 0, 15, 60),
  overlappingAllowed: fc.boolean(),
  minFreeConnectors: fc.constantFrom(0, 0, 1, 4),
  connectorZeroAllowed: fc.boolean(),
  allowedGroups: fc.option(
    fc.oneof(
      { weight: 7, arbitrary: fc.subarray(['FLEET', 'DESK'], { minLength: 1 }) },
      { weight: 1, arbitrary: fc.constant([]) },
    ),
    { freq: 1 },
  ),
  maxExtensions: limit(2),
  openingHours: fc.option(
    fc.tuple(fc.integer({ min: 0, max: 8 }), fc.integer({ min: 16, max: 23 })).map(([opens, closes]) =>
      (['MONDAY', 'TUESDAY', 'WEDNESDAY', 'THURSDAY', 'FRIDAY', 'SATURDAY', 'SUNDAY'] as const).map((weekday) => ({
        weekday,
        opens: `${opens}`.padStart(2, '0').concat(':00'),
        closes: `${closes}:00`,
      })),
    ),
    { freq: 1 },
  ),
});

type Request = { readonly idTag: string; readonly charger: number; readonly connectorId: number } & (
  | { readonly type: 'book'; readonly inMinutes: number; readonly minutes: number }
  | { readonly type: 'extend' | 'cancel' | 'move'; readonly which: number; readonly minutes: number }
);
const place = {
  idTag: fc.constantFrom(...Object.keys(groupOf)),
  charger: fc.integer({ min: 1, max: CHARGERS }),
  connectorId: fc.integer({ min: 0, max: CONNECTORS }),
};
const someRequest: fc.Arbitrary<Request> = fc.oneof(
  {
    weight: 5,
    arbitrary: fc.record({
      ...place,
      type: fc.constant('book' as const),
      inMinutes: fc.integer({ min: 1, max: 1200 }),
      minutes: fc.integer({ min: 5, max: 125 }),
    }),
  },
  {
    weight: 2,
    arbitrary: fc.record({
      ...place,
      type: fc.constantFrom('extend' as const, 'cancel' as const, 'move' as const),
      which: fc.nat(30),
      minutes: fc.integer({ min: 1, max: 60 }),
    }),
  },
);

interface Row {
  readonly id: string;
  readonly idTag: string;
  readonly charger: string;
  readonly connectorId: number;
  readonly status: string;
  readonly movedFrom: string | null;
  readonly from: number;
  readonly until: number;
  readonly createdAt: number;
  readonly endedAt: number | null;
  readonly extensions: number;
}

async function rowsOf(site: string): Promise<Row[]> {
  const rows = await server.database.query<Row>(
    `SELECT id, id_tag AS "idTag", charger_id AS charger, connector_id AS "connectorId", status, moved_from AS "movedFrom", extensions,
            extract(epoch FROM starts_at)::float8 * 1000 AS "from", extract(epoch FROM expiry_date)::float8 * 1000 AS until,
            extract(epoch FROM created_at)::float8 * 1000 AS "createdAt", extract(epoch FROM ended_at)::float8 * 1000 AS "endedAt"
     FROM reservation WHERE site_id = $1 ORDER BY starts_at`,
    [site],
  );
  return rows;
}

/** Counts, without the server's own code, the rules of the policy that the rows break. */
function violations(policy: PolicyFields, rows: readonly Row[]): string[] {
  const found: string[] = [];
  const live = rows.filter(({ status }) => status === 'SCHEDULED');
  const tooMany = (what: string, limit: number | null | undefined, groups: Map<string, number>) => {
    for (const [key, count] of groups)
      if (limit != null && count > limit) found.push(`${what} ${key}: ${count} > ${limit}`);
  };
  const countBy = (of: readonly Row[], keyOf: (row: Row) => string | undefined) => {
    const counts = new Map<string, number>();
    for (const row of of) {
      const key = keyOf(row);
      if (key !== undefined) counts.set(key, (counts.get(key) ?? 0) + 1);
    }
    return counts;
  };
  tooMany(
    'active',
    policy.maxActivePerIdTag,
    countBy(live, ({ idTag }) => idTag),
  );
  tooMany(
    'active of group',
    policy.maxActivePerGroup,
    countBy(live, ({ idTag }) => groupOf[idTag]),
  );
  // A moved reservation counts once, at its new place.
  const moved = new Set(rows.map(({ movedFrom }) => movedFrom));
  const begun = rows.filter(({ id, status }) => status !== 'FAILED' && !moved.has(id));
  const day = (row: Row) => `${row.idTag} ${new Date(row.from).toISOString().slice(0, 10)}`;
  tooMany('per day', policy.maxPerDayPerIdTag, countBy(begun, day));
  for (const row of live) {
    const minutes = (row.until - row.from) / MINUTE;
    if (policy.enabled === false) found.push(`${row.id} although not enabled`);
    if (minutes < (policy.minDurationMinutes ?? 0) || minutes > (policy.maxDurationMinutes ?? 0))
      found.push(`lasts ${minutes}`);
    const lead = (row.from - row.createdAt) / MINUTE;
    if (policy.maxLeadTimeMinutes != null && lead > policy.maxLeadTimeMinutes) found.push(`${lead} minutes ahead`);
    if (policy.connectorZeroAllowed === false && row.connectorId === 0) found.push('connector 0');
    const group = groupOf[row.idTag];
    if (policy.allowedGroups && !(group && policy.allowedGroups.includes(group))) found.push(`${row.idTag} may not`);
    if (policy.maxExtensions != null && row.extensions > policy.maxExtensions)
      found.push(`${row.extensions} extensions`);
    const [hours] = policy.openingHours ?? [];
    if (hours) {
      const hourOf = (at: number) => (at % 86_400_000) / 3_600_000;
      const [opens, closes] = [Number(hours.opens.slice(0, 2)), Number(hours.closes.slice(0, 2))];
      const isOneDay = Math.floor(row.from / 86_400_000) === Math.floor((row.until - 1) / 86_400_000);
      const end = hourOf(row.until) === 0 ? 24 : hourOf(row.until);
      if (!isOneDay || hourOf(row.from) < opens || end > closes)
        found.push(`${row.id} outside ${hours.opens}-${hours.closes}`);
    }
    for (const other of live) {
      if (other.id === row.id) continue;
      const isOverlap = row.from < other.until && other.from < row.until;
      if (isOverlap && other.idTag === row.idTag && policy.overlappingAllowed === false)
        found.push(`${row.idTag} twice at a time`);
      const gap = other.from - row.until;
      const isNear = gap >= 0 && gap < (policy.cooldownMinutes ?? 0) * MINUTE;
      if (other.idTag === row.idTag && isNear) found.push(`${row.idTag} after ${gap / MINUTE} minutes`);
      if (isOverlap && other.charger === row.charger && row.connectorId > 0 && other.connectorId === row.connectorId)
        found.push(`connector ${row.charger}/${row.connectorId} twice`);
    }
    const active = live.filter(({ from, until }) => from <= row.from && row.from < until);
    const free = CHARGERS * CONNECTORS - active.length;
    if (free < (policy.minFreeConnectors ?? 0)) found.push(`${free} connectors free`);
    for (const [charger, count] of countBy(active, (one) => one.charger))
      if (count > CONNECTORS) found.push(`${charger} holds ${count}`);
  }
  return found;
}

async function send(site: string, request: Request): Promise<void> {
  const { idTag, connectorId, charger } = request;
  const chargerId = `${site}-${charger}`;
  if (request.type === 'book') {
    const startsAt = new Date(server.clock.now().getTime() + request.inMinutes * MINUTE);
    await server.scheduleReservation(admin, {
      chargerId,
      connectorId,
      idTag,
      startsAt,
      durationMinutes: request.minutes,
    });
    return;
  }
  const rows = await rowsOf(site);
  const row = rows[request.which % Math.max(1, rows.length)];
  if (!row) return;
  if (request.type === 'cancel') await server.cancelReservation(admin, { id: row.id });
  if (request.type === 'extend') await server.extendReservation(admin, { id: row.id, byMinutes: request.minutes });
  if (request.type === 'move') await server.moveReservation(admin, { id: row.id, chargerId, connectorId });
}

it('no sequence of concurrent requests leaves a reservation that the policy forbids', async () => {
  const runs = Number(process.env.POLICY_RUNS ?? 12);
  const seed = process.env.POLICY_SEED === undefined ? {} : { seed: Number(process.env.POLICY_SEED) };
  let made = 0;
  await fc.assert(
    fc.asyncProperty(somePolicy, fc.array(someRequest, { minLength: 20, maxLength: 60 }), async (policy, requests) => {
      sites += 1;
      const site = `site-${sites}`;
      const mutation =
        'mutation ($input: SaveSiteInput!) { saveSite(input: $input) { __typename ... on Refusal { message } } }';
      const { saveSite } = await server.graphql(admin, mutation, {
        input: { id: site, name: site, timeZone: 'UTC', policy },
      });
      expect(saveSite).toEqual({ __typename: 'Site' });
      for (let index = 1; index <= CHARGERS; index += 1) {
        const connectors = Array.from({ length: CONNECTORS }, (_, one) => ({ connectorId: one + 1 }));
        await server.saveCharger(`${site}-${index}`, site, { connectors });
      }
      for (let index = 0; index < requests.length; index += 20) {
        await Promise.all(requests.slice(index, index + 20).map((request) => send(site, request)));
        expect(violations(policy, await rowsOf(site))).toEqual([]);
      }
      made += (await rowsOf(site)).length;
    }),
    { numRuns: runs, endOnFailure: true, ...seed },
  );
  expect(made).toBeGreaterThan(runs);
}, 600_000);
