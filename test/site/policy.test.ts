import { expect, it } from 'vitest';
import { checkPolicy, defaultPolicy } from '../../src/site/policy.ts';

const policy = { ...defaultPolicy, minDurationMinutes: 15, maxDurationMinutes: 60 };
const startsAt = new Date('2026-05-01T10:00:00Z');
const check = (durationMs: number, changes = {}) =>
  checkPolicy({ ...policy, ...changes }, startsAt, new Date(startsAt.getTime() + durationMs));
const MINUTE = 60_000;

it.each([
  [15 * MINUTE - 1, 'MIN_DURATION', 15],
  [60 * MINUTE + 1, 'MAX_DURATION', 60],
])('refuses %i ms by %s', (durationMs, rule, limitMinutes) => {
  expect(check(durationMs)).toMatchObject({
    code: 'POLICY',
    rule,
    limitMinutes,
    message: expect.stringContaining(`${limitMinutes}`),
  });
});

it.each([15 * MINUTE, 60 * MINUTE])('allows %i ms: the limits are included', (durationMs) => {
  expect(check(durationMs)).toBeUndefined();
});

it('refuses everything where reservations are not enabled', () => {
  expect(check(30 * MINUTE, { enabled: false })).toMatchObject({ rule: 'ENABLED' });
});
