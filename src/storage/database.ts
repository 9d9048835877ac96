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
  await migrate(options);
  const { source, pool } = await connect(options, {
    query_timeout: QUERY_MS,
    statement_timeout: QUERY_MS,
    options: PLAN_ONCE,
  });
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

/** A server that is stopped, not ended, answers nothing at all: only the `timeouts` tell. */
async function connect(options: Options, timeouts: object): Promise<{ source: DataSource; pool: Pool }> {
  const source = await new DataSource({
    type: 'postgres',
    entities: [...options.entities],
    migrations,
    migrationsTableName: 'migration',
    poolSize: options.poolSize,
    extra: {
      connectionString: options.url,
      application_name: 'ev-reservation-server',
      connectionTimeoutMillis: CONNECT_MS,
      ...timeouts,
    },
  }).initialize();
  const pool = (source.driver as unknown as { master: Pool }).master;
  // A connection that breaks fails its query, or is replaced by the pool; unheard, the event would end the process, even
  // that of a connection the pool is just letting go.
  pool.on('error', ignoreHere);
  pool.on('acquire', (client) => {
    if (!client.listeners('error').includes(ignoreHere)) client.on('error', ignoreHere);
  });
  return { source, pool };
}

/** Also the longest wait for a connection of the pool. */
const CONNECT_MS = 5000;
const QUERY_MS = 10_000;

/**
 * A prepared statement is planned once for each connection. PostgreSQL's own choice would plan those that leave out what
 * nobody asked for anew each time, which takes longer than running them.
 */
const PLAN_ONCE = '-c plan_cache_mode=force_generic_plan';

const MIGRATION_LOCK = 7_237_001;

/** Takes as long as it needs: an index on a large table, or another process that is at it. */
async function migrate(options: Options): Promise<void> {
  const { source, pool } = await connect({ ...options, poolSize: 2 }, {});
  const guard = await pool.connect();
  try {
    await guard.query('SELECT pg_advisory_lock($1)', [MIGRATION_LOCK]);
    await source.runMigrations({ transaction: 'each' });
  } finally {
    guard.release(true); // The lock goes with its connection.
    await source.destroy();
  }
}

const ignoreHere = () => {};

async function inTransaction<T>(pool: Pool, work: (client: PoolClient) => Promise<T>): Promise<T> {
  const client = await pool.connect();
  try {
    await client.query('BEGIN');
    const result = await work(client);
    await client.query('COMMIT');
    client.release();
    return result;
  } catch (error) {
    const rollback = await client.query('ROLLBACK').catch((failure: Error) => failure);
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

/** The database could not be reached, or went away before it answered: what was asked may have been done. */
export class DatabaseAway extends Error {
  override readonly name = 'DatabaseAway';
}

const AWAY = new Set([
  'ECONNREFUSED',
  'ECONNRESET',
  'ENOENT',
  'EPIPE',
  'ETIMEDOUT',
  'EHOSTUNREACH',
  'ENOTFOUND',
  'EAI_AGAIN',
]);
/** Connection exceptions, too many connections, a statement that took too long, shutdown, crash, starting up, an idle session ended; read-only while a standby. */
const AWAY_STATES = /^(08...|53300|57014|57P0[1235]|25006)$/;
/** The driver's own errors have no code. */
const AWAY_MESSAGES =
  /^(Connection terminated|timeout exceeded when trying to connect|Query read timeout|Client has encountered a connection error|Client was closed)/;

/** Whatever layer it went through on its way. */
export function isDatabaseAway(error: unknown): boolean {
  if (!(error instanceof Error)) return false;
  if (error instanceof DatabaseAway) return true;
  const code = sqlState(error) ?? '';
  if (AWAY.has(code) || AWAY_STATES.test(code) || AWAY_MESSAGES.test(error.message)) return true;
  const { driverError, cause } = error as { driverError?: unknown; cause?: unknown };
  return [driverError, cause].some((inner) => inner !== undefined && inner !== error && isDatabaseAway(inner));
}

/** Invalid text (a NUL character), a number or an instant out of range: a value that no column takes. */
const UNSTORABLE = new Set(['22021', '22P05', '22003', '22007', '22008', '22P02']);

/** The statement failed for what it was given: the same will fail again. */
export function isUnstorable(error: unknown): boolean {
  const { driverError } = error as { driverError?: unknown };
  return UNSTORABLE.has(sqlState(error) ?? '') || (driverError !== undefined && isUnstorable(driverError));
}

const sqlState = (error: unknown): string | undefined => (error as { code?: string }).code;

/** The name of the constraint a statement violated, from which a repository makes a refusal. */
export const violatedConstraint = (error: unknown): string | undefined =>
  sqlState(error)?.startsWith('23') ? (error as { constraint?: string }).constraint : undefined;
