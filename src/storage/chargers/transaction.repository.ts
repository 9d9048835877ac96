// Stores transactions in PostgreSQL. A charger may report a transaction twice, late or out of order; all reports go to
// one row.
import { randomUUID } from 'node:crypto';
import { present } from '../../common/present.ts';
import type { TokenType } from '../../model/charger/id-tag.ts';
import type { Transaction } from '../../model/charger/transaction.ts';
import type { Database } from '../database.ts';
import { type Statement, statement, type Values } from '../statement.ts';

type Row = { [K in keyof Transaction]-?: Transaction[K] | null };

const aliased = `t.id, t.charger_id AS "chargerId", t.connector_id AS "connectorId", t.wire_id AS "wireId",
  t.id_tag AS "idTag", t.started_at AS "startedAt", t.stopped_at AS "stoppedAt", t.is_accepted AS "isAccepted"`;

const statements = {
  // A repeated start with another message id finds the row of the first.
  start: statement<Row>(
    'transaction-start',
    `
      INSERT INTO transaction AS t (id, charger_id, connector_id, wire_id, id_tag, meter_start, started_at, is_accepted)
      VALUES (:id, :chargerId, :connectorId, nextval('transaction_wire_id')::text, :idTag, :meterStart, :startedAt, :isAccepted)
      ON CONFLICT (charger_id, connector_id, lower(id_tag), started_at, meter_start) WHERE meter_start IS NOT NULL
      DO UPDATE SET meter_start = excluded.meter_start
      RETURNING ${aliased}`,
  ),
  report: statement<Row>(
    'transaction-report',
    `
      INSERT INTO transaction AS t (id, charger_id, connector_id, wire_id, id_tag, token_type, started_at, stopped_at, is_accepted)
      VALUES (:id, :chargerId, :connectorId, :wireId, :idTag, :tokenType, :startedAt, :stoppedAt, :isAccepted)
      ON CONFLICT (charger_id, wire_id) DO UPDATE SET
        connector_id = coalesce(t.connector_id, excluded.connector_id),
        id_tag = coalesce(t.id_tag, excluded.id_tag),
        token_type = coalesce(t.token_type, excluded.token_type),
        started_at = least(t.started_at, excluded.started_at),
        stopped_at = coalesce(t.stopped_at, excluded.stopped_at),
        is_accepted = CASE WHEN t.is_accepted THEN true ELSE coalesce(excluded.is_accepted, t.is_accepted) END
      RETURNING ${aliased}`,
  ),
  stop: statement(
    'transaction-stop',
    'UPDATE transaction SET stopped_at = :at WHERE charger_id = :chargerId AND wire_id = :wireId AND stopped_at IS NULL',
  ),
  byWireId: statement<Row>(
    'transaction-by-wire-id',
    `SELECT ${aliased} FROM transaction t WHERE t.charger_id = :chargerId AND t.wire_id = :wireId`,
  ),
  // Reads only the latest transaction: if an older one has no end, the charger never reported it.
  running: statement<Row & { hasUsed: boolean }>(
    'transaction-running',
    `
      SELECT ${aliased}, EXISTS (SELECT FROM reservation r WHERE r.transaction_id = t.id) AS "hasUsed"
      FROM transaction t WHERE t.charger_id = :chargerId AND t.connector_id = :connectorId AND t.stopped_at IS NULL
      ORDER BY t.started_at DESC LIMIT 1`,
  ),
};

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
  const one = async (wanted: Statement<Row>, values: Values): Promise<Transaction | undefined> => {
    const [row] = await database.query(wanted, values);
    return row && (present(row) as Transaction);
  };
  const stored = (transaction: Transaction | undefined): Transaction => {
    if (!transaction) throw new Error('A transaction was not stored');
    return transaction;
  };
  return {
    /** 1.6: also assigns the transactionId that is sent back to the charger. */
    async start(start: Start): Promise<Transaction> {
      return stored(await one(statements.start, { ...start, id: randomUUID() }));
    },

    /** 2.x: the charger chooses the transactionId; a report adds to what is stored and never clears it. */
    async report(report: Report): Promise<Transaction> {
      const { chargerId, connectorId, wireId, idTag, tokenType, at, isEnd, isAccepted } = report;
      return stored(
        await one(statements.report, {
          id: randomUUID(),
          chargerId,
          connectorId,
          wireId,
          idTag,
          tokenType,
          startedAt: at,
          stoppedAt: isEnd ? at : null,
          isAccepted,
        }),
      );
    },

    async stop(chargerId: string, wireId: string, at: Date): Promise<void> {
      await database.query(statements.stop, { chargerId, wireId, at });
    },

    /** The transaction that runs at a connector, and whether it has used a reservation. */
    async running(chargerId: string, connectorId: number): Promise<(Transaction & { hasUsed: boolean }) | undefined> {
      const [row] = await database.query(statements.running, { chargerId, connectorId });
      return row && (present(row) as Transaction & { hasUsed: boolean });
    },

    byWireId: (chargerId: string, wireId: string) => one(statements.byWireId, { chargerId, wireId }),
  };
}
