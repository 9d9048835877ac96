// Stores the states of connectors as chargers report them, and appends an event for each change.
import { EntitySchema } from 'typeorm';
import { present } from '../../common/present.ts';
import type { OcppVersion } from '../../model/charger/charger.ts';
import { type Connector, type ConnectorState, combinePlugs, type StatusReport } from '../../model/charger/connector.ts';
import { type Start, startAt } from '../../model/events/cursor.ts';
import type { Interest } from '../../model/events/interest.ts';
import type { Database } from '../database.ts';
import { statement } from '../statement.ts';

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

const toConnector = ({ errorCode, stateAt, ...row }: ConnectorRow): Connector => ({
  ...row,
  ...present({ errorCode, stateAt }),
});

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

/** For SQL: an event about a charger's connection or connector. */
export const CONNECTOR_EVENT = `INSERT INTO event (at, kind, type, site_id, charger_id, connector_id, from_status, to_status, snapshot)`;

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

export function connectorStates(database: Database) {
  return {
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
  };
}
