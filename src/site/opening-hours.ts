// When a site takes reservations, in its own time zone. Pure. A day that is longer or shorter by daylight saving is
// read as its clocks show it: an hour that comes twice is open twice, one that is left out is passed over.
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
  /** 00:01 to 24:00; at or before `opens` it is that time on the next day. */
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

const midnight = (date: Temporal.PlainDate, timeZone: string): Date =>
  new Date(date.toZonedDateTime(timeZone).epochMilliseconds);

/** The local day that the instant lies on. */
export function localDay(at: Date, timeZone: string): Window {
  const date = dateAt(at, timeZone);
  return { from: midnight(date, timeZone), until: midnight(date.add({ days: 1 }), timeZone) };
}

/** The open times that touch the window, in order; those that meet are one. */
export function openWindows(hours: readonly OpeningHours[], timeZone: string, { from, until }: Window): Window[] {
  const last = dateAt(until, timeZone);
  const open: Window[] = [];
  // Yesterday's hours may reach into today.
  for (let date = dateAt(from, timeZone).subtract({ days: 1 }); ; date = date.add({ days: 1 })) {
    if (Temporal.PlainDate.compare(date, last) > 0) break;
    const weekday = weekdays[date.dayOfWeek - 1];
    for (const { opens, closes } of hours.filter((one) => one.weekday === weekday)) {
      const [begin, end] = [minutesOf(opens), minutesOf(closes)];
      const window = {
        from: instantOf(date, begin, timeZone, 'earlier'),
        until: instantOf(date, end <= begin ? end + 1440 : end, timeZone, 'later'),
      };
      if (window.until > from && window.from <= until && window.from < window.until) open.push(window);
    }
  }
  return merge(open);
}

/** That many minutes on the clock after midnight of that date. */
function instantOf(
  date: Temporal.PlainDate,
  minutes: number,
  timeZone: string,
  disambiguation: 'earlier' | 'later',
): Date {
  const day = date.add({ days: Math.floor(minutes / 1440) });
  const time = { hour: Math.floor((minutes % 1440) / 60), minute: minutes % 60 };
  const local = day.toPlainDateTime(Temporal.PlainTime.from(time));
  // A time that is left out means the moment at which the clocks go on.
  const exact = local.toZonedDateTime(timeZone, { disambiguation: 'compatible' });
  const isLeftOut = !exact.toPlainDateTime().equals(local);
  const zoned = isLeftOut ? gapEnd(local, timeZone) : local.toZonedDateTime(timeZone, { disambiguation });
  return new Date(zoned.epochMilliseconds);
}

const gapEnd = (local: Temporal.PlainDateTime, timeZone: string): Temporal.ZonedDateTime => {
  const before = local.toZonedDateTime(timeZone, { disambiguation: 'earlier' });
  return before.getTimeZoneTransition('next') ?? before;
};

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

/** Nobody looks further ahead than this for a time that is open. */
const LOOK_AHEAD_DAYS = 14;

/** The first instant from which a window of that length is open, from its own start on; undefined: none in two weeks. */
export function firstOpen(hours: readonly OpeningHours[], timeZone: string, window: Window): Date | undefined {
  const lengthMs = window.until.getTime() - window.from.getTime();
  const horizon = new Date(window.until.getTime() + LOOK_AHEAD_DAYS * 86_400_000);
  for (const open of openWindows(hours, timeZone, { from: window.from, until: horizon })) {
    const from = open.from > window.from ? open.from : window.from;
    if (from.getTime() + lengthMs <= open.until.getTime()) return from;
  }
  return undefined;
}
