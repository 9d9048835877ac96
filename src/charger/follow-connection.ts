// A charger's socket opens and closes: which node holds it, and what waits for its return.
import { addMs, type Clock } from '../common/clock.ts';
import type { ReservationRepository } from '../reservation/reservation.repository.ts';
import type { ChargerRepository, Connection } from './charger.repository.ts';
import type { OcppVersion } from './charger.ts';

export interface ConnectionPorts {
  readonly chargers: ChargerRepository;
  readonly reservations: ReservationRepository;
  readonly nodeId: () => number;
  readonly announce: () => void;
  readonly wakeSettler: (at: Date) => void;
  /** The older socket of the same charger at another node must close. */
  readonly supersede: (nodeId: number, chargerId: string) => void;
  readonly clock: Clock;
}

/** A charger that comes back first empties its offline queue: a start in it may have used what is unsettled. */
const DRAIN_MS = 2000;

export type ConnectCharger = (chargerId: string, version: OcppVersion) => Promise<Connection | undefined>;

/** Undefined where the charger was removed while it connected. */
export const connectCharger =
  (ports: ConnectionPorts): ConnectCharger =>
  async (chargerId, version) => {
    const now = ports.clock.now();
    const connection = await ports.chargers.connect(chargerId, ports.nodeId(), version, now);
    if (!connection) return undefined;
    const { supersededNode } = connection;
    if (supersededNode !== undefined && supersededNode !== connection.nodeId)
      ports.supersede(supersededNode, chargerId);
    const dueAt = addMs(now, DRAIN_MS);
    await ports.reservations.dueOnConnect(chargerId, dueAt, now);
    ports.announce();
    ports.wakeSettler(dueAt);
    return connection;
  };

export const disconnectCharger =
  ({ chargers, announce, clock }: ConnectionPorts) =>
  async (chargerId: string, connection: Connection): Promise<void> => {
    await chargers.disconnect(chargerId, connection, clock.now());
    announce();
  };
