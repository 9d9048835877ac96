// Rules of the site's policy, each at the exact instant or count of its limit and just past it.
import { describe, expect, it } from 'vitest';
import {
  decide,
  decideCancel,
  decideExtension,
  isLateCancel,
  isReReservation,
  type PolicyFacts,
  type PolicyReason,
  type PolicyRequest,
} from '../../src/model/site/decide.ts';
import { defaultPolicy, type ReservationPolicy } from '../../src/model/site/policy.ts';
import type { Strike, StrikeKind } from '../../src/model/site/strikes.ts';

const MINUTE = 60_000;
const now = new Date('2026-05-04T10:00:00.000Z');
const at = (minutes: number, ms = 0) => new Date(now.getTime() + minutes * MINUTE + ms);
const window = (from: number, until: number, ms = 0) => ({ from: at(from, ms), until: at(until, ms) });

const noFacts: PolicyFacts = {
  group: 'fleet',
  timeZone: 'Europe/Berlin',
  ofIdTag: [],
  endsOfIdTag: [],
  endsOfGroup: [],
  startingThatDay: 0,
  strikesOfIdTag: [],
  strikesOfGroup: [],
};
const request: PolicyRequest = {
  startsAt: now,
  expiryDate: at(30),
  connectorId: 1,
  idTag: 'ANNA',
};

function reasons(
  policy: Partial<ReservationPolicy>,
  { facts = {}, asked = {} }: { facts?: Partial<PolicyFacts>; asked?: Partial<PolicyRequest> } = {},
): readonly PolicyReason[] {
  return decide({ ...defaultPolicy, ...policy }, { ...noFacts, ...facts }, { ...request, ...asked }, now);
}

const strikes = (kind: StrikeKind, ...ago: number[]): Strike[] => ago.map((minutes) => ({ kind, at: at(-minutes) }));

interface Case {
  readonly name: string;
  readonly policy: Partial<ReservationPolicy>;
  readonly allowed: Parameters<typeof reasons>[1];
  readonly refused: Parameters<typeof reasons>[1];
  readonly reason: Partial<PolicyReason>;
}

const cases: Case[] = [
  {
    name: 'the minimum duration',
    policy: { minDurationMinutes: 15 },
    allowed: { asked: { expiryDate: at(15) } },
    refused: { asked: { expiryDate: at(15, -1) } },
    reason: { rule: 'MIN_DURATION', limitMinutes: 15 },
  },
  {
    name: 'the maximum duration',
    policy: { maxDurationMinutes: 60 },
    allowed: { asked: { expiryDate: at(60) } },
    refused: { asked: { expiryDate: at(60, 1) } },
    reason: { rule: 'MAX_DURATION', limitMinutes: 60 },
  },
  {
    name: 'the maximum lead time',
    policy: { maxLeadTimeMinutes: 120 },
    allowed: { asked: { startsAt: at(120), expiryDate: at(150) } },
    refused: { asked: { startsAt: at(120, 1), expiryDate: at(150) } },
    reason: { rule: 'MAX_LEAD_TIME', limitMinutes: 120, allowedFrom: at(0, 1) },
  },
  {
    name: 'a maximum lead time of 0',
    policy: { maxLeadTimeMinutes: 0 },
    allowed: {},
    refused: { asked: { startsAt: at(0, 1) } },
    reason: { rule: 'MAX_LEAD_TIME', limitMinutes: 0, allowedFrom: at(0, 1) },
  },
  {
    name: 'live reservations of one idTag',
    policy: { maxActivePerIdTag: 2 },
    allowed: { facts: { endsOfIdTag: [at(25)] } },
    refused: { facts: { endsOfIdTag: [at(90), at(25)] } },
    reason: { rule: 'MAX_ACTIVE_PER_ID_TAG', limitCount: 2, allowedFrom: at(25) },
  },
  {
    name: 'live reservations of one group',
    policy: { maxActivePerGroup: 1 },
    allowed: {},
    refused: { facts: { endsOfGroup: [at(25)] } },
    reason: { rule: 'MAX_ACTIVE_PER_GROUP', limitCount: 1, allowedFrom: at(25) },
  },
  {
    name: 'reservations of one idTag per day',
    policy: { maxPerDayPerIdTag: 3 },
    allowed: { facts: { startingThatDay: 2 } },
    refused: { facts: { startingThatDay: 3 } },
    // Midnight in Berlin, which is UTC+2 in summer.
    reason: { rule: 'MAX_PER_DAY_PER_ID_TAG', limitCount: 3, allowedFrom: new Date('2026-05-04T22:00:00Z') },
  },
  {
    name: 'the cooldown after a reservation that has ended',
    policy: { cooldownMinutes: 20 },
    allowed: { facts: { lastEndedAt: at(-20) } },
    refused: { facts: { lastEndedAt: at(-20, 1) } },
    reason: { rule: 'COOLDOWN', limitMinutes: 20, allowedFrom: at(0, 1) },
  },
  {
    name: 'the cooldown after a reservation that has not ended yet',
    policy: { cooldownMinutes: 20 },
    allowed: { asked: { startsAt: at(60), expiryDate: at(90) }, facts: { ofIdTag: [window(0, 40)] } },
    refused: { asked: { startsAt: at(60), expiryDate: at(90) }, facts: { ofIdTag: [window(0, 40, 1)] } },
    reason: { rule: 'COOLDOWN', limitMinutes: 20, allowedFrom: at(60, 1) },
  },
  {
    name: 'the cooldown before a reservation that starts later',
    policy: { cooldownMinutes: 20 },
    allowed: { facts: { ofIdTag: [window(50, 80)] } },
    refused: { facts: { ofIdTag: [window(50, 80, -1)] } },
    reason: { rule: 'COOLDOWN', limitMinutes: 20, allowedFrom: at(100, -1) },
  },
  {
    name: 'overlapping reservations of one idTag (touching is not overlapping)',
    policy: { overlappingAllowed: false },
    allowed: { facts: { ofIdTag: [window(-30, 0), window(30, 60)] } },
    refused: { facts: { ofIdTag: [window(-30, 0, 1)] } },
    reason: { rule: 'OVERLAPPING_ALLOWED', allowedFrom: at(0, 1) },
  },
  {
    name: 'the minimum of free connectors',
    policy: { minFreeConnectors: 2 },
    allowed: { facts: { free: { count: 2, ends: [] } } },
    refused: { facts: { free: { count: 0, ends: [at(7), at(9), at(11)] } } },
    reason: { rule: 'MIN_FREE_CONNECTORS', limitCount: 2, allowedFrom: at(9) },
  },
  {
    name: 'a reservation of connector 0',
    policy: { connectorZeroAllowed: false },
    allowed: { asked: { connectorId: 1 } },
    refused: { asked: { connectorId: 0 } },
    reason: { rule: 'CONNECTOR_ZERO_ALLOWED' },
  },
  {
    name: 'the groups that may reserve',
    policy: { allowedGroups: ['Fleet', 'VIP'] },
    allowed: { facts: { group: 'FLEET' } },
    refused: { facts: { group: 'fleets' } },
    reason: { rule: 'ALLOWED_GROUPS' },
  },
  {
    name: 'the closing time of the site',
    // The request lasts from Monday 12:00 to 12:30 in Berlin.
    policy: { openingHours: [{ weekday: 'MONDAY', opens: '12:00', closes: '12:30' }] },
    allowed: {},
    refused: { asked: { expiryDate: at(30, 1) } },
    reason: { rule: 'OPENING_HOURS' },
  },
  {
    name: 'the opening time of the site',
    policy: { openingHours: [{ weekday: 'MONDAY', opens: '12:00', closes: '13:00' }] },
    allowed: {},
    refused: { asked: { startsAt: at(0, -1) } },
    reason: { rule: 'OPENING_HOURS', allowedFrom: at(0) },
  },
  {
    name: 'the end of a block for no-shows',
    policy: { noShowLimit: 2, abuseWindowMinutes: 600, blockMinutes: 60 },
    allowed: { facts: { strikesOfIdTag: strikes('NO_SHOW', 70, 60) } },
    refused: { facts: { strikesOfIdTag: [...strikes('NO_SHOW', 70), { kind: 'NO_SHOW', at: at(-60, 1) }] } },
    reason: { rule: 'NO_SHOW_LIMIT', limitCount: 2, allowedFrom: at(0, 1) },
  },
  {
    name: 'the abuse window of no-shows',
    policy: { noShowLimit: 2, abuseWindowMinutes: 600, blockMinutes: 60 },
    allowed: { facts: { strikesOfIdTag: [{ kind: 'NO_SHOW', at: at(-601, -1) }, ...strikes('NO_SHOW', 1)] } },
    refused: { facts: { strikesOfIdTag: strikes('NO_SHOW', 601, 1) } },
    reason: { rule: 'NO_SHOW_LIMIT', allowedFrom: at(59) },
  },
  {
    name: 'late cancels, counted apart from no-shows',
    policy: { lateCancelLimit: 2, lateCancelMinutes: 5, blockMinutes: 60 },
    allowed: { facts: { strikesOfIdTag: [...strikes('LATE_CANCEL', 10), ...strikes('NO_SHOW', 5)] } },
    refused: { facts: { strikesOfIdTag: strikes('LATE_CANCEL', 10, 5) } },
    reason: { rule: 'LATE_CANCEL_LIMIT', limitCount: 2, allowedFrom: at(55) },
  },
  {
    name: 'the limit of re-reservations',
    policy: { reReservationLimit: 1, reReservationMinutes: 5, blockMinutes: 60 },
    allowed: {},
    refused: { facts: { strikesOfIdTag: strikes('RE_RESERVATION', 10) } },
    reason: { rule: 'RE_RESERVATION_LIMIT', limitCount: 1, allowedFrom: at(50) },
  },
  ...(
    [
      ['NO_SHOW_LIMIT_PER_GROUP', 'noShowLimitPerGroup', 'NO_SHOW'],
      ['LATE_CANCEL_LIMIT_PER_GROUP', 'lateCancelLimitPerGroup', 'LATE_CANCEL'],
      ['RE_RESERVATION_LIMIT_PER_GROUP', 'reReservationLimitPerGroup', 'RE_RESERVATION'],
    ] as const
  ).map(
    ([rule, field, kind]): Case => ({
      name: `strikes of a group: ${rule}`,
      policy: { [field]: 2, blockMinutes: 60 },
      allowed: { facts: { strikesOfGroup: strikes(kind, 10), strikesOfIdTag: strikes(kind, 9, 8) } },
      refused: { facts: { strikesOfGroup: strikes(kind, 10, 5) } },
      reason: { rule, limitCount: 2, allowedFrom: at(55) },
    }),
  ),
];

describe.each(cases)('$name', ({ policy, allowed, refused, reason }) => {
  it('a reservation request exactly at the policy limit is allowed', () =>
    expect(reasons(policy, allowed)).toEqual([]));
  it('a reservation request past the policy limit is refused with only the broken rule', () =>
    expect(reasons(policy, refused)).toEqual([expect.objectContaining(reason)]));
});

it('a site that is not enabled refuses every reservation', () => {
  expect(reasons({ enabled: false })).toMatchObject([{ rule: 'ENABLED' }]);
});

it('decide returns every broken rule, not only the first', () => {
  const policy = { enabled: false, minDurationMinutes: 60, maxActivePerIdTag: 0, allowedGroups: [] };
  expect(reasons(policy).map(({ rule }) => rule)).toEqual([
    'ENABLED',
    'ALLOWED_GROUPS',
    'MIN_DURATION',
    'MAX_ACTIVE_PER_ID_TAG',
  ]);
});

it('a reservation for a group without an idTag is checked against the limits of the group, not of an idTag', () => {
  const { idTag: _, ...alone } = request;
  const facts = {
    ...noFacts,
    ofIdTag: [window(0, 30)],
    endsOfIdTag: [at(30)],
    endsOfGroup: [at(30)],
    startingThatDay: 5,
    lastEndedAt: now,
  };
  const policy = { ...defaultPolicy, maxActivePerIdTag: 1, maxPerDayPerIdTag: 1, cooldownMinutes: 60 };
  expect(decide(policy, facts, alone, now)).toEqual([]);
  expect(decide({ ...policy, maxActivePerGroup: 1 }, facts, alone, now)).toMatchObject([
    { rule: 'MAX_ACTIVE_PER_GROUP' },
  ]);
});

describe('an extension', () => {
  const hold = { startsAt: at(-30), expiryDate: at(30), extensions: 1 };
  const extend = (policy: Partial<ReservationPolicy>, until: Date, when = now, facts: Partial<PolicyFacts> = {}) =>
    decideExtension({ ...defaultPolicy, ...policy }, { ...noFacts, ...facts }, hold, until, when).map(
      ({ rule }) => rule,
    );

  it.each<[string, Partial<ReservationPolicy>, Date, Date, string[]]>([
    ['is allowed by the default policy', {}, at(60), now, []],
    ['is refused when extensionAllowed is false', { extensionAllowed: false }, at(60), now, ['EXTENSION_ALLOWED']],
    ['is allowed below maxExtensions', { maxExtensions: 2 }, at(60), now, []],
    ['is refused at maxExtensions', { maxExtensions: 1 }, at(60), now, ['MAX_EXTENSIONS']],
    ['is allowed when the whole reservation lasts maxDurationMinutes', { maxDurationMinutes: 90 }, at(60), now, []],
    [
      'is refused when the whole reservation lasts longer than maxDurationMinutes',
      { maxDurationMinutes: 90 },
      at(60, 1),
      now,
      ['MAX_DURATION'],
    ],
    ['is allowed until changeUntilMinutes before the end', { changeUntilMinutes: 10 }, at(60), at(20), []],
    [
      'is refused less than changeUntilMinutes before the end',
      { changeUntilMinutes: 10 },
      at(60),
      at(20, 1),
      ['CHANGE_UNTIL'],
    ],
    [
      'is allowed within the opening hours',
      { openingHours: [{ weekday: 'MONDAY', opens: '12:30', closes: '13:00' }] },
      at(60),
      now,
      [],
    ],
    [
      'is refused past the opening hours',
      { openingHours: [{ weekday: 'MONDAY', opens: '12:30', closes: '13:00' }] },
      at(60, 1),
      now,
      ['OPENING_HOURS'],
    ],
  ])('an extension %s', (_, policy, until, when, expected) => expect(extend(policy, until, when)).toEqual(expected));

  it('an extension may reach the next reservation of the idTag, but not overlap it', () => {
    const next = { ofIdTag: [window(45, 60)] };
    expect(extend({ overlappingAllowed: false }, at(45), now, next)).toEqual([]);
    expect(extend({ overlappingAllowed: false }, at(45, 1), now, next)).toEqual(['OVERLAPPING_ALLOWED']);
  });

  it('an extension must leave cooldownMinutes before the next reservation of the idTag', () => {
    const next = { ofIdTag: [window(60, 90)] };
    expect(extend({ cooldownMinutes: 10 }, at(50), now, next)).toEqual([]);
    expect(extend({ cooldownMinutes: 10 }, at(50, 1), now, next)).toEqual(['COOLDOWN']);
  });

  it('a booking can be extended only until changeUntilMinutes before it begins', () => {
    const booking = { startsAt: at(60), expiryDate: at(90), extensions: 0 };
    const policy = { ...defaultPolicy, changeUntilMinutes: 60 };
    expect(decideExtension(policy, noFacts, booking, at(100), now)).toEqual([]);
    expect(decideExtension(policy, noFacts, booking, at(100), at(0, 1))).toMatchObject([
      { rule: 'CHANGE_UNTIL', limitMinutes: 60 },
    ]);
  });
});

describe('a cancel', () => {
  const booking = { startsAt: at(60), isBooking: true };
  const policy = { ...defaultPolicy, cancelUntilMinutes: 30, lateCancelMinutes: 45 };

  it('a booking can be cancelled only until cancelUntilMinutes before it begins', () => {
    expect(decideCancel(policy, booking, at(30))).toEqual([]);
    expect(decideCancel(policy, booking, at(30, 1))).toMatchObject([{ rule: 'CANCEL_UNTIL', limitMinutes: 30 }]);
    expect(decideCancel(defaultPolicy, booking, at(90))).toEqual([]);
  });

  it('a reservation that is not a booking can be cancelled at any time', () => {
    expect(decideCancel(policy, { startsAt: now, isBooking: false }, at(1))).toEqual([]);
  });

  it('a cancel counts as late less than lateCancelMinutes before a booking begins, or more than lateCancelMinutes after a hold began', () => {
    expect(isLateCancel(policy, booking, at(15))).toBe(false);
    expect(isLateCancel(policy, booking, at(15, 1))).toBe(true);
    expect(isLateCancel(policy, { startsAt: now, isBooking: false }, at(45))).toBe(false);
    expect(isLateCancel(policy, { startsAt: now, isBooking: false }, at(45, 1))).toBe(true);
    expect(isLateCancel(defaultPolicy, booking, at(59))).toBe(false);
  });
});

it('a reservation within reReservationMinutes after the end of an unused reservation is a re-reservation', () => {
  const policy = { ...defaultPolicy, reReservationMinutes: 10 };
  expect(isReReservation(policy, at(-10), now)).toBe(true);
  expect(isReReservation(policy, at(-10, -1), now)).toBe(false);
  expect(isReReservation(policy, undefined, now)).toBe(false);
  expect(isReReservation(defaultPolicy, now, now)).toBe(false);
});
