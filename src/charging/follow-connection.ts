// Follows the connections of chargers: which node holds a socket, when its charger was last seen or booted, and which
// reservations become due when it returns.

import { addMs } from '../common/clock.ts';
import type { BootReport, OcppVersion } from '../model/charger/charger.ts';
import type { LoginProof } from '../model/charger/login.ts';
import { DRAIN_MS } from '../model/reservation/timing.ts';
import type { Connection } from '../storage/chargers/connection.repository.ts';
import type { ChargingPorts } from './ports.ts';

/** Undefined if, while the charger connected, it was removed, or its password or certificate became invalid. */
export async function connectCharger(
  ports: ChargingPorts,
  chargerId: string,
  version: OcppVersion,
  proof: LoginProof,
): Promise<Connection | undefined> {
  const now = ports.clock.now();
  const connection = await ports.chargers.connect(chargerId, ports.nodeId(), version, proof, now);
  if (!connection) return undefined;
  const { supersededNode, nodeId, epoch } = connection;
  if (supersededNode !== undefined && supersededNode !== nodeId) ports.supersede(supersededNode, chargerId, epoch);
  const dueAt = addMs(now, DRAIN_MS);
  try {
    await ports.reservations.dueOnConnect(chargerId, dueAt, now);
  } catch (error) {
    // The charger is refused and will connect again.
    await ports.chargers.disconnect(chargerId, connection, now).catch(() => {});
    throw error;
  }
  ports.announce();
  ports.wakeSettler(dueAt);
  return connection;
}

/**
 * Records a socket that this node still holds under the node's new id; undefined if a newer connection owns the
 * charger, or it was removed.
 */
export async function reclaimCharger(
  ports: ChargingPorts,
  chargerId: string,
  connection: Connection,
): Promise<Connection | undefined> {
  const { chargers, nodeId, clock, announce } = ports;

  const reclaimed = await chargers.reclaim(chargerId, nodeId(), connection, clock.now());
  announce();
  return reclaimed;
}

/** A charger that booted may have lost its holds: each is verified after DRAIN_MS, the time for its offline queue. */
export async function recordBoot(ports: ChargingPorts, chargerId: string, boot: BootReport): Promise<void> {
  const { chargers, reservations, wakeSettler, clock } = ports;

  const now = clock.now();
  await chargers.recordBoot(chargerId, boot, now);
  const dueAt = addMs(now, DRAIN_MS);
  await reservations.dueOnBoot(chargerId, dueAt);
  wakeSettler(dueAt);
}

/** Does not wait for the database: a heartbeat is answered even if it cannot be stored. */
export async function recordSeen(ports: ChargingPorts, chargerId: string): Promise<void> {
  const { chargers, clock, log } = ports;

  chargers
    .recordSeen(chargerId, clock.now())
    .catch((error) => log.debug({ error, chargerId }, 'a heartbeat was not stored'));
}

const LARGE_SKEW_SECONDS = 60;

/**
 * Stores by how many seconds the charger's clock is ahead; `seconds` comes from a message that did not wait in its
 * offline queue.
 */
export async function recordClockSkew(ports: ChargingPorts, chargerId: string, seconds: number): Promise<void> {
  const { chargers, log } = ports;

  if (Math.abs(seconds) > LARGE_SKEW_SECONDS) log.warn({ chargerId, seconds }, 'the clock of a charger is off');
  await chargers.recordClockSkew(chargerId, seconds);
}

export async function disconnectCharger(
  ports: ChargingPorts,
  chargerId: string,
  connection: Connection,
): Promise<void> {
  const { chargers, announce, clock } = ports;

  await chargers.disconnect(chargerId, connection, clock.now());
  announce();
}
