// Tests connections to PostgreSQL that break in the middle of a transaction.
import { expect, it } from 'vitest';
import { openDatabase } from '../../src/storage/database.ts';
import { statement } from '../../src/storage/statement.ts';
import { eventually } from '../support/eventually.ts';
import { createTestDatabase } from '../support/test-database.ts';

it('a database connection that breaks during a transaction fails that transaction and nothing else', async () => {
  const { url, query, drop } = await createTestDatabase();
  const database = await openDatabase({ url, poolSize: 2, entities: [] });
  const pid = statement<{ pid: number }>('pid', 'SELECT pg_backend_pid() AS pid');
  const broken = database.transaction(async (sql) => {
    const [row] = await sql.query(pid);
    await query('SELECT pg_terminate_backend($1)', [row?.pid]);
    await eventually(async () =>
      expect(await query('SELECT FROM pg_stat_activity WHERE pid = $1', [row?.pid])).toEqual([]),
    );
    await sql.query(pid);
  });
  await expect(broken).rejects.toThrow();
  // The error event of the broken connection, if nobody listened, would have ended the process.
  expect(await database.query(pid)).toHaveLength(1);
  await database.close();
  await drop();
});
