// Deletes events after their retention, in small steps with pauses, so that everybody else can write in between.
import { addMs, type Clock, pause } from '../common/clock.ts';
import type { Log } from '../common/log.ts';
import { type EventLog, TRIM_STEP } from '../storage/events/event-log.repository.ts';

const EVERY_MS = 60_000;
const BETWEEN_STEPS_MS = 50;

interface Ports {
  readonly events: EventLog;
  readonly clock: Clock;
  readonly log: Log;
  readonly retentionMs: number;
}

export class Retention {
  #callOff: () => void = () => {};
  #working: Promise<void> = Promise.resolve();
  #isStopped = false;

  constructor(private readonly ports: Ports) {}

  start(): void {
    this.#callOff = this.ports.clock.after(EVERY_MS, () => {
      this.#working = this.#dropOld().finally(() => {
        if (!this.#isStopped) this.start();
      });
    });
  }

  /** Stops after the running step; resolves when that is done. */
  async stop(): Promise<void> {
    this.#isStopped = true;
    this.#callOff();
    await this.#working;
  }

  async #dropOld(): Promise<void> {
    const { events, clock, log, retentionMs } = this.ports;
    try {
      let all = 0;
      for (let dropped = TRIM_STEP; dropped === TRIM_STEP && !this.#isStopped; all += dropped) {
        if (all > 0) await pause(clock, BETWEEN_STEPS_MS);
        dropped = await events.trim(addMs(clock.now(), -retentionMs));
      }
      if (all > 0) log.info({ events: all }, 'dropped old events');
    } catch (error) {
      log.error({ error }, 'old events could not be dropped; trying again');
    }
  }
}
