// Stores transactions in PostgreSQL. A charger may report a transaction twice, late or out of order; all reports go to
// one row.
import { randomUUID } from 'node:crypto';
import { present } from '../../common/present.ts';
import type { TokenType } from '../../model/charger/id-tag.ts';
import type { Transaction } from '../../model/charger/transaction.ts';
import type { Database, Statement } from '../database.ts';

type Row = { [K in keyof Transaction]-?: Transaction[K] | null };

const aliased = `t.id, t.charger_id AS "chargerId", t.connector_id AS "connectorId", t.wire_id AS "wireId",
  t.id_tag AS "idTag", t.started_at AS "startedAt", t.stopped_at AS "stoppedAt", t.is_accepted AS "isAccepted"`;

const statements = {
  // A repeated start with another message id finds the row of the first.
  start: {
    name: 'transaction-start',
    text: `
      INSERT INTO transaction AS t (id, charger_id, connector_id, wire_id, id_tag, meter_start, started_at, is_accepted)
      VALUES ($1, $2, $3, nextval('transaction_wire_id')::text, $4, $5, $6, $7)
      ON CONFLICT (charger_id, connector_id, lower(id_tag), started_at, meter_start) WHERE meter_start IS NOT NULL
      DO UPDATE SET meter_start = excluded.meter_start
      RETURNING ${aliased}`,
  },
  report: {
    name: 'transaction-report',
    text: `
      INSERT INTO transaction AS t (id, charger_id, connector_id, wire_id, id_tag, token_type, started_at, stopped_at, is_accepted)
      VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)
      ON CONFLICT (charger_id, wire_id) DO UPDATE SET
        connector_id = coalesce(t.connector_id, excluded.connector_id),
        id_tag = coalesce(t.id_tag, excluded.id_tag),
        token_type = coalesce(t.token_type, excluded.token_type),
        started_at = least(t.started_at, excluded.started_at),
        stopped_at = coalesce(t.stopped_at, excluded.stopped_at),
        is_accepted = CASE WHEN t.is_accepted THEN true ELSE coalesce(excluded.is_accepted, t.is_accepted) END
      RETURNING ${aliased}`,
  },
  stop: {
    name: 'transaction-stop',
    text: 'UPDATE transaction SET stopped_at = $3 WHERE charger_id = $1 AND wire_id = $2 AND stopped_at IS NULL',
  },
  byWireId: {
    name: 'transaction-by-wire-id',
    text: `SELECT ${aliased} FROM transaction t WHERE t.charger_id = $1 AND t.wire_id = $2`,
  },
  // Only the latest: an older one without an end is one whose end was never reported.
  running: {
    name: 'transaction-running',
    text: `
      SELECT ${aliased}, EXISTS (SELECT FROM reservation r WHERE r.transaction_id = t.id) AS "hasUsed"
      FROM transaction t WHERE t.charger_id = $1 AND t.connector_id = $2 AND t.stopped_at IS NULL
      ORDER BY t.started_at DESC LIMIT 1`,
  },
} as const satisfies Record<string, Statement>;

export interface Start {
  readonly chargerId: string;
  readonly connectorId: number;
  readonly idTag: string;
  readonly meterStart: number;
  readonly startedAt: Date;
  readonly isAccepted: boolean;
}

export interface Report {
  readonly chargerId: string;
  readonly wireId: string;
  readonly connectorId?: number;
  readonly idTag?: string;
  readonly tokenType?: TokenType;
  readonly at: Date;
  readonly isEnd: boolean;
  readonly isAccepted?: boolean;
}

export type TransactionRepository = ReturnType<typeof transactionRepository>;

export function transactionRepository(database: Database) {
  const one = async (statement: Statement, values: readonly unknown[]): Promise<Transaction | undefined> => {
    const [row] = await database.query<Row>(statement, values);
    return row && (present(row) as Transaction);
  };
  const stored = (transaction: Transaction | undefined): Transaction => {
    if (!transaction) throw new Error('A transaction was not stored');
    return transaction;
  };
  return {
    /** 1.6: also assigns the transactionId that is sent back to the charger. */
    async start(start: Start): Promise<Transaction> {
      const { chargerId, connectorId, idTag, meterStart, startedAt, isAccepted } = start;
      const values = [randomUUID(), chargerId, connectorId, idTag, meterStart, startedAt, isAccepted];
      return stored(await one(statements.start, values));
    },

    /** 2.x: the charger chooses the transactionId; a report adds to what is stored and never clears it. */
    async report(report: Report): Promise<Transaction> {
      const { chargerId, connectorId, wireId, idTag, tokenType, at, isEnd, isAccepted } = report;
      const times = [at, isEnd ? at : null];
      const values = [randomUUID(), chargerId, connectorId, wireId, idTag, tokenType, ...times, isAccepted];
      return stored(await one(statements.report, values));
    },

    async stop(chargerId: string, wireId: string, at: Date): Promise<void> {
      await database.query(statements.stop, [chargerId, wireId, at]);
    },

    /** The transaction that runs at a connector, and whether it has used a reservation. */
    async running(chargerId: string, connectorId: number): Promise<(Transaction & { hasUsed: boolean }) | undefined> {
      const [row] = await database.query<Row & { hasUsed: boolean }>(statements.running, [chargerId, connectorId]);
      return row && (present(row) as Transaction & { hasUsed: boolean });
    },

    byWireId: (chargerId: string, wireId: string) => one(statements.byWireId, [chargerId, wireId]),
  };
}
