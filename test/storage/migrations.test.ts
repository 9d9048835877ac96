// Tests that the migrations run up, down and up again on an empty database, and make the same tables, sequences and
// indexes both times.
import { DataSource } from 'typeorm';
import { expect, it } from 'vitest';
import { migrations } from '../../src/storage/migrations.ts';
import { createTestDatabase } from '../support/test-database.ts';

it('the migrations run up, down and up again, with the same result both times', async () => {
  const database = await createTestDatabase({ isEmpty: true });
  const source = await new DataSource({
    type: 'postgres',
    migrations,
    migrationsTableName: 'migration',
    extra: { connectionString: database.url },
  }).initialize();
  const objects = () =>
    database.query(`
      SELECT relkind, relname FROM pg_class JOIN pg_namespace n ON n.oid = relnamespace
      WHERE nspname = 'public' AND relname NOT LIKE 'migration%' AND relname NOT LIKE 'PK_%' AND relkind IN ('r', 'S', 'i') ORDER BY 2`);
  await source.runMigrations();
  const up = await objects();
  expect(up.length).toBeGreaterThan(10);
  for (const _ of migrations) await source.undoLastMigration();
  expect(await objects()).toEqual([]);
  await source.runMigrations();
  expect(await objects()).toEqual(up);
  await source.destroy();
  await database.drop();
});
