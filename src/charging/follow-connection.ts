// A charger's socket opens and closes: which node holds it, and what waits for its return.
import { addMs, type Clock } from '../common/clock.ts';
import type { Log } from '../common/log.ts';
import type { BootReport, OcppVersion } from '../model/charger/charger.ts';
import type { Admission } from '../model/charger/login.ts';
import type { ChargerRepository, Connection } from '../storage/chargers/charger.repository.ts';
import type { ReservationRepository } from '../storage/reservations/reservation.repository.ts';

export interface ConnectionPorts {
  readonly chargers: ChargerRepository;
  readonly reservations: ReservationRepository;
  readonly nodeId: () => number;
  readonly announce: () => void;
  readonly wakeSettler: (at: Date) => void;
  /** The older socket of the same charger at another node must close. */
  readonly supersede: (nodeId: number, chargerId: string, epoch: number) => void;
  readonly clock: Clock;
  readonly log: Log;
}

/** A charger that comes back first empties its offline queue: a start in it may have used what is unsettled. */
export const DRAIN_MS = 2000;

export type ConnectCharger = (
  chargerId: string,
  version: OcppVersion,
  admission: Admission,
) => Promise<Connection | undefined>;

/** Undefined where the charger was removed, or is not let in by that any more, while it connected. */
export const connectCharger =
  (ports: ConnectionPorts): ConnectCharger =>
  async (chargerId, version, admission) => {
    const now = ports.clock.now();
    const connection = await ports.chargers.connect(chargerId, ports.nodeId(), version, admission, now);
    if (!connection) return undefined;
    const { supersededNode, nodeId, epoch } = connection;
    if (supersededNode !== undefined && supersededNode !== nodeId) ports.supersede(supersededNode, chargerId, epoch);
    const dueAt = addMs(now, DRAIN_MS);
    try {
      await ports.reservations.dueOnConnect(chargerId, dueAt, now);
    } catch (error) {
      await ports.chargers.disconnect(chargerId, connection, now).catch(() => {}); // It is refused, and comes again.
      throw error;
    }
    ports.announce();
    ports.wakeSettler(dueAt);
    return connection;
  };

export type ReclaimCharger = (chargerId: string, connection: Connection) => Promise<Connection | undefined>;

/** This node has a new id, and holds the charger's socket still; undefined where a newer connection has the charger. */
export const reclaimCharger =
  ({ chargers, nodeId, clock, announce }: ConnectionPorts): ReclaimCharger =>
  async (chargerId, connection) => {
    const reclaimed = await chargers.reclaim(chargerId, nodeId(), connection, clock.now());
    announce();
    return reclaimed;
  };

/** It may have lost what it held: each hold is verified once the charger's offline queue is empty. */
export const recordBoot =
  ({ chargers, reservations, wakeSettler, clock }: ConnectionPorts) =>
  async (chargerId: string, boot: BootReport): Promise<void> => {
    const now = clock.now();
    await chargers.recordBoot(chargerId, boot, now);
    const dueAt = addMs(now, DRAIN_MS);
    await reservations.dueOnBoot(chargerId, dueAt);
    wakeSettler(dueAt);
  };

/** Its heartbeat is answered whether or not it can be noted. */
export const recordSeen =
  ({ chargers, clock, log }: ConnectionPorts) =>
  async (chargerId: string): Promise<void> => {
    chargers
      .recordSeen(chargerId, clock.now())
      .catch((error) => log.debug({ error, chargerId }, 'a heartbeat was not noted'));
  };

const LARGE_SKEW_SECONDS = 60;

/** How far the charger's clock is off, from a message that did not wait in its offline queue. */
export const recordClockSkew =
  ({ chargers, log }: ConnectionPorts) =>
  async (chargerId: string, seconds: number): Promise<void> => {
    if (Math.abs(seconds) > LARGE_SKEW_SECONDS) log.warn({ chargerId, seconds }, 'the clock of a charger is off');
    await chargers.recordClockSkew(chargerId, seconds);
  };

export const disconnectCharger =
  ({ chargers, announce, clock }: ConnectionPorts) =>
  async (chargerId: string, connection: Connection): Promise<void> => {
    await chargers.disconnect(chargerId, connection, clock.now());
    announce();
  };
