// The connection to PostgreSQL: TypeORM's DataSource for migrations and row mapping, and prepared statements on its
// pool for the hot path. It must not know the tables of the domain.
import type { Pool, PoolClient } from 'pg';
import { DataSource, type EntitySchema } from 'typeorm';
import { MIGRATION_LOCK } from './advisory-locks.ts';
import { migrations } from './migrations.ts';
import { type Statement, type Values, valuesOf } from './statement.ts';

export interface Sql {
  /** The rows; for a statement that returns no columns, one empty row for each row it changed. */
  query<Row>(statement: Statement<Row>, values?: Values): Promise<Row[]>;
}

export interface Database extends Sql {
  readonly source: DataSource;
  /** Runs `work` as one transaction, and from its start again after 40001 or 40P01, ten times at most. */
  transaction<T>(work: (sql: Sql) => Promise<T>): Promise<T>;
  close(): Promise<void>;
}

interface Options {
  readonly url: string;
  readonly poolSize: number;
  readonly entities: readonly EntitySchema[];
}

/** Brings the schema up to date, then connects. Processes that start at the same time migrate one after the other. */
export async function openDatabase(options: Options): Promise<Database> {
  await migrate(options);
  const { source, pool } = await connect(options, {
    query_timeout: QUERY_MS,
    statement_timeout: QUERY_MS,
    options: PLAN_ONCE,
  });
  const sqlOn = (runner: Pool | PoolClient): Sql => ({
    async query<Row>(statement: Statement<Row>, values: Values = {}) {
      const { name, text } = statement;
      return (await runner.query({ name, text, values: valuesOf(statement, values) })).rows as Row[];
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

/** A PostgreSQL that hangs never closes its sockets; only `timeouts` make a query fail then. */
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
  // Without a listener an 'error' event ends the process, even that of a connection which the pool is just releasing.
  // Ignoring it loses nothing: a broken connection fails its query, or the pool replaces it.
  pool.on('error', ignoreHere);
  pool.on('acquire', (client) => {
    if (!client.listeners('error').includes(ignoreHere)) client.on('error', ignoreHere);
  });
  return { source, pool };
}

/** Limits connecting, and waiting for a free connection of the pool. */
const CONNECT_MS = 5000;
const QUERY_MS = 10_000;

/**
 * Plans each prepared statement once per connection. By default PostgreSQL would plan statements with optional filters
 * again for each run, which takes longer than running them.
 */
const PLAN_ONCE = '-c plan_cache_mode=force_generic_plan';

/**
 * Without query timeouts: building an index on a large table, or waiting for another process that migrates, takes long.
 */
async function migrate(options: Options): Promise<void> {
  const { source, pool } = await connect({ ...options, poolSize: 2 }, {});
  const guard = await pool.connect();
  try {
    await guard.query('SELECT pg_advisory_lock($1)', [MIGRATION_LOCK]);
    await source.runMigrations({ transaction: 'each' });
  } finally {
    guard.release(true); // Closing the connection releases its advisory lock.
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

/** The database could not be reached, or was lost before it answered: the statement may have been executed. */
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
/**
 * SQL states: connection exception, too many connections, statement timeout, shutdown, crash, starting up, idle session
 * timeout, read-only (a standby).
 */
const AWAY_STATES = /^(08...|53300|57014|57P0[1235]|25006)$/;
/** Errors that the pg driver itself throws have no code. */
const AWAY_MESSAGES =
  /^(Connection terminated|timeout exceeded when trying to connect|Query read timeout|Client has encountered a connection error|Client was closed)/;

/** Also looks into the errors that this one wraps: TypeORM's driverError, and `cause`. */
export function isDatabaseAway(error: unknown): boolean {
  if (!(error instanceof Error)) return false;
  if (error instanceof DatabaseAway) return true;
  const code = sqlState(error) ?? '';
  if (AWAY.has(code) || AWAY_STATES.test(code) || AWAY_MESSAGES.test(error.message)) return true;
  const { driverError, cause } = error as { driverError?: unknown; cause?: unknown };
  return [driverError, cause].some((inner) => inner !== undefined && inner !== error && isDatabaseAway(inner));
}

/** SQL states of values that no column accepts: invalid text (a NUL character), a number or an instant out of range. */
const UNSTORABLE = new Set(['22021', '22P05', '22003', '22007', '22008', '22P02']);

/** The statement failed because of its values: a retry would fail, too. */
export function isUnstorable(error: unknown): boolean {
  const { driverError } = error as { driverError?: unknown };
  return UNSTORABLE.has(sqlState(error) ?? '') || (driverError !== undefined && isUnstorable(driverError));
}

const sqlState = (error: unknown): string | undefined => (error as { code?: string }).code;

/** The name of the constraint a statement violated, from which a repository makes a refusal. */
export const violatedConstraint = (error: unknown): string | undefined =>
  sqlState(error)?.startsWith('23') ? (error as { constraint?: string }).constraint : undefined;
