// Connections that break where nobody expects it.
import { expect, it } from 'vitest';
import { openDatabase } from '../../src/storage/database.ts';
import { eventually } from '../support/eventually.ts';
import { createTestDatabase } from '../support/test-database.ts';

it('a connection that breaks in the middle of a transaction fails it, and nothing else', async () => {
  const { url, query, drop } = await createTestDatabase();
  const database = await openDatabase({ url, poolSize: 2, entities: [] });
  const pid = { name: 'pid', text: 'SELECT pg_backend_pid() AS pid' };
  const broken = database.transaction(async (sql) => {
    const [row] = await sql.query<{ pid: number }>(pid, []);
    await query('SELECT pg_terminate_backend($1)', [row?.pid]);
    await eventually(async () =>
      expect(await query('SELECT FROM pg_stat_activity WHERE pid = $1', [row?.pid])).toEqual([]),
    );
    await sql.query(pid, []);
  });
  await expect(broken).rejects.toThrow();
  // It would have ended the process, as an error that nobody hears.
  expect(await database.query(pid, [])).toHaveLength(1);
  await database.close();
  await drop();
});
