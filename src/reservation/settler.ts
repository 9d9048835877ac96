// Does what must happen later, from rows alone, so that any node may die at any step: expiry, outcomes that were never
// learned, cancels that were not answered, holds a charger keeps although they ended here.
// One timer sleeps until the next due time; a row is claimed before it is worked on, so that two nodes never act on it at once.
import type { ChargerRepository } from '../charger/charger.repository.ts';
import type { ChargerCalls, Outcome } from '../charger/charger-calls.ts';
import { addMs, type Clock } from '../common/clock.ts';
import type { Log } from '../common/log.ts';
import type { DueReservation, ReservationRepository } from './reservation.repository.ts';
import type { Reservation } from './reservation.ts';
import type { SettleCancel, SettleReserve } from './settle-reservation.ts';
import { RETRY_MS, type Transition } from './transition.ts';

export interface SettlerPorts {
  readonly reservations: ReservationRepository;
  readonly chargers: ChargerRepository;
  readonly calls: ChargerCalls;
  readonly transition: Transition;
  readonly settleReserve: SettleReserve;
  readonly settleCancel: SettleCancel;
  readonly announce: () => void;
  readonly clock: Clock;
  readonly log: Log;
  readonly nodeId: () => number;
  readonly callLeaseMs: number;
}

/** Rows that other nodes made are found at the latest after this. */
const POLL_MS = 1000;
const MAX_RETRY_MS = 60_000;
/** A charger gets this long to end an expired hold by its own clock before it is told to. */
const RELEASE_GRACE_MS = 10_000;

type Phase =
  | { readonly is: 'resting' }
  | { readonly is: 'sleeping'; readonly until: Date; readonly callOff: () => void }
  | { readonly is: 'working'; again: boolean; readonly done: Promise<void> }
  | { readonly is: 'stopped' };

export class Settler {
  #phase: Phase = { is: 'resting' };

  constructor(private readonly ports: SettlerPorts) {}

  /** Something is due at that time, perhaps earlier than what it sleeps for. */
  wake(at: Date): void {
    const phase = this.#phase;
    if (phase.is === 'working') phase.again = true;
    else if (phase.is === 'resting' || (phase.is === 'sleeping' && at < phase.until)) this.#sleepUntil(at);
  }

  /** Resolves when the round under way is done. */
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
      this.ports.log.error({ error }, 'a round of the settler failed; it goes on');
      return undefined;
    });
    const phase: Phase = { is: 'working', again: false, done: round.then(() => {}) };
    this.#phase = phase;
    void round.then((next) => {
      if (this.#phase !== phase) return;
      const now = this.ports.clock.now();
      const poll = addMs(now, POLL_MS);
      this.#phase = { is: 'resting' };
      this.#sleepUntil(phase.again ? now : next && next < poll ? next : poll);
    });
  }

  async #round(): Promise<Date | undefined> {
    const { reservations, clock, announce, nodeId } = this.ports;
    const now = clock.now();
    const ended = await reservations.expire(now, addMs(now, RELEASE_GRACE_MS));
    if (ended.length > 0) announce();
    const due = await reservations.claimDue(now, nodeId(), addMs(now, this.ports.callLeaseMs));
    for (const row of due) void this.#settle(row);
    return reservations.nextDue(nodeId());
  }

  async #settle({ reservation, attempts, isReleaseOwed }: DueReservation): Promise<void> {
    const { log } = this.ports;
    try {
      const settled = isReleaseOwed ? await this.#release(reservation) : await this.#settleHold(reservation);
      if (settled) return;
      const dueAt = this.#retryAt(attempts);
      await this.ports.reservations.postpone(reservation, { dueAt, isReleaseOwed });
      this.wake(dueAt);
    } catch (error) {
      log.error({ error, reservation: reservation.id }, 'a reservation could not be settled; it stays due');
    }
  }

  /** Tells whether nothing more is to be done. */
  async #settleHold(reservation: Reservation): Promise<boolean> {
    switch (reservation.status) {
      case 'PENDING': {
        // Its process died, or could not store the answer: the frame may have been written.
        await this.ports.transition(reservation, { type: 'unanswered', reason: 'CHARGER_LOST' }, 'SERVER');
        return true;
      }
      case 'UNKNOWN':
        return this.#settleUnknown(reservation);
      case 'CANCELLING': {
        const { reason } = reservation;
        const outcome = await this.#cancel(reservation);
        return (await this.ports.settleCancel(reservation, outcome, reason, 'SERVER')).isChanged;
      }
      default:
        await this.ports.reservations.postpone(reservation, { isReleaseOwed: false });
        return true;
    }
  }

  /** The same id again: a charger that has it replaces it with itself. One that refuses is told to let go, which proves that it is gone. */
  async #settleUnknown(reservation: Reservation): Promise<boolean> {
    const { settleReserve, transition, calls } = this.ports;
    if (await this.#saysReserved(reservation)) {
      return (await transition(reservation, { type: 'accepted' }, 'CHARGER')).isChanged;
    }
    const { reservationId, connectorId, idTag, tokenType, parentIdTag, expiryDate, chargerId } = reservation;
    const group = parentIdTag === undefined ? {} : { parentIdTag };
    const command = { type: 'ReserveNow', reservationId, connectorId, idTag, tokenType, ...group, expiryDate } as const;
    const outcome = await calls.call(chargerId, command);
    if (outcome.type === 'answer' && outcome.answer !== 'ACCEPTED') {
      const cancelled = await this.#cancel(reservation);
      if (cancelled.type !== 'answer') return false;
    }
    return (await settleReserve(reservation, outcome)).isChanged;
  }

  /** It ended here; the charger may not know. Where its connector does not say Reserved there is nothing to release. */
  async #release(reservation: Reservation): Promise<boolean> {
    const isExpired = reservation.expiryDate <= this.ports.clock.now();
    if (isExpired && !(await this.#saysReserved(reservation))) {
      await this.ports.reservations.postpone(reservation, { isReleaseOwed: false });
      return true;
    }
    const outcome = await this.#cancel(reservation);
    if (outcome.type !== 'answer') return false;
    this.ports.log.info({ reservation: reservation.id, answer: outcome.answer }, 'a hold that had ended was released');
    await this.ports.reservations.postpone(reservation, { isReleaseOwed: false });
    return true;
  }

  #cancel({ chargerId, reservationId }: Reservation): Promise<Outcome> {
    return this.ports.calls.call(chargerId, { type: 'CancelReservation', reservationId });
  }

  /** The connector says Reserved since the hold was made. Connector 0 itself never does. */
  async #saysReserved({ chargerId, connectorId, createdAt }: Reservation): Promise<boolean> {
    if (connectorId === 0) return false;
    const connectors = await this.ports.chargers.connectors([chargerId]);
    const connector = connectors.find((one) => one.connectorId === connectorId);
    return connector?.state === 'RESERVED' && connector.stateAt !== undefined && connector.stateAt >= createdAt;
  }

  /** Doubling, with jitter, so that a thousand chargers that come back at once are not asked at once. */
  #retryAt(attempts: number): Date {
    const pause = Math.min(MAX_RETRY_MS, RETRY_MS * 2 ** Math.min(attempts, 10));
    return addMs(this.ports.clock.now(), pause * (0.5 + Math.random() / 2));
  }
}
