// Finds due work from rows alone, so that any process may die at any step: expiry, ending notices, and what
// settle-due.ts does. One timer sleeps until the next due time. A row is claimed for longer than its commands can take,
// so no two processes work on it, and one that dies delays it until the claim ends.

import { addMs } from '../common/clock.ts';
import { OUTLIVES_EXPIRY_MS, RETRY_MS } from '../model/reservation/timing.ts';
import { isDatabaseAway } from '../storage/database.ts';
import { type DueReservation, MAX_CLAIMED, MAX_ENDED } from '../storage/reservations/follow-up.repository.ts';
import type { SettlingPorts } from './ports.ts';
import { dutyOf, settleDue } from './settle-due.ts';

/** Longest sleep: rows that other nodes made due are found within it. */
const POLL_MS = 1000;
const MAX_RETRY_MS = 60_000;
/** How often releases owed to chargers that never came back are dropped. */
const CLEAN_UP_MS = 60_000;
/** How long a charger has to end an expired hold by its own clock before it gets a cancel. */
const RELEASE_GRACE_MS = 10_000;
/** A claim lasts as long as this many commands can take. */
const COMMANDS_PER_CLAIM = 3;

type Phase =
  | { readonly is: 'resting' }
  | { readonly is: 'sleeping'; readonly until: Date; readonly callOff: () => void }
  | { readonly is: 'working'; wokenAt?: Date; readonly done: Promise<void> }
  | { readonly is: 'stopped' };

export class Settler {
  #phase: Phase = { is: 'resting' };
  #cleanedAt: Date | undefined;

  constructor(private readonly ports: SettlingPorts) {}

  /** Makes the settler run at `at`, unless it runs earlier anyway. */
  wake(at: Date): void {
    const phase = this.#phase;
    if (phase.is === 'working') phase.wokenAt = phase.wokenAt && phase.wokenAt < at ? phase.wokenAt : at;
    else if (phase.is === 'resting' || (phase.is === 'sleeping' && at < phase.until)) this.#sleepUntil(at);
  }

  /** Starts no further round; resolves when the current one is done. Settlements it began end with `background`. */
  async stop(): Promise<void> {
    const phase = this.#phase;
    if (phase.is === 'sleeping') phase.callOff();
    this.#phase = { is: 'stopped' };
    if (phase.is === 'working') await phase.done;
  }

  #sleepUntil(until: Date): void {
    if (this.#phase.is === 'sleeping') this.#phase.callOff();
    const delayMs = Math.max(0, until.getTime() - this.ports.clock.now().getTime());
    this.#phase = { is: 'sleeping', until, callOff: this.ports.clock.after(delayMs, () => this.#work()) };
  }

  #work(): void {
    const round = this.#round().catch((error) => {
      const level = isDatabaseAway(error) ? 'warn' : 'error';
      this.ports.log[level]({ error }, 'a round of the settler failed; the next one is scheduled');
      return undefined;
    });
    const phase: Phase = { is: 'working', done: round.then(() => {}) };
    this.#phase = phase;
    void round.then((next) => {
      if (this.#phase !== phase) return;
      const now = this.ports.clock.now();
      this.#phase = { is: 'resting' };
      const wanted = [next, phase.wokenAt, addMs(now, POLL_MS)].filter((at) => at !== undefined);
      this.#sleepUntil(new Date(Math.min(...wanted.map((at) => at.getTime()))));
    });
  }

  async #round(): Promise<Date | undefined> {
    const { reservations, clock, announce, metrics, nodeId, callLeaseMs, background } = this.ports;
    const now = clock.now();
    if (!this.#cleanedAt || addMs(this.#cleanedAt, CLEAN_UP_MS) <= now) {
      this.#cleanedAt = now;
      await reservations.giveUpReleases(addMs(now, -OUTLIVES_EXPIRY_MS));
    }
    const ended = await reservations.expire(now, addMs(now, RELEASE_GRACE_MS));
    const noticed = await reservations.giveNotice(now);
    if (ended.length + noticed > 0) announce();
    metrics.expired.inc(ended.length);
    const due = await reservations.claimDue(now, nodeId(), addMs(now, COMMANDS_PER_CLAIM * callLeaseMs));
    for (const row of due) background.track(this.#settle(row));
    // A full batch means that more may be due: run the next round at once.
    const isMore = ended.length === MAX_ENDED || due.length === MAX_CLAIMED;
    return isMore ? now : reservations.nextDue(nodeId(), now);
  }

  async #settle(row: DueReservation): Promise<void> {
    const { log, reservations, metrics, clock, drainedAt } = this.ports;
    const { reservation, attempts, isReleaseOwed } = row;
    const duty = dutyOf(reservation);
    const facts = { reservation: reservation.id, chargerId: reservation.chargerId, duty, attempts };
    try {
      const drained = drainedAt(reservation.chargerId);
      const progress = drained > clock.now() ? 'DRAINING' : await settleDue(this.ports, row);
      metrics.settled.inc({ duty, progress });
      const isSettled = progress === 'DONE' || progress === 'CONFIRMED';
      const dueAt = progress === 'DRAINING' ? drained : this.#retryAt(row);
      const confirmedAt = progress === 'CONFIRMED' ? clock.now() : undefined;
      await reservations.postpone(row, isSettled ? { isReleaseOwed: false } : { dueAt, isReleaseOwed }, confirmedAt);
      log.info({ ...facts, progress, ...(!isSettled && { dueAt }) }, 'an attempt to settle a due reservation ended');
      if (!isSettled) this.wake(dueAt);
    } catch (error) {
      log.error({ error, ...facts }, 'a reservation could not be settled; it stays due');
    }
  }

  /**
   * Exponential back-off with jitter, so that a thousand chargers that reconnect together are not asked at the same
   * moment.
   */
  #retryAt({ reservation, attempts, activateUntil }: DueReservation): Date {
    const now = this.ports.clock.now();
    if (reservation.status === 'SCHEDULED' && reservation.startsAt > now) return reservation.startsAt;
    const pause = Math.min(MAX_RETRY_MS, RETRY_MS * 2 ** Math.min(attempts - 1, 10));
    const at = addMs(now, pause * (0.5 + Math.random() / 2));
    return activateUntil && activateUntil > now && activateUntil < at ? activateUntil : at;
  }
}
