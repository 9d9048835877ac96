// The connection to PostgreSQL: TypeORM's DataSource for migrations and row mapping, and prepared statements on its
// pool for the hot path. It must not know any table.
import type { Pool, PoolClient, QueryResultRow } from 'pg';
import { DataSource, type EntitySchema } from 'typeorm';
import { migrations } from './migrations.ts';

/** A statement prepared once per connection under its name. */
export interface Statement {
  readonly name: string;
  readonly text: string;
}

export interface Sql {
  query<Row extends QueryResultRow>(statement: Statement, values: readonly unknown[]): Promise<Row[]>;
}

export interface Database extends Sql {
  readonly source: DataSource;
  /** Several statements as one transaction, run again whole after 40001 or 40P01. */
  transaction<T>(work: (sql: Sql) => Promise<T>): Promise<T>;
  close(): Promise<void>;
}

interface Options {
  readonly url: string;
  readonly poolSize: number;
  readonly entities: readonly EntitySchema[];
}

/** Connects and brings the schema up to date. Two processes that start at once wait for each other. */
export async function openDatabase(options: Options): Promise<Database> {
  const source = await connect(options);
  const pool = (source.driver as unknown as { master: Pool }).master;
  pool.on('error', () => {}); // An idle connection that breaks is replaced by the pool; the next query says what is wrong.
  await migrate(source, pool);
  const sqlOn = (runner: Pool | PoolClient): Sql => ({
    async query<Row extends QueryResultRow>(statement: Statement, values: readonly unknown[]) {
      return (await runner.query<Row>({ ...statement, values: [...values] })).rows;
    },
  });
  const pooled = sqlOn(pool);
  return {
    source,
    query: (statement, values) => rerun(() => pooled.query(statement, values)),
    transaction: (work) => rerun(() => inTransaction(pool, (client) => work(sqlOn(client)))),
    close: () => source.destroy(),
  };
}

function connect(options: Options): Promise<DataSource> {
  return new DataSource({
    type: 'postgres',
    entities: [...options.entities],
    migrations,
    migrationsTableName: 'migration',
    poolSize: options.poolSize,
    extra: { connectionString: options.url, connectionTimeoutMillis: 5000, application_name: 'ev-reservation-server' },
  }).initialize();
}

const MIGRATION_LOCK = 7_237_001;

async function migrate(source: DataSource, pool: Pool): Promise<void> {
  const guard = await pool.connect();
  try {
    await guard.query('SELECT pg_advisory_lock($1)', [MIGRATION_LOCK]);
    await source.runMigrations({ transaction: 'each' });
  } finally {
    await guard.query('SELECT pg_advisory_unlock($1)', [MIGRATION_LOCK]);
    guard.release();
  }
}

async function inTransaction<T>(pool: Pool, work: (client: PoolClient) => Promise<T>): Promise<T> {
  const client = await pool.connect();
  const onError = () => {}; // A connection that breaks here fails its query; unheard, the event would end the process.
  client.on('error', onError);
  try {
    await client.query('BEGIN');
    const result = await work(client);
    await client.query('COMMIT');
    client.off('error', onError);
    client.release();
    return result;
  } catch (error) {
    const rollback = await client.query('ROLLBACK').catch((failure: Error) => failure);
    client.off('error', onError);
    client.release(rollback instanceof Error);
    throw error;
  }
}

const RUN_AGAIN = new Set(['40001', '40P01']); // serialization failure, deadlock detected

async function rerun<T>(work: () => Promise<T>): Promise<T> {
  for (let attempt = 1; ; attempt += 1) {
    try {
      return await work();
    } catch (error) {
      if (attempt === 10 || !RUN_AGAIN.has(sqlState(error) ?? '')) throw error;
    }
  }
}

const sqlState = (error: unknown): string | undefined => (error as { code?: string }).code;

/** The name of the constraint a statement violated, from which a repository makes a refusal. */
export const violatedConstraint = (error: unknown): string | undefined =>
  sqlState(error)?.startsWith('23') ? (error as { constraint?: string }).constraint : undefined;
