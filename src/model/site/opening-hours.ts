// The hours in which a site takes reservations, in its own time zone. Pure. On days with a clock change the local clock
// decides: an hour that the clock shows twice is open twice, an hour that it skips is left out.
import { Temporal } from '@js-temporal/polyfill';

export type Weekday = 'MONDAY' | 'TUESDAY' | 'WEDNESDAY' | 'THURSDAY' | 'FRIDAY' | 'SATURDAY' | 'SUNDAY';
export const weekdays: readonly Weekday[] = [
  'MONDAY',
  'TUESDAY',
  'WEDNESDAY',
  'THURSDAY',
  'FRIDAY',
  'SATURDAY',
  'SUNDAY',
];

export interface OpeningHours {
  readonly weekday: Weekday;
  /** 00:00 to 23:59. */
  readonly opens: string;
  /** 00:01 to 24:00; a time at or before `opens` is on the next day. */
  readonly closes: string;
}

export interface Window {
  readonly from: Date;
  readonly until: Date;
}

export const isTimeOfDay = (text: string): boolean => /^([01]\d|2[0-3]):[0-5]\d$|^24:00$/.test(text);

const minutesOf = (time: string): number => Number(time.slice(0, 2)) * 60 + Number(time.slice(3));

const dateAt = (at: Date, timeZone: string): Temporal.PlainDate =>
  Temporal.Instant.fromEpochMilliseconds(at.getTime()).toZonedDateTimeISO(timeZone).toPlainDate();

const midnight = (date: Temporal.PlainDate, timeZone: string): Date => toDate(date.toZonedDateTime(timeZone));

/** The local day that contains the instant, from midnight to midnight. */
export function localDay(at: Date, timeZone: string): Window {
  const date = dateAt(at, timeZone);
  return { from: midnight(date, timeZone), until: midnight(date.add({ days: 1 }), timeZone) };
}

/** The open times that touch the window, in order and not cut to it; adjoining ones are merged. */
export function openWindows(hours: readonly OpeningHours[], timeZone: string, { from, until }: Window): Window[] {
  const last = dateAt(until, timeZone);
  const open: Window[] = [];
  // Starts a day early: hours that close after midnight reach into the next day.
  for (let date = dateAt(from, timeZone).subtract({ days: 1 }); ; date = date.add({ days: 1 })) {
    if (Temporal.PlainDate.compare(date, last) > 0) break;
    const weekday = weekdays[date.dayOfWeek - 1];
    for (const { opens, closes } of hours.filter((one) => one.weekday === weekday)) {
      const [begin, end] = [minutesOf(opens), minutesOf(closes)];
      const times = byClock(date, begin, end <= begin ? end + 1440 : end, timeZone);
      open.push(...times.filter((one) => one.from < one.until && one.until > from && one.from <= until));
    }
  }
  return merge(open);
}

/**
 * The windows in which the local clock shows a time from `begin` until `end`, in minutes after midnight; hours that the
 * clock shows twice give two windows.
 */
function byClock(date: Temporal.PlainDate, begin: number, end: number, timeZone: string): Window[] {
  const [opens, closes] = [momentsOf(date, begin, timeZone), momentsOf(date, end, timeZone)];
  const repeatedFrom = closes.repeatedFrom ?? opens.repeatedFrom;
  if (!repeatedFrom) return [{ from: opens.first, until: closes.first }];
  // One window before the clocks go back, one after.
  return [
    { from: opens.first, until: closes.repeatedFrom ? closes.first : repeatedFrom },
    { from: opens.repeatedFrom ? opens.second : repeatedFrom, until: closes.second },
  ];
}

interface Moments {
  readonly first: Date;
  /** Differs from `first` only if the clock shows the time twice. */
  readonly second: Date;
  /** When the clocks go back; present only if the clock shows the time twice. */
  readonly repeatedFrom?: Date;
}

/** When the clock shows that time. A time that the clock skips becomes the instant at which the clocks go forward. */
function momentsOf(date: Temporal.PlainDate, minutes: number, timeZone: string): Moments {
  const day = date.add({ days: Math.floor(minutes / 1440) });
  const time = { hour: Math.floor((minutes % 1440) / 60), minute: minutes % 60 };
  const local = day.toPlainDateTime(Temporal.PlainTime.from(time));
  const [earlier, later] = (['earlier', 'later'] as const).map((disambiguation) =>
    local.toZonedDateTime(timeZone, { disambiguation }),
  ) as [Temporal.ZonedDateTime, Temporal.ZonedDateTime];
  if (earlier.equals(later)) return { first: toDate(earlier), second: toDate(earlier) };
  const change = toDate(earlier.getTimeZoneTransition('next') ?? later);
  const isLeftOut = !earlier.toPlainDateTime().equals(local);
  if (isLeftOut) return { first: change, second: change };
  return { first: toDate(earlier), second: toDate(later), repeatedFrom: change };
}

const toDate = (zoned: Temporal.ZonedDateTime): Date => new Date(zoned.epochMilliseconds);

function merge(windows: readonly Window[]): Window[] {
  const merged: { from: Date; until: Date }[] = [];
  for (const window of windows.toSorted((a, b) => a.from.getTime() - b.from.getTime())) {
    const before = merged.at(-1);
    if (before && window.from <= before.until) {
      if (window.until > before.until) before.until = window.until;
    } else merged.push({ ...window });
  }
  return merged;
}

/** Bounds the search of firstOpen(). */
const LOOK_AHEAD_DAYS = 14;

/**
 * The earliest start, not before the window's own, from which the site stays open for the window's length; undefined:
 * none within two weeks.
 */
export function firstOpen(hours: readonly OpeningHours[], timeZone: string, window: Window): Date | undefined {
  const lengthMs = window.until.getTime() - window.from.getTime();
  const horizon = new Date(window.until.getTime() + LOOK_AHEAD_DAYS * 86_400_000);
  for (const open of openWindows(hours, timeZone, { from: window.from, until: horizon })) {
    const from = open.from > window.from ? open.from : window.from;
    if (from.getTime() + lengthMs <= open.until.getTime()) return from;
  }
  return undefined;
}
