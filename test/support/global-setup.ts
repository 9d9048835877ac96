// One PostgreSQL for the whole run, and a migrated database that each test file copies.
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Client } from 'pg';
import type { TestProject } from 'vitest/node';
import { openDatabase } from '../../src/database/database.ts';
import { startEmbeddedPostgres } from '../../src/database/embedded-postgres.ts';

declare module 'vitest' {
  interface ProvidedContext {
    /** Connection string of a database to connect to for administration. */
    readonly postgresUrl: string;
    readonly templateDatabase: string;
  }
}

export async function setup(project: TestProject): Promise<() => Promise<void>> {
  const given = process.env.DATABASE_URL;
  const folder = given ? undefined : await mkdtemp(join(tmpdir(), 'ev-reservation-test-'));
  const embedded = folder
    ? await startEmbeddedPostgres({ dataFolder: join(folder, 'data'), durable: false })
    : undefined;
  const postgresUrl = given ?? embedded?.url('postgres') ?? '';
  const template = `reservation_template_${process.pid}`;
  const administrate = async (statement: string) => {
    const client = new Client({ connectionString: postgresUrl });
    await client.connect();
    await client.query(statement).finally(() => client.end());
  };
  await administrate(`CREATE DATABASE ${template}`);
  const url = new URL(postgresUrl);
  url.pathname = `/${template}`;
  await (await openDatabase({ url: url.href, poolSize: 2, entities: [] })).close();
  project.provide('postgresUrl', postgresUrl);
  project.provide('templateDatabase', template);
  return async () => {
    await administrate(`DROP DATABASE ${template} WITH (FORCE)`);
    await embedded?.stop();
    if (embedded) await rm(embedded.dataFolder, { recursive: true, force: true });
    if (folder) await rm(folder, { recursive: true, force: true });
  };
}
