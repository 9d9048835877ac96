// A fresh database for a test, copied from the migrated template.
import { randomBytes } from 'node:crypto';
import { Client, Pool } from 'pg';
import { inject } from 'vitest';

export interface TestDatabase {
  readonly url: string;
  query<Row extends object>(text: string, values?: unknown[]): Promise<Row[]>;
  drop(): Promise<void>;
}

export async function createTestDatabase(options: { readonly isEmpty?: boolean } = {}): Promise<TestDatabase> {
  const name = `reservation_test_${randomBytes(6).toString('hex')}`;
  const template = options.isEmpty ? 'template0' : inject('templateDatabase');
  await administrate(`CREATE DATABASE ${name} TEMPLATE ${template}`);
  const url = new URL(postgresUrl());
  url.pathname = `/${name}`;
  const pool = new Pool({ connectionString: url.href, max: 2 });
  // The database is dropped while its last connections may still be closing; their errors are ignored.
  pool.on('connect', (client) => client.on('error', () => {}));
  return {
    url: url.href,
    async query<Row extends object>(text: string, values: unknown[] = []) {
      return (await pool.query(text, values)).rows as Row[];
    },
    async drop() {
      await pool.end();
      await administrate(`DROP DATABASE ${name} WITH (FORCE)`);
    },
  };
}

/** The PostgreSQL of this worker. */
const postgresUrl = () =>
  inject('postgresUrls')[Number(process.env.VITEST_POOL_ID ?? 1) - 1] ?? inject('postgresUrls')[0] ?? '';

/** Runs one statement at a time, by an advisory lock, since several may copy the same template. */
async function administrate(statement: string): Promise<void> {
  const client = new Client({ connectionString: postgresUrl() });
  await client.connect();
  try {
    await client.query('SELECT pg_advisory_lock(7237002)');
    await client.query(statement);
  } finally {
    await client.end();
  }
}
