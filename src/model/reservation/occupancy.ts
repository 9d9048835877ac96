// Decides which hold has which connector when. Pure. A hold names its connector, or leaves the choice to the charger:
// any connector, or any with the wanted plug. At every instant each hold must have a connector of its own.
import { type ConnectorState, isInUse, isOutOfOrder } from '../charger/connector.ts';
import type { Window } from '../site/opening-hours.ts';

export interface Place {
  readonly connectorId: number;
  readonly plugTypes: readonly string[];
  readonly state: ConnectorState;
}

export interface Held extends Window {
  /** 0: the charger chooses. */
  readonly connectorId: number;
  readonly plugType?: string;
}

export const hasPlug = ({ plugTypes }: Pick<Place, 'plugTypes'>, plugType: string | undefined): boolean =>
  plugType === undefined || plugTypes.some((one) => one.toLowerCase() === plugType.toLowerCase());

export const isTaken = ({ state }: Pick<Place, 'state'>): boolean => isInUse(state) || isOutOfOrder(state);

export const overlaps = (one: Window, other: Window): boolean => one.from < other.until && other.from < one.until;

const isAt = ({ from, until }: Window, at: Date): boolean => from <= at && at < until;

/**
 * Whether every hold gets a connector of its own: holds that name one take it, the others are matched to the rest
 * (bipartite matching by augmenting paths).
 */
export function isPlaceable(places: readonly Place[], holds: readonly Held[]): boolean {
  const named = holds.filter(({ connectorId }) => connectorId > 0);
  const taken = new Set(named.map(({ connectorId }) => connectorId));
  if (taken.size < named.length) return false;
  const open = places.filter(({ connectorId }) => !taken.has(connectorId));
  const holderOf = new Map<number, Held>();
  const place = (hold: Held, tried: Set<number>): boolean => {
    for (const one of open) {
      const { connectorId } = one;
      if (tried.has(connectorId) || !hasPlug(one, hold.plugType)) continue;
      tried.add(connectorId);
      const before = holderOf.get(connectorId);
      if (before && !place(before, tried)) continue;
      holderOf.set(connectorId, hold);
      return true;
    }
    return false;
  };
  return holds.filter(({ connectorId }) => connectorId === 0).every((hold) => place(hold, new Set()));
}

/** The instants of the window at which more may be held than before: its start, and each start of a hold within it. */
function instantsOf(holds: readonly Held[], { from, until }: Window): Date[] {
  const starts = holds.map((hold) => hold.from).filter((start) => start > from && start < until);
  return [from, ...starts];
}

/**
 * The holds that conflict with `wished`: those that name the same connector, or else those at an instant at which it
 * finds no connector; undefined: it fits throughout.
 */
export function conflictOf(
  places: readonly Place[],
  holds: readonly Held[],
  wished: Held,
): readonly Held[] | undefined {
  const near = holds.filter((hold) => overlaps(hold, wished));
  const namesakes = near.filter(({ connectorId }) => connectorId > 0 && connectorId === wished.connectorId);
  if (namesakes.length > 0) return namesakes;
  if (places.length === 0) return undefined; // The charger has not reported its connectors yet: let it decide.
  for (const at of instantsOf(near, wished)) {
    const active = near.filter((hold) => isAt(hold, at));
    if (!isPlaceable(places, [...active, wished])) return active;
  }
  return undefined;
}

/** The connectors that can be held by name for the whole window, in the given order. */
export const freePlaces = <P extends Place>(places: readonly P[], holds: readonly Held[], window: Window): P[] =>
  places.filter(({ connectorId }) => !conflictOf(places, holds, { connectorId, ...window }));

export interface SitePlace extends Place {
  readonly chargerId: string;
}
export interface SiteHold extends Held {
  readonly chargerId: string;
}

/**
 * Fewest free connectors of a site at any instant of the window, and the end times (ascending) of the holds at that
 * instant.
 */
export function fewestFree(
  places: readonly SitePlace[],
  holds: readonly SiteHold[],
  window: Window,
  now: Date,
): { readonly count: number; readonly ends: readonly Date[] } {
  const near = holds.filter((hold) => overlaps(hold, window));
  let fewest: { count: number; ends: Date[] } | undefined;
  for (const at of instantsOf(near, window)) {
    const active = near.filter((hold) => isAt(hold, at));
    const isHeld = (place: SitePlace) =>
      active.some((hold) => hold.chargerId === place.chargerId && hold.connectorId === place.connectorId);
    // The reported state of a connector counts only for now: its later state is unknown.
    const busy = at <= now ? places.filter((place) => isTaken(place) && !isHeld(place)).length : 0;
    const count = places.length - busy - active.length;
    if (fewest && fewest.count <= count) continue;
    fewest = { count, ends: active.map(({ until }) => until).toSorted((a, b) => a.getTime() - b.getTime()) };
  }
  return fewest ?? { count: places.length, ends: [] };
}

/** The parts of the window that no hold covers; all holds are of one connector. */
function gapsBetween(holds: readonly Held[], window: Window): Window[] {
  const gaps: Window[] = [];
  let from = window.from;
  for (const hold of holds.toSorted((a, b) => a.from.getTime() - b.from.getTime())) {
    if (hold.from > from) gaps.push({ from, until: hold.from });
    if (hold.until > from) from = hold.until;
  }
  if (from < window.until) gaps.push({ from, until: window.until });
  return gaps;
}

/** The parts of the window in which each connector can be held by name, in order. */
export function freeWindows(
  places: readonly Place[],
  holds: readonly Held[],
  window: Window,
): { readonly connectorId: number; readonly windows: Window[] }[] {
  const near = holds.filter((hold) => overlaps(hold, window));
  if (near.every(({ connectorId }) => connectorId > 0)) {
    return places.map(({ connectorId }) => {
      const own = near.filter((hold) => hold.connectorId === connectorId);
      return { connectorId, windows: gapsBetween(own, window) };
    });
  }
  // If holds leave the connector to the charger, what is free depends on all holds at that instant.
  const edges = near.flatMap(({ from, until }) => [from, until]).filter((at) => at > window.from && at < window.until);
  const moments = [window.from, ...edges.toSorted((a, b) => a.getTime() - b.getTime())];
  const byStart = near.toSorted((a, b) => a.from.getTime() - b.from.getTime());
  const free = new Map(places.map(({ connectorId }) => [connectorId, [] as { from: Date; until: Date }[]]));
  let active: Held[] = [];
  let next = 0;
  for (const [index, at] of moments.entries()) {
    const until = moments[index + 1] ?? window.until;
    if (until <= at) continue;
    active = active.filter((hold) => hold.until > at);
    for (let hold = byStart[next]; hold && hold.from <= at; hold = byStart[next]) {
      if (hold.until > at) active.push(hold);
      next += 1;
    }
    for (const { connectorId } of places) {
      if (!isPlaceable(places, [...active, { connectorId, from: at, until }])) continue;
      const windows = free.get(connectorId);
      const last = windows?.at(-1);
      if (last && last.until.getTime() === at.getTime()) last.until = until;
      else windows?.push({ from: at, until });
    }
  }
  return [...free].map(([connectorId, windows]) => ({ connectorId, windows }));
}
