// Stores which node holds a charger's socket, and by which connection; appends an event for each change.
import { present } from '../../common/present.ts';
import type { OcppVersion } from '../../model/charger/charger.ts';
import type { LoginProof } from '../../model/charger/login.ts';
import type { Database } from '../database.ts';
import { statement } from '../statement.ts';
import { CONNECTOR_EVENT } from './connector.repository.ts';

export interface Connection {
  readonly nodeId: number;
  readonly epoch: number;
  /** The node that held the charger's socket until now; absent: none. */
  readonly supersededNode?: number;
}

type ConnectedRow = { epoch: number; supersededNode: number | null };

const statements = {
  connect: statement<ConnectedRow>(
    'charger-connect',
    `
      WITH before AS (
        SELECT id, connected_node FROM charger c
        WHERE id = :chargerId AND removed_at IS NULL AND security_profile <= :profile AND (:passwordHash::text IS NULL OR password_hash = :passwordHash)
          AND (:fingerprint::text IS NULL OR EXISTS (
            SELECT FROM charger_certificate k WHERE k.fingerprint = :fingerprint AND k.charger_id = c.id AND k.revoked_at IS NULL))
        FOR UPDATE
      ), changed AS (
        UPDATE charger c SET connected_node = :nodeId, connection_epoch = connection_epoch + 1, ocpp_version = :version, last_seen_at = :now
        FROM before WHERE c.id = before.id
        RETURNING c.id, c.site_id, c.connection_epoch, before.connected_node AS was
      ), logged AS (${CONNECTOR_EVENT} SELECT :now, 'CONNECTOR', 'CONNECTED', site_id, id, 0, NULL, NULL, '{}' FROM changed)
      SELECT connection_epoch AS epoch, was AS "supersededNode" FROM changed`,
  ),
  // Records the same socket under its node's new id, unless a newer connection owns the charger. If DISCONNECTED was
  // logged in between (connected_node is null), CONNECTED is logged again.
  reclaim: statement<{ epoch: number }>(
    'charger-reclaim',
    `
      WITH before AS (
        SELECT id, connected_node FROM charger WHERE id = :chargerId AND connection_epoch <= :epoch AND removed_at IS NULL FOR UPDATE
      ), changed AS (
        UPDATE charger c SET connected_node = :nodeId, connection_epoch = :epoch + 1
        FROM before WHERE c.id = before.id RETURNING c.id, c.site_id, c.connection_epoch, before.connected_node AS was
      ), logged AS (
        ${CONNECTOR_EVENT} SELECT :now, 'CONNECTOR', 'CONNECTED', site_id, id, 0, NULL, NULL, '{}' FROM changed WHERE was IS NULL
      )
      SELECT connection_epoch AS epoch FROM changed`,
  ),
  disconnect: statement(
    'charger-disconnect',
    `
      WITH changed AS (
        UPDATE charger SET connected_node = NULL, last_seen_at = :now
        WHERE id = :chargerId AND connected_node = :nodeId AND connection_epoch = :epoch RETURNING id, site_id
      ) ${CONNECTOR_EVENT} SELECT :now, 'CONNECTOR', 'DISCONNECTED', site_id, id, 0, NULL, NULL, '{}' FROM changed`,
  ),
  disconnectAll: statement(
    'charger-disconnect-all',
    `
      WITH changed AS (
        UPDATE charger SET connected_node = NULL WHERE connected_node = ANY (:nodeIds::integer[]) RETURNING id, site_id
      ) ${CONNECTOR_EVENT} SELECT :now, 'CONNECTOR', 'DISCONNECTED', site_id, id, 0, NULL, NULL, '{}' FROM changed`,
  ),
  nodeOf: statement<{ node: number | null }>(
    'charger-node',
    'SELECT connected_node AS node FROM charger WHERE id = :chargerId AND removed_at IS NULL',
  ),
  seen: statement(
    'charger-seen',
    `UPDATE charger SET last_seen_at = :now WHERE id = :chargerId AND (last_seen_at IS NULL OR last_seen_at < :now::timestamptz - interval '30 seconds')`,
  ),
  clockSkew: statement(
    'charger-clock-skew',
    'UPDATE charger SET clock_skew_seconds = :seconds WHERE id = :chargerId AND clock_skew_seconds IS DISTINCT FROM :seconds',
  ),
};

export function chargerConnections(database: Database) {
  return {
    /**
     * Records a connection, which as the newest owns the charger. Undefined if the charger was removed in between, or
     * if the credentials that admitted it are no longer valid.
     */
    async connect(
      chargerId: string,
      nodeId: number,
      version: OcppVersion,
      { profile, passwordHash, fingerprint }: LoginProof,
      now: Date,
    ): Promise<Connection | undefined> {
      const [row] = await database.query(statements.connect, {
        chargerId,
        nodeId,
        version,
        now,
        profile,
        passwordHash,
        fingerprint,
      });
      return row && { nodeId, epoch: row.epoch, ...present({ supersededNode: row.supersededNode }) };
    },

    /**
     * Records a connection under the node's new id. Undefined if a newer connection owns the charger, or if
     * the charger was removed.
     */
    async reclaim(
      chargerId: string,
      nodeId: number,
      { epoch }: Connection,
      now: Date,
    ): Promise<Connection | undefined> {
      const [row] = await database.query(statements.reclaim, { chargerId, nodeId, epoch, now });
      return row && { nodeId, epoch: row.epoch };
    },

    async recordClockSkew(chargerId: string, seconds: number): Promise<void> {
      await database.query(statements.clockSkew, { chargerId, seconds });
    },

    /** Does nothing if a newer connection owns the charger. */
    async disconnect(chargerId: string, connection: Connection, now: Date): Promise<void> {
      await database.query(statements.disconnect, {
        chargerId,
        nodeId: connection.nodeId,
        epoch: connection.epoch,
        now,
      });
    },

    /** Marks the chargers of dead nodes as disconnected. */
    async disconnectAll(nodeIds: readonly number[], now: Date): Promise<void> {
      await database.query(statements.disconnectAll, { nodeIds: [...nodeIds], now });
    },

    async nodeOf(chargerId: string): Promise<number | undefined> {
      const [row] = await database.query(statements.nodeOf, { chargerId });
      return row?.node ?? undefined;
    },

    async recordSeen(chargerId: string, now: Date): Promise<void> {
      await database.query(statements.seen, { chargerId, now });
    },
  };
}
