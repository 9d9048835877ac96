// Tests that each migration takes back what it made: all run up, down one by one, and up again on an empty database.
import { DataSource } from 'typeorm';
import { expect, it } from 'vitest';
import { migrations } from '../../src/storage/migrations.ts';
import { createTestDatabase } from '../support/test-database.ts';

it('undoing a migration removes exactly what the migration made, and afterwards all migrations run again', async () => {
  const database = await createTestDatabase({ isEmpty: true });
  const connect = (count: number) =>
    new DataSource({
      type: 'postgres',
      migrations: migrations.slice(0, count),
      migrationsTableName: 'migration',
      extra: { connectionString: database.url },
    }).initialize();
  const objects = () =>
    database.query(`
      SELECT c.relkind AS kind, c.relname AS name, '' AS detail FROM pg_class c
      WHERE c.relnamespace = 'public'::regnamespace AND c.relname NOT LIKE 'migration%' AND c.relname NOT LIKE 'PK_%'
        AND c.relkind IN ('r', 'S', 'i')
      UNION ALL
      SELECT 'column', table_name || '.' || column_name, data_type || ' ' || is_nullable || coalesce(column_default, '')
      FROM information_schema.columns WHERE table_schema = 'public' AND table_name NOT LIKE 'migration%'
      UNION ALL
      SELECT 'constraint', conrelid::regclass || '.' || conname, pg_get_constraintdef(oid) FROM pg_constraint
      WHERE connamespace = 'public'::regnamespace AND conrelid::regclass::text NOT LIKE 'migration%'
      ORDER BY 1, 2`);
  const states = [await objects()];
  for (const [index] of migrations.entries()) {
    const source = await connect(index + 1);
    await source.runMigrations();
    await source.destroy();
    states.push(await objects());
  }
  const up = states.pop();
  const source = await connect(migrations.length);
  for (const before of states.toReversed()) {
    await source.undoLastMigration();
    expect(await objects()).toEqual(before);
  }
  await source.runMigrations();
  expect(await objects()).toEqual(up);
  await source.destroy();
  await database.drop();
});
