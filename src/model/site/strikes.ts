// Blocks for abuse: which run of no-shows, late cancels or re-reservations blocks an idTag or a group, and for how
// long. Pure: computed from the times of the strikes, so that lifting a block or correcting a no-show needs no counter.

export type StrikeKind = 'NO_SHOW' | 'LATE_CANCEL' | 'RE_RESERVATION';

export interface Strike {
  readonly kind: StrikeKind;
  readonly at: Date;
}

export interface StrikeRule {
  /** The number of strikes within `windowMs` that blocks. */
  readonly limit: number;
  readonly windowMs: number;
  readonly blockMs: number;
}

/** The end of the block in force at `now`, or undefined; a block runs from the strike that reached the limit. */
export function blockedUntil(
  strikes: readonly Date[],
  { limit, windowMs, blockMs }: StrikeRule,
  now: Date,
): Date | undefined {
  const times = strikes.map((at) => at.getTime()).toSorted((a, b) => a - b);
  let until = 0;
  for (let last = limit - 1; last < times.length; last += 1) {
    const [first, at] = [times[last - limit + 1] ?? 0, times[last] ?? 0];
    if (at - first <= windowMs) until = Math.max(until, at + blockMs);
  }
  return until > now.getTime() ? new Date(until) : undefined;
}
