// Stores chargers and their connectors in PostgreSQL.
import { EntitySchema } from 'typeorm';
import { present } from '../../common/present.ts';
import type { BootReport, Capabilities, Charger, OcppVersion, SecurityProfile } from '../../model/charger/charger.ts';
import { type Connector, type ConnectorState, combinePlugs, type StatusReport } from '../../model/charger/connector.ts';
import type { LoginProof } from '../../model/charger/login.ts';
import { type Start, startAt } from '../../model/events/cursor.ts';
import type { Interest } from '../../model/events/interest.ts';
import type { Database } from '../database.ts';
import { growGuard, guardKeys } from '../reservations/hold.repository.ts';
import { live } from '../reservations/reservation-row.repository.ts';
import { statement } from '../statement.ts';

interface ChargerRow {
  id: string;
  siteId: string;
  name: string;
  passwordHash: string;
  securityProfile: SecurityProfile;
  ocppVersion: OcppVersion | null;
  vendor: string | null;
  model: string | null;
  serialNumber: string | null;
  firmwareVersion: string | null;
  supportsReservation: boolean | null;
  supportsConnectorZero: boolean | null;
  connectedNode: number | null;
  bootedAt: Date | null;
  lastSeenAt: Date | null;
  clockSkewSeconds: number | null;
  removedAt: Date | null;
}

export const chargerSchema = new EntitySchema<ChargerRow>({
  name: 'charger',
  columns: {
    id: { type: 'text', primary: true },
    siteId: { type: 'text', name: 'site_id' },
    name: { type: 'text' },
    passwordHash: { type: 'text', name: 'password_hash', select: false },
    securityProfile: { type: 'int', name: 'security_profile' },
    ocppVersion: { type: 'text', name: 'ocpp_version', nullable: true },
    vendor: { type: 'text', nullable: true },
    model: { type: 'text', nullable: true },
    serialNumber: { type: 'text', name: 'serial_number', nullable: true },
    firmwareVersion: { type: 'text', name: 'firmware_version', nullable: true },
    supportsReservation: { type: 'boolean', name: 'supports_reservation', nullable: true },
    supportsConnectorZero: { type: 'boolean', name: 'supports_connector_zero', nullable: true },
    connectedNode: { type: 'int', name: 'connected_node', nullable: true },
    bootedAt: { type: 'timestamptz', name: 'booted_at', nullable: true },
    lastSeenAt: { type: 'timestamptz', name: 'last_seen_at', nullable: true },
    clockSkewSeconds: { type: 'int', name: 'clock_skew_seconds', nullable: true },
    removedAt: { type: 'timestamptz', name: 'removed_at', nullable: true },
  },
});

interface ConnectorRow {
  chargerId: string;
  connectorId: number;
  state: ConnectorState;
  errorCode: string | null;
  plugTypes: string[];
  stateAt: Date | null;
}

export const connectorSchema = new EntitySchema<ConnectorRow>({
  name: 'connector',
  columns: {
    chargerId: { type: 'text', name: 'charger_id', primary: true },
    connectorId: { type: 'int', name: 'connector_id', primary: true },
    state: { type: 'text' },
    errorCode: { type: 'text', name: 'error_code', nullable: true },
    plugTypes: { type: 'text', name: 'plug_types', array: true },
    stateAt: { type: 'timestamptz', name: 'state_at', nullable: true },
  },
});

const toCharger = ({
  id,
  siteId,
  name,
  connectedNode,
  removedAt: _,
  passwordHash: __,
  securityProfile,
  ...row
}: ChargerRow): Charger => ({
  id,
  siteId,
  name,
  securityProfile,
  ...present(row),
  isConnected: connectedNode !== null,
});

const toConnector = ({ errorCode, stateAt, ...row }: ConnectorRow): Connector => ({
  ...row,
  ...present({ errorCode, stateAt }),
});

export interface SavedCharger {
  readonly id: string;
  readonly siteId: string;
  readonly name: string;
  /** Absent: the password stays as it is. */
  readonly passwordHash?: string;
  /** Raises the stored profile, never lowers it. */
  readonly securityProfile: SecurityProfile;
  readonly connectors: readonly { readonly connectorId: number; readonly plugTypes: readonly string[] }[];
}

/** The state that the charger last reported for a connector, and when the charger last booted. */
export interface LastReport {
  readonly version?: OcppVersion;
  readonly bootedAt?: Date;
  readonly state: ConnectorState;
  readonly stateAt?: Date;
}

/** A connector as the charger last reported it, and whether its charger is connected. */
export interface ConnectorNow extends Connector {
  readonly siteId: string;
  readonly isConnected: boolean;
}

export interface Credentials {
  readonly passwordHash: string;
  /** Hashes of passwords that were sent to the charger, and with which it has not logged in yet. */
  readonly offeredHashes: readonly string[];
  readonly securityProfile: SecurityProfile;
}

export interface Connection {
  readonly nodeId: number;
  readonly epoch: number;
  /** The node that held the charger's socket until now; absent: none. */
  readonly supersededNode?: number;
}

const CONNECTOR_EVENT = `INSERT INTO event (at, kind, type, site_id, charger_id, connector_id, from_status, to_status, snapshot)`;

type SiteOfRow = { siteId: string; securityProfile: SecurityProfile };
type ConnectedRow = { epoch: number; supersededNode: number | null };
type LockedConnectorRow = {
  siteId: string;
  state: ConnectorState | null;
  plugStates: Record<string, ConnectorState> | null;
};
type LastReportRow = { [K in keyof LastReport]-?: LastReport[K] | null };
type ConnectorNowRow = { snapshot: string } & (
  | (ConnectorRow & { siteId: string; isConnected: boolean })
  | { chargerId: null }
);

const statements = {
  credentials: statement<Credentials>(
    'charger-credentials',
    `
      SELECT password_hash AS "passwordHash", offered_hashes AS "offeredHashes", security_profile AS "securityProfile"
      FROM charger WHERE id = :chargerId AND removed_at IS NULL`,
  ),
  // The charger may have accepted an earlier password whose answer was lost, so the last three offers stay.
  offerPassword: statement(
    'charger-offer-password',
    'UPDATE charger SET offered_hashes = (:hash::text || offered_hashes)[1:3] WHERE id = :chargerId',
  ),
  withdrawPassword: statement(
    'charger-withdraw-password',
    'UPDATE charger SET offered_hashes = array_remove(offered_hashes, :hash) WHERE id = :chargerId',
  ),
  adoptPassword: statement(
    'charger-adopt-password',
    `UPDATE charger SET password_hash = :hash, offered_hashes = '{}' WHERE id = :chargerId AND :hash = ANY (offered_hashes)`,
  ),
  // A new or removed charger needs a password. Concurrent saves never lower the profile, and the row is updated only
  // while the charger still belongs to site `:before`, for which the caller's rights were checked (null: there was no
  // charger).
  save: statement(
    'charger-save',
    `
      INSERT INTO charger AS c (id, site_id, name, password_hash, security_profile)
      SELECT :id, :siteId, :name, coalesce(:passwordHash, ''), :securityProfile
      WHERE :passwordHash::text IS NOT NULL OR EXISTS (SELECT FROM charger WHERE id = :id AND removed_at IS NULL)
      ON CONFLICT (id) DO UPDATE SET site_id = :siteId, name = :name, removed_at = NULL,
        password_hash = coalesce(:passwordHash, c.password_hash), offered_hashes = CASE WHEN :passwordHash IS NULL THEN c.offered_hashes ELSE '{}' END,
        security_profile = greatest(c.security_profile, :securityProfile)
        WHERE (:passwordHash IS NOT NULL OR c.removed_at IS NULL) AND c.site_id = :before
      RETURNING id`,
  ),
  saveConnector: statement(
    'connector-save',
    `
      INSERT INTO connector (charger_id, connector_id, plug_types, state) VALUES (:id, :connectorId, :plugTypes, 'UNKNOWN')
      ON CONFLICT (charger_id, connector_id) DO UPDATE SET plug_types = excluded.plug_types`,
  ),
  siteOf: statement<SiteOfRow>(
    'charger-site',
    'SELECT site_id AS "siteId", security_profile AS "securityProfile" FROM charger WHERE id = :chargerId',
  ),
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
  boot: statement(
    'charger-boot',
    `
      UPDATE charger SET supports_reservation = NULL, supports_connector_zero = NULL, vendor = :vendor, model = :model, serial_number = :serialNumber, firmware_version = :firmwareVersion, booted_at = :now, last_seen_at = :now
      WHERE id = :chargerId`,
  ),
  capabilities: statement(
    'charger-capabilities',
    `
      UPDATE charger SET supports_reservation = coalesce(:supportsReservation, supports_reservation),
        supports_connector_zero = coalesce(:supportsConnectorZero, supports_connector_zero) WHERE id = :chargerId`,
  ),
  clockSkew: statement(
    'charger-clock-skew',
    'UPDATE charger SET clock_skew_seconds = :seconds WHERE id = :chargerId AND clock_skew_seconds IS DISTINCT FROM :seconds',
  ),
  remove: statement(
    'charger-remove',
    `
      WITH removed AS (
        UPDATE charger SET removed_at = :now, offered_hashes = '{}'
        WHERE id = :chargerId AND NOT EXISTS (SELECT FROM reservation r WHERE r.charger_id = :chargerId AND r.expiry_date > :now
          AND r.status IN (${live}))
        RETURNING id
      ), revoked AS (
        UPDATE charger_certificate k SET revoked_at = :now, revoked_by = :by FROM removed
        WHERE k.charger_id = removed.id AND k.revoked_at IS NULL
      ) SELECT id FROM removed`,
  ),
  // Locks the charger's row before its connector is written, so that reports of one charger are stored one at a time.
  lockConnector: statement<LockedConnectorRow>(
    'connector-lock',
    `
      SELECT c.site_id AS "siteId", k.state, k.plug_states AS "plugStates"
      FROM charger c LEFT JOIN connector k ON k.charger_id = c.id AND k.connector_id = :connectorId WHERE c.id = :chargerId FOR UPDATE OF c`,
  ),
  saveState: statement(
    'connector-save-state',
    `
      WITH saved AS (
        INSERT INTO connector (charger_id, connector_id, state, error_code, plug_states, state_at) VALUES (:chargerId, :connectorId, :state, :errorCode, :plugStates, :now)
        ON CONFLICT (charger_id, connector_id) DO UPDATE SET state = excluded.state, error_code = excluded.error_code,
          plug_states = excluded.plug_states, state_at = excluded.state_at
      ) ${CONNECTOR_EVENT}
      SELECT :now, 'CONNECTOR', 'STATE_CHANGED', :siteId, :chargerId, :connectorId, :was, :state, jsonb_strip_nulls(jsonb_build_object('errorCode', :errorCode::text))
      WHERE :isChanged`,
  ),
  lastReport: statement<LastReportRow>(
    'charger-last-report',
    `
      SELECT c.ocpp_version AS version, c.booted_at AS "bootedAt", coalesce(k.state, 'UNKNOWN') AS state, k.state_at AS "stateAt"
      FROM charger c LEFT JOIN connector k ON k.charger_id = c.id AND k.connector_id = :connectorId WHERE c.id = :chargerId`,
  ),
  // One statement, so that connectors and snapshot are of one instant. The LEFT JOIN returns the snapshot even if no
  // connector matches.
  connectorsNow: statement<ConnectorNowRow>(
    'connectors-now',
    `
      SELECT pg_current_snapshot()::text AS snapshot, k.*
      FROM (VALUES (1)) one LEFT JOIN LATERAL (
        SELECT c.site_id AS "siteId", c.connected_node IS NOT NULL AS "isConnected", k.charger_id AS "chargerId",
               k.connector_id AS "connectorId", k.state, k.error_code AS "errorCode", k.plug_types AS "plugTypes", k.state_at AS "stateAt"
        FROM charger c JOIN connector k ON k.charger_id = c.id
        WHERE c.removed_at IS NULL AND (:siteIds::text[] IS NULL OR c.site_id = ANY (:siteIds)) AND (:chargerId::text IS NULL OR c.id = :chargerId)
          AND (:connectorId::integer IS NULL OR k.connector_id = :connectorId)
        ORDER BY k.charger_id, k.connector_id LIMIT :limit
      ) k ON true`,
  ),
  connectors: statement<ConnectorRow>(
    'connectors-of',
    `
      SELECT charger_id AS "chargerId", connector_id AS "connectorId", state, error_code AS "errorCode",
             plug_types AS "plugTypes", state_at AS "stateAt"
      FROM connector WHERE charger_id = ANY(:chargerIds::text[]) ORDER BY charger_id, connector_id`,
  ),
};

export type ChargerRepository = ReturnType<typeof chargerRepository>;

export function chargerRepository(database: Database) {
  const chargers = database.source.getRepository(chargerSchema);
  return {
    async credentials(chargerId: string): Promise<Credentials | undefined> {
      const [row] = await database.query(statements.credentials, { chargerId });
      return row;
    },

    /** The site and the profile of a charger, even of a removed one. */
    async belonging(
      chargerId: string,
    ): Promise<{ readonly siteId: string; readonly securityProfile: SecurityProfile } | undefined> {
      const [row] = await database.query(statements.siteOf, { chargerId });
      return row;
    },

    /** From now on the charger may log in with this hash as well. */
    async offerPassword(chargerId: string, hash: string): Promise<void> {
      await database.query(statements.offerPassword, { chargerId, hash });
    },

    async withdrawPassword(chargerId: string, hash: string): Promise<void> {
      await database.query(statements.withdrawPassword, { chargerId, hash });
    },

    /** Makes an offered hash the charger's only one. */
    async adoptPassword(chargerId: string, hash: string): Promise<void> {
      await database.query(statements.adoptPassword, { chargerId, hash });
    },

    /**
     * Records a connection, which as the newest owns the charger. Undefined if the charger was removed in between, or
     * if what admitted it is no longer valid.
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
     * Records a connection under the node's new id. Undefined if a newer connection owns the charger, or it was
     * removed.
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

    async recordBoot(chargerId: string, boot: BootReport, now: Date): Promise<void> {
      const { vendor, model, serialNumber, firmwareVersion } = boot;
      await database.query(statements.boot, { chargerId, vendor, model, serialNumber, firmwareVersion, now });
    },

    async recordCapabilities(chargerId: string, told: Capabilities): Promise<void> {
      const { supportsReservation, supportsConnectorZero } = told;
      await database.query(statements.capabilities, { chargerId, supportsReservation, supportsConnectorZero });
    },

    /**
     * Stores the report, and an event if the connector's state has changed. Returns the connector's state; undefined if
     * there is no such charger.
     */
    recordStatus(chargerId: string, report: StatusReport, now: Date): Promise<ConnectorState | undefined> {
      const { connectorId, plug, errorCode } = report;
      return database.transaction(async (sql) => {
        const [before] = await sql.query(statements.lockConnector, { chargerId, connectorId });
        if (!before) return undefined;
        const plugStates = plug === undefined ? {} : { ...before.plugStates, [plug]: report.state };
        const state = plug === undefined ? report.state : combinePlugs(Object.values(plugStates));
        await sql.query(statements.saveState, {
          chargerId,
          connectorId,
          state,
          errorCode,
          plugStates: JSON.stringify(plugStates),
          now,
          siteId: before.siteId,
          was: before.state,
          isChanged: before.state !== state,
        });
        return state;
      });
    },

    async lastReport(chargerId: string, connectorId: number): Promise<LastReport> {
      const [row] = await database.query(statements.lastReport, { chargerId, connectorId });
      return { state: 'UNKNOWN', ...present(row ?? {}) };
    },

    async connectors(chargerIds: readonly string[]): Promise<Connector[]> {
      return (await database.query(statements.connectors, { chargerIds: [...chargerIds] })).map(toConnector);
    },

    /**
     * At most `limit` of the connectors that match the interest, and the position in the event log to which their state
     * belongs.
     */
    async connectorsOf(interest: Interest, limit: number): Promise<{ start: Start; connectors: ConnectorNow[] }> {
      const { siteIds, chargerId, connectorId } = interest;
      const rows = await database.query(statements.connectorsNow, { siteIds, chargerId, connectorId, limit });
      const start = startAt(rows[0]?.snapshot);
      const connectors = rows.flatMap(({ snapshot: _, ...row }) => {
        if (row.chargerId === null) return [];
        const { siteId, isConnected, ...connector } = row;
        return [{ ...toConnector(connector), siteId, isConnected }];
      });
      return { start, connectors };
    },

    async byIds(ids: readonly string[]): Promise<Charger[]> {
      const query = chargers.createQueryBuilder('c').where('c.id = ANY(:ids) AND c.removedAt IS NULL', { ids });
      return (await query.getMany()).map(toCharger);
    },

    /** Chargers in the order of their ids; `after` is the last id of the page before. */
    async page(filter: { siteIds?: readonly string[] }, first: number, after?: string): Promise<Charger[]> {
      const query = chargers.createQueryBuilder('c').where('c.removedAt IS NULL');
      if (filter.siteIds) query.andWhere('c.siteId = ANY(:siteIds)', { siteIds: filter.siteIds });
      if (after !== undefined) query.andWhere('c.id > :after', { after });
      return (await query.orderBy('c.id').limit(first).getMany()).map(toCharger);
    },

    /**
     * Creates or changes a charger; a removed one is restored. False if it needs a password and none is given, or if it
     * no longer belongs to the site `before` (absent: there was no charger).
     */
    save(
      { id, siteId, name, passwordHash, securityProfile, connectors }: SavedCharger,
      before?: string,
    ): Promise<boolean> {
      return database.transaction(async (sql) => {
        const saved = await sql.query(statements.save, { id, siteId, name, passwordHash, securityProfile, before });
        if (saved.length === 0) return false;
        for (const { connectorId, plugTypes } of connectors)
          await sql.query(statements.saveConnector, { id, connectorId, plugTypes: [...plugTypes] });
        return true;
      });
    },

    /**
     * Marks the charger as removed: it can no longer connect or be reserved, and its history stays. False while it has
     * live reservations.
     */
    remove(chargerId: string, now: Date, by: string): Promise<boolean> {
      return database.transaction(async (sql) => {
        // Until the commit no hold can be stored for this charger; one that was decided before fails then, because its
        // guard has changed.
        await growGuard(sql, guardKeys.charger(chargerId));
        return (await sql.query(statements.remove, { chargerId, now, by })).length > 0;
      });
    },
  };
}
