// Opening hours in the site's own time zone, across both changes of daylight saving.
import { describe, expect, it } from 'vitest';
import { firstOpen, localDay, type OpeningHours, openWindows, weekdays } from '../../src/model/site/opening-hours.ts';

const BERLIN = 'Europe/Berlin';
const daily = (opens: string, closes: string): OpeningHours[] =>
  weekdays.map((weekday) => ({ weekday, opens, closes }));
const window = (from: string, until: string) => ({ from: new Date(from), until: new Date(until) });
const open = (hours: OpeningHours[], from: string, until: string, timeZone = BERLIN) =>
  openWindows(hours, timeZone, window(from, until)).map(
    (one) => `${one.from.toISOString()}/${one.until.toISOString()}`,
  );

it('opening hours are read in the site’s time zone, in winter and in summer', () => {
  const hours = daily('08:00', '20:00');
  expect(open(hours, '2026-01-15T09:00:00Z', '2026-01-15T10:00:00Z')).toEqual([
    '2026-01-15T07:00:00.000Z/2026-01-15T19:00:00.000Z',
  ]);
  expect(open(hours, '2026-07-15T09:00:00Z', '2026-07-15T10:00:00Z')).toEqual([
    '2026-07-15T06:00:00.000Z/2026-07-15T18:00:00.000Z',
  ]);
});

it('opening hours that close after midnight reach into the next day', () => {
  const night: OpeningHours[] = [{ weekday: 'FRIDAY', opens: '22:00', closes: '06:00' }];
  expect(open(night, '2026-05-02T00:00:00Z', '2026-05-02T01:00:00Z')).toEqual([
    '2026-05-01T20:00:00.000Z/2026-05-02T04:00:00.000Z',
  ]);
  expect(open(night, '2026-05-03T00:00:00Z', '2026-05-03T01:00:00Z')).toEqual([]);
});

it('opening hours of two days without a gap at midnight are one window', () => {
  expect(open(daily('00:00', '24:00'), '2026-05-01T12:00:00Z', '2026-05-02T12:00:00Z')).toHaveLength(1);
});

describe('opening hours when the clocks go forward (29 March 2026, 02:00 to 03:00 is skipped)', () => {
  it('opening hours across the start of daylight saving time are an hour shorter', () => {
    expect(open(daily('01:00', '05:00'), '2026-03-29T00:30:00Z', '2026-03-29T01:30:00Z')).toEqual([
      '2026-03-29T00:00:00.000Z/2026-03-29T03:00:00.000Z',
    ]);
  });

  it('an opening or closing time that the clocks skip counts as the moment of the change', () => {
    expect(open(daily('02:30', '05:00'), '2026-03-29T01:30:00Z', '2026-03-29T02:00:00Z')).toEqual([
      '2026-03-29T01:00:00.000Z/2026-03-29T03:00:00.000Z',
    ]);
    expect(open(daily('02:10', '02:50'), '2026-03-29T00:30:00Z', '2026-03-29T02:00:00Z')).toEqual([]);
  });
});

describe('opening hours when the clocks go back (25 October 2026, 02:00 to 03:00 comes twice)', () => {
  it.each([
    ['02:15', '02:45', ['00:15/00:45', '01:15/01:45']],
    ['01:00', '02:30', ['23:00/00:30', '01:00/01:30']],
    ['02:30', '05:00', ['00:30/01:00', '01:30/04:00']],
    ['01:00', '02:00', ['23:00/00:00']],
    ['03:00', '05:00', ['02:00/04:00']],
    ['01:00', '05:00', ['23:00/04:00']],
  ])('opening hours from %s until %s apply each time the clock shows them', (opens, closes, expected) => {
    const windows = openWindows(daily(opens, closes), BERLIN, window('2026-10-24T22:30:00Z', '2026-10-25T04:30:00Z'));
    const short = (at: Date) => at.toISOString().slice(11, 16);
    expect(windows.map(({ from, until }) => `${short(from)}/${short(until)}`)).toEqual(expected);
  });

  it('a local day has 25 hours when the clocks go back, and 23 when they go forward', () => {
    const { from, until } = localDay(new Date('2026-10-25T12:00:00Z'), BERLIN);
    expect((until.getTime() - from.getTime()) / 3_600_000).toBe(25);
    const spring = localDay(new Date('2026-03-29T12:00:00Z'), BERLIN);
    expect((spring.until.getTime() - spring.from.getTime()) / 3_600_000).toBe(23);
  });
});

it('firstOpen finds the first open window that is long enough, or undefined', () => {
  const mondays: OpeningHours[] = [{ weekday: 'MONDAY', opens: '08:00', closes: '09:00' }];
  const half = window('2026-05-05T10:00:00Z', '2026-05-05T10:30:00Z'); // A Tuesday.
  expect(firstOpen(mondays, BERLIN, half)).toEqual(new Date('2026-05-11T06:00:00Z'));
  expect(firstOpen(mondays, BERLIN, window('2026-05-05T10:00:00Z', '2026-05-05T11:30:00Z'))).toBeUndefined();
  expect(firstOpen([], BERLIN, half)).toBeUndefined();
});
