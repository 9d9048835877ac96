// The one reader of the log in this process: it hands each event, in order, to those who listen.
// Whatever wakes it is a hint: a lost one costs the poll interval, a doubled one nothing.
import type { Clock } from '../common/clock.ts';
import type { Log } from '../common/log.ts';
import type { LogEvent } from './event.ts';
import { type EventLog, isBehind, type Position } from './event-log.repository.ts';

export type Listener = (event: LogEvent) => void;

const POLL_MS = 1000;
/** Pause while an older transaction holds events back; it doubles, for such a transaction may be long. */
const HELD_BACK_MS = 5;
const MAX_HELD_BACK_MS = 100;
const BATCH = 500;

interface Running {
  readonly is: 'running';
  position: Promise<Position>;
  isReading: boolean;
  isWoken: boolean;
  pauseMs: number;
  callOff?: () => void;
}

type Phase = { readonly is: 'idle' } | Running | { readonly is: 'stopped' };

interface Entry {
  readonly event: LogEvent;
  readonly position: Position;
}

/** Until it is known which events a listener has missed, or is not meant to have, those that come wait. */
interface Listening {
  readonly listener: Listener;
  isNew?: (position: Position) => boolean;
  readonly held: Entry[];
}

export class Feed {
  readonly #listeners = new Set<Listening>();
  #phase: Phase = { is: 'idle' };
  #reading: Promise<unknown> = Promise.resolve();

  constructor(
    private readonly log: EventLog,
    private readonly clock: Clock,
    private readonly logger: Log,
  ) {}

  /** How many get every event from now on. */
  get listeners(): number {
    return [...this.#listeners].filter(({ isNew }) => isNew !== undefined).length;
  }

  /** The events behind a position, in order, and the position of the last of them; none: there is nothing behind it now. */
  async read(after: Position, limit: number): Promise<{ readonly events: LogEvent[]; readonly last: Position }> {
    // One page at a time, whoever asks: those who were away for long must not take the database from the others.
    const page = this.#reading.then(() => this.log.after(after, limit));
    this.#reading = page.catch(() => {});
    const entries = await page;
    return { events: entries.map(({ event }) => event), last: entries.at(-1)?.position ?? after };
  }

  /** The position from which somebody who reads on misses nothing that is committed from now on. */
  end(): Promise<Position> {
    return this.log.end();
  }

  /**
   * Without `after`: resolves once the listener gets every event committed from then on, and none from before.
   * With it: the listener gets every event behind that position, once and in order. The function returned ends it.
   */
  async listen(listener: Listener, after?: Position): Promise<() => void> {
    if (this.#phase.is === 'stopped') throw new Error('The event feed is stopped');
    if (this.#phase.is === 'idle') this.#run();
    const listening: Listening = { listener, held: [] };
    this.#listeners.add(listening);
    const stop = () => {
      if (this.#listeners.delete(listening) && this.#listeners.size === 0) this.#rest();
    };
    try {
      if (this.#phase.is === 'running') await this.#phase.position;
      if (after === undefined) {
        const isBefore = await this.log.snapshot();
        listening.isNew = ({ xid }) => !isBefore(xid);
      } else {
        // The feed's own position is no later than the end of this reading: what it hands over meanwhile is sorted out.
        const missed = await this.#readMissed(listening, after);
        listening.isNew = (position) => isBehind(position, missed);
      }
    } catch (error) {
      stop();
      throw error;
    }
    for (const entry of listening.held.splice(0)) this.#hand(listening, entry);
    return stop;
  }

  /** There may be something new. */
  wake(): void {
    const phase = this.#phase;
    if (phase.is !== 'running') return;
    phase.isWoken = true;
    if (!phase.isReading) void this.#read(phase);
  }

  stop(): void {
    this.#rest();
    this.#phase = { is: 'stopped' };
    this.#listeners.clear();
  }

  #run(): void {
    const start = { isReading: false, isWoken: false, pauseMs: HELD_BACK_MS };
    const phase: Running = { is: 'running', position: this.log.end(), ...start };
    this.#phase = phase;
    phase.callOff = this.clock.after(POLL_MS, () => this.wake());
  }

  /** Nobody listens: nothing is read, and the next listener starts at the end the log has then. */
  #rest(): void {
    if (this.#phase.is === 'running') this.#phase.callOff?.();
    if (this.#phase.is !== 'stopped') this.#phase = { is: 'idle' };
  }

  async #read(phase: Running): Promise<void> {
    phase.isReading = true;
    phase.callOff?.();
    let waitMs = POLL_MS;
    try {
      while (phase.isWoken && this.#phase === phase) {
        phase.isWoken = false;
        const entries = await this.log.after(await phase.position, BATCH);
        if (this.#phase !== phase) return; // Who listens now began anew, behind these.
        for (const entry of entries) {
          for (const listening of [...this.#listeners]) this.#hand(listening, entry);
        }
        const last = entries.at(-1);
        if (last) phase.position = Promise.resolve(last.position);
        if (entries.length === BATCH) phase.isWoken = true;
        else if (!phase.isWoken && (await this.log.isAnyAfter(await phase.position))) waitMs = phase.pauseMs;
      }
    } catch (error) {
      this.logger.error({ error }, 'the event log could not be read; trying again');
    }
    phase.pauseMs = waitMs === POLL_MS ? HELD_BACK_MS : Math.min(2 * phase.pauseMs, MAX_HELD_BACK_MS);
    phase.isReading = false;
    phase.isWoken = false;
    if (this.#phase !== phase) return;
    phase.callOff = this.clock.after(waitMs, () => this.wake());
  }

  /** Hands over what lies behind the position now; resolves with the position of the last of it. */
  async #readMissed({ listener }: Listening, after: Position): Promise<Position> {
    for (let position = after; ; ) {
      const entries = await this.log.after(position, BATCH);
      for (const { event } of entries) this.#tell(listener, event);
      position = entries.at(-1)?.position ?? position;
      if (entries.length < BATCH) return position;
    }
  }

  #hand(listening: Listening, entry: Entry): void {
    const { listener, isNew, held } = listening;
    if (!isNew) held.push(entry);
    else if (isNew(entry.position)) this.#tell(listener, entry.event);
  }

  #tell(listener: Listener, event: LogEvent): void {
    try {
      listener(event);
    } catch (error) {
      this.logger.error({ error }, 'a listener of the event feed failed');
    }
  }
}
