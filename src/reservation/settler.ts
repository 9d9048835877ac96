// Does what must happen later, from rows alone, so that any node may die at any step: expiry, outcomes that were never
// learned, cancels that were not answered, holds a charger keeps although they ended here.
// One timer sleeps until the next due time; a row is claimed before it is worked on, so that two nodes never act on it at once.
import type { ChargerRepository } from '../charger/charger.repository.ts';
import type { ChargerCalls, Outcome } from '../charger/charger-calls.ts';
import { addMs, type Clock, MINUTE_MS } from '../common/clock.ts';
import type { Log } from '../common/log.ts';
import type { DueReservation, ReservationRepository } from './reservation.repository.ts';
import { isHolding, type Reservation } from './reservation.ts';
import { reserveCommand } from './reserve-command.ts';
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
/** No charger keeps a reservation for so long after its expiry date. */
const GIVE_UP_RELEASE_MS = 15 * MINUTE_MS;

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

  async #settle(row: DueReservation): Promise<void> {
    const { log, reservations } = this.ports;
    const { reservation, attempts, isReleaseOwed } = row;
    try {
      const isSettled = isReleaseOwed ? await this.#release(reservation) : await this.#settleHold(reservation);
      const dueAt = this.#retryAt(attempts);
      await reservations.postpone(row, isSettled ? { isReleaseOwed: false } : { dueAt, isReleaseOwed });
      if (!isSettled) this.wake(dueAt);
    } catch (error) {
      log.error({ error, reservation: reservation.id }, 'a reservation could not be settled; it stays due');
    }
  }

  /** Tells whether nothing more is to be done for the row as it was claimed; one that has changed is not its business. */
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
        return true;
    }
  }

  /**
   * The same id again: a charger that has it replaces it with itself. One that refuses, or fails, is told to let go,
   * which proves that it is gone. Meanwhile the first answer may have come after all: then it stands, and nothing is cancelled.
   */
  async #settleUnknown(reservation: Reservation): Promise<boolean> {
    const { settleReserve, transition, reservations, calls } = this.ports;
    if (await this.#saysReserved(reservation)) {
      return (await transition(reservation, { type: 'accepted' }, 'CHARGER')).isChanged;
    }
    const outcome = await calls.call(reservation.chargerId, reserveCommand(reservation));
    const isRefused = outcome.type === 'call-error' || (outcome.type === 'answer' && outcome.answer !== 'ACCEPTED');
    if (!isRefused) return (await settleReserve(reservation, outcome)).isChanged;
    const current = await reservations.byId(reservation.id);
    if (current?.version !== reservation.version) return true;
    if (await this.#saysReserved(reservation)) {
      return (await transition(reservation, { type: 'accepted' }, 'CHARGER')).isChanged;
    }
    const cancelled = await this.#cancel(reservation);
    if (cancelled.type !== 'answer') return false;
    const { reservation: settled, isChanged } = await settleReserve(reservation, outcome);
    if (isChanged || settled.status !== 'ACCEPTED') return true;
    // The late Accepted came while the cancel was on its way: the charger has let go of what it had accepted.
    await transition(settled, { type: 'removed', reason: 'CHARGER_LOST' }, 'SERVER');
    return true;
  }

  /** It ended here; the charger may not know. */
  async #release(reservation: Reservation): Promise<boolean> {
    const { reservations, clock, log } = this.ports;
    const now = clock.now();
    const { chargerId, reservationId, connectorId, expiryDate, id } = reservation;
    const holder = await reservations.byWireId(chargerId, reservationId);
    if (holder && holder.id !== id && isHolding(holder.status)) return true; // The id names a newer hold now.
    if (addMs(expiryDate, GIVE_UP_RELEASE_MS) <= now) return true;
    // After its expiry a charger has let go by itself, unless the connector still says otherwise.
    if (expiryDate <= now && connectorId > 0 && !(await this.#saysReserved(reservation))) return true;
    const outcome = await this.#cancel(reservation);
    if (outcome.type !== 'answer') return false;
    log.info({ reservation: id, answer: outcome.answer }, 'a hold that had ended was released');
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
