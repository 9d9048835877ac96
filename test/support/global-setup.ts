// Starts a PostgreSQL for each worker, since an open transaction delays the events of its whole cluster, and creates in
// each the migrated template that test files copy. With DATABASE_URL there is only that server, and one worker
// (vitest.config.ts).
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Client } from 'pg';
import type { TestProject } from 'vitest/node';
import { startEmbeddedPostgres } from '../../src/dev/embedded-postgres.ts';
import { openDatabase } from '../../src/storage/database.ts';

declare module 'vitest' {
  interface ProvidedContext {
    /** By worker: the connection string of a database to connect to for administration. */
    readonly postgresUrls: readonly string[];
    readonly templateDatabase: string;
  }
}

export async function setup(project: TestProject): Promise<() => Promise<void>> {
  const given = process.env.DATABASE_URL;
  const clusters: Awaited<ReturnType<typeof startOne>>[] = [];
  for (let worker = 1; worker <= (given ? 1 : project.config.maxWorkers); worker += 1)
    clusters.push(await startOne(given));
  project.provide(
    'postgresUrls',
    clusters.map(({ url }) => url),
  );
  project.provide('templateDatabase', TEMPLATE);
  return async () => void (await Promise.all(clusters.map(({ stop }) => stop())));
}

const TEMPLATE = `reservation_template_${process.pid}`;

async function startOne(given: string | undefined): Promise<{ url: string; stop(): Promise<void> }> {
  const folder = given ? undefined : await mkdtemp(join(tmpdir(), 'ev-reservation-test-'));
  const embedded = folder
    ? await startEmbeddedPostgres({ dataFolder: join(folder, 'data'), durable: false })
    : undefined;
  const url = given ?? embedded?.url('postgres') ?? '';
  const administrate = async (statement: string) => {
    const client = new Client({ connectionString: url });
    await client.connect();
    await client.query(statement).finally(() => client.end());
  };
  const stop = async () => {
    await administrate(`DROP DATABASE IF EXISTS ${TEMPLATE} WITH (FORCE)`);
    await embedded?.remove();
    if (folder) await rm(folder, { recursive: true, force: true });
  };
  await administrate(`CREATE DATABASE ${TEMPLATE}`);
  const template = new URL(url);
  template.pathname = `/${TEMPLATE}`;
  try {
    await (await openDatabase({ url: template.href, poolSize: 2, entities: [] })).close();
  } catch (error) {
    // A migration that fails must not leave the server running.
    await stop();
    throw error;
  }
  return { url, stop };
}
