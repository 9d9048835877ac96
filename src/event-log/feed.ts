// Follows the event log for this process and hands each event, in order, to the followers whose interest it matches. A
// follower that starts at an earlier position is first given the events it missed. `wake` is only a hint: a lost one
// delays events by the poll interval, a needless one costs a query.
//
// Two machines: the feed has a phase, and each follower has a state.
//
// - Feed, idle: nobody follows and nothing is read. The first follower moves it to starting, which reads the end of
//   the log.
// - starting -> running at that end. If that read fails -> idle: followers try again after a second while the
//   database is away, and fail on any other error.
// - running: wake (a hint, or its own timer) begins a read, or makes the running read repeat. A read takes
//   pages of 500, hands each event to the live followers, then sets the timer: 1 s, or 1 to 100 ms (doubling) while
//   an older transaction holds events back. A failed read is tried again; CursorExpired fails every follower.
// - Every phase -> idle when the last follower leaves; -> stopped by stop, for good. A read that ends after that is
//   dropped.
// - Follower, behind: gets what it missed, at its own pace: pages from the database, then the remembered latest
//   events.
// - behind -> live when nothing is left between it and the feed; never back, for the feed waits for it (back-
//   pressure).
// - behind or live -> ended by stop, or by a fault, which its listener gets.
import { type Clock, pause } from '../common/clock.ts';
import type { Log } from '../common/log.ts';
import { isBehind, isWantedFrom, type Position, type Start } from '../model/events/cursor.ts';
import { type Interest, isOfInterest, Routes } from '../model/events/interest.ts';
import { isDatabaseAway } from '../storage/database.ts';
import { type Bounds, CursorExpired, type Entry, type EventLog } from '../storage/events/event-log.repository.ts';

export interface Listener {
  /**
   * Takes one event. A returned promise is back-pressure: no further event comes before it resolves. `isMissed`: the
   * event was read while the follower was still catching up.
   */
  take(entry: Entry, isMissed: boolean): Promise<unknown> | undefined;
  /** Called at most once, with CursorExpired or a fault; no event comes afterwards. */
  fail(error: unknown): void;
}

export interface Following {
  /**
   * Resolves once the follower is live, that is, gets each event as it comes; also if it stopped or failed before that.
   */
  readonly caughtUp: Promise<void>;
  /** While the follower is live: every event up to this position has been handed to it. */
  readonly reached: Position | undefined;
  stop(): void;
}

const POLL_MS = 1000;
/**
 * First pause while an older transaction holds events back; it doubles up to the maximum, because such a transaction
 * may be long.
 */
const HELD_BACK_MS = 1;
const MAX_HELD_BACK_MS = 100;
const BATCH = 500;
/** Latest events kept in memory, so that a follower that was away for a moment catches up without the database. */
const RECENT = 4000;

interface Running {
  readonly is: 'running';
  position: Position;
  /** The events handed over last: all those after `recentFrom`. */
  readonly recent: Entry[];
  recentFrom: Position;
  isReading: boolean;
  isWoken: boolean;
  pauseMs: number;
  /** The time since which the log has held, or may have held, events that were not handed over. */
  behindSince: Date | undefined;
  callOff: () => void;
}

type Phase =
  | { readonly is: 'idle' }
  | { readonly is: 'starting'; readonly started: Promise<void> }
  | Running
  | { readonly is: 'stopped' };

interface Follower {
  readonly interest: Interest;
  readonly listener: Listener;
  /** While behind, its position. While live, a filter of events it already has; deleted once none of these can come. */
  start?: Start;
  state: 'behind' | 'live' | 'ended';
}

interface Ports {
  readonly events: EventLog;
  readonly clock: Clock;
  readonly log: Log;
  /** Called for each event that is handed over, with the time since it happened. */
  readonly onHanded: (delayMs: number) => void;
}

export class Feed {
  readonly #routes = new Routes<Follower>();
  readonly #followers = new Set<Follower>();
  #phase: Phase = { is: 'idle' };
  #live = 0;
  #lastBounds: Promise<unknown> = Promise.resolve();
  #nextBounds: Promise<Bounds> | undefined;

  constructor(private readonly ports: Ports) {}

  /** Number of followers that get each event as it comes. */
  get live(): number {
    return this.#live;
  }

  /**
   * Milliseconds for which the log has held, or may have held, events that were not handed over; 0 if there are none.
   */
  get lagMs(): number {
    const since = this.#phase.is === 'running' ? this.#phase.behindSince : undefined;
    return since ? this.ports.clock.now().getTime() - since.getTime() : 0;
  }

  /** Where the log begins and ends, read no earlier than this call. */
  bounds(): Promise<Bounds> {
    // Callers that come during a query share the next one, because the running one may have read before their call.
    this.#nextBounds ??= this.#lastBounds
      .catch(() => {})
      .then(() => {
        this.#nextBounds = undefined;
        const bounds = this.ports.events.bounds();
        this.#lastBounds = bounds;
        return bounds;
      });
    return this.#nextBounds;
  }

  /**
   * The next events of the interest after a position, and how far the log was searched. Pages are read one at a time.
   * Throws CursorExpired.
   */
  readonly read = oneAtATime((interest: Interest, after: Position, limit: number) =>
    this.ports.events.of(interest, after, limit),
  );

  /** The same for followers that catch up, in a queue of their own: they do not wait behind clients that poll. */
  readonly #readMissed = oneAtATime((interest: Interest, after: Position) =>
    this.ports.events.of(interest, after, BATCH),
  );

  /**
   * Hands the listener every event of the interest after `start`, once and in order, until `stop` is called or it
   * fails.
   */
  follow(interest: Interest, start: Start, listener: Listener): Following {
    const follower: Follower = { interest, listener, start, state: 'behind' };
    this.#followers.add(follower);
    const caughtUp = this.#catchUpAtLast(follower).catch((error) => this.#fail(follower, error));
    const reached = () =>
      this.#phase.is === 'running' && follower.state === 'live' ? this.#phase.position : undefined;
    return {
      caughtUp,
      get reached() {
        return reached();
      },
      stop: () => this.#end(follower),
    };
  }

  /** Call it when the log may have grown. */
  wake(): void {
    const phase = this.#phase;
    if (phase.is !== 'running') return;
    phase.isWoken = true;
    phase.behindSince ??= this.ports.clock.now();
    if (!phase.isReading) void this.#read(phase);
  }

  stop(): void {
    for (const follower of this.#followers) this.#end(follower);
    this.#phase = { is: 'stopped' };
  }

  /** Retries while the database is away: like a live follower, one that is behind waits instead of failing. */
  async #catchUpAtLast(follower: Follower): Promise<void> {
    while (follower.state === 'behind') {
      try {
        await this.#catchUp(follower);
      } catch (error) {
        if (!isDatabaseAway(error)) throw error;
        await pause(this.ports.clock, POLL_MS);
      }
    }
  }

  async #catchUp(follower: Follower): Promise<void> {
    const phase = await this.#runFor(follower);
    while (phase && follower.state === 'behind') {
      const { start, interest } = follower;
      if (!start) throw new Error('A follower that is behind has no start');
      const handed = handedBehind(phase, start.position);
      if (handed?.length === 0) {
        follower.state = 'live';
        this.#live += 1;
        this.#routes.add(interest, follower);
      } else if (handed) {
        await this.#giveMissed(
          follower,
          start,
          handed.filter(({ event }) => isOfInterest(event, interest)),
        );
        follower.start = { ...start, position: handed.at(-1)?.position ?? start.position };
      } else {
        const { entries, end } = await this.#readMissed(interest, start.position);
        await this.#giveMissed(follower, start, entries);
        follower.start = { ...start, position: end };
      }
    }
  }

  async #giveMissed(follower: Follower, start: Start, entries: readonly Entry[]): Promise<void> {
    for (const entry of entries) {
      if (follower.state !== 'behind') return;
      if (isWantedFrom(start, entry.position)) await follower.listener.take(entry, true);
    }
  }

  #fail(follower: Follower, error: unknown): void {
    if (follower.state === 'ended') return;
    this.#end(follower);
    try {
      follower.listener.fail(error);
    } catch (fault) {
      this.ports.log.error({ error: fault }, 'a listener of the event feed failed');
    }
  }

  #end(follower: Follower): void {
    if (follower.state === 'live') {
      this.#routes.remove(follower.interest, follower);
      this.#live -= 1;
    }
    follower.state = 'ended';
    if (this.#followers.delete(follower) && this.#followers.size === 0) this.#rest();
  }

  async #runFor(follower: Follower): Promise<Running | undefined> {
    for (;;) {
      const phase = this.#phase;
      if (follower.state === 'ended') return undefined;
      if (phase.is === 'running') return phase;
      if (phase.is === 'stopped') throw new Error('The event feed is stopped');
      if (phase.is === 'idle') this.#start();
      else await phase.started;
    }
  }

  #start(): void {
    const { events, clock } = this.ports;
    const started = events.bounds().then(
      ({ end: position }) => {
        if (this.#phase !== starting) return;
        const reading = { isReading: false, isWoken: false, pauseMs: HELD_BACK_MS, behindSince: undefined };
        const callOff = clock.after(POLL_MS, () => this.wake());
        this.#phase = { is: 'running', position, recent: [], recentFrom: position, ...reading, callOff };
        this.wake(); // A wake for events committed after the bounds were read was ignored.
      },
      (error) => {
        if (this.#phase === starting) this.#phase = { is: 'idle' };
        throw error;
      },
    );
    const starting: Phase = { is: 'starting', started };
    this.#phase = starting;
  }

  /** With no followers left, nothing is read; the next follower starts the feed at the end that the log has then. */
  #rest(): void {
    if (this.#phase.is === 'running') this.#phase.callOff();
    if (this.#phase.is !== 'stopped') this.#phase = { is: 'idle' };
  }

  async #read(phase: Running): Promise<void> {
    const { events, clock, log } = this.ports;
    phase.isReading = true;
    phase.callOff();
    let waitMs = POLL_MS;
    let hasProgressed = false;
    try {
      while (phase.isWoken && this.#phase === phase) {
        phase.isWoken = false;
        const { entries, isHeldBack } = await events.after(phase.position, BATCH);
        if (this.#phase !== phase) return; // This phase has lost its followers; later ones have a new phase.
        hasProgressed ||= entries.length > 0;
        await this.#hand(phase, entries);
        if (entries.length === BATCH) phase.isWoken = true;
        else if (!phase.isWoken && isHeldBack) waitMs = hasProgressed ? HELD_BACK_MS : phase.pauseMs;
        if (!phase.isWoken && !isHeldBack) phase.behindSince = undefined;
      }
    } catch (error) {
      if (error instanceof CursorExpired) for (const follower of this.#followers) this.#fail(follower, error);
      log.error({ error }, 'the event log could not be read; trying again');
    }
    phase.pauseMs = waitMs === POLL_MS || hasProgressed ? HELD_BACK_MS : Math.min(2 * phase.pauseMs, MAX_HELD_BACK_MS);
    phase.isReading = false;
    if (this.#phase !== phase) return;
    phase.callOff = clock.after(waitMs, () => this.wake());
  }

  /** Hands over one event at a time: the next one waits until every listener is done with it (back-pressure). */
  async #hand(phase: Running, entries: readonly Entry[]): Promise<void> {
    const now = this.ports.clock.now().getTime();
    const busy = new Set<Promise<unknown>>();
    for (const entry of entries) {
      phase.position = entry.position;
      phase.recent.push(entry);
      this.#routes.forEach(entry.event, (follower) => {
        const done = this.#give(follower, entry);
        if (done) busy.add(done);
      });
      this.ports.onHanded(Math.max(0, now - entry.event.at.getTime()));
      if (busy.size === 0) continue;
      await Promise.all(busy);
      busy.clear();
      if (this.#phase !== phase) return; // This phase has lost its followers; later ones have a new phase.
    }
    // Cuts to three quarters, so that cutting is rare; the number kept need not be exact.
    if (phase.recent.length > RECENT) {
      const gone = phase.recent.splice(0, phase.recent.length - (3 * RECENT) / 4);
      phase.recentFrom = gone.at(-1)?.position ?? phase.recentFrom;
    }
  }

  #give(follower: Follower, entry: Entry): Promise<unknown> | undefined {
    const { start, interest, listener } = follower;
    if (follower.state !== 'live' || !isOfInterest(entry.event, interest)) return undefined;
    if (start) {
      if (!isWantedFrom(start, entry.position)) return undefined;
      if (!start.seen || entry.position.xid >= start.seen.end) delete follower.start;
    }
    try {
      return listener.take(entry, false);
    } catch (error) {
      this.ports.log.error({ error }, 'a listener of the event feed failed');
      return undefined;
    }
  }
}

/**
 * Runs one read at a time for all callers, so that readers with much to catch up cannot occupy the database.
 */
function oneAtATime<Args extends unknown[], T>(read: (...args: Args) => Promise<T>): (...args: Args) => Promise<T> {
  let last: Promise<unknown> = Promise.resolve();
  return (...args) => {
    const next = last.catch(() => {}).then(() => read(...args));
    last = next;
    return next;
  };
}

/**
 * The next remembered events after the position, at most a page; undefined if the position is older than what is
 * remembered.
 */
function handedBehind({ recent, recentFrom }: Running, position: Position): readonly Entry[] | undefined {
  if (isBehind(recentFrom, position)) return undefined;
  let first = recent.length;
  while (first > 0 && isBehind(recent[first - 1]?.position ?? position, position)) first -= 1;
  return recent.slice(first, first + BATCH);
}
