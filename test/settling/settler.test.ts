// Claims of due rows: however many processes look for them at once, each row is worked on by one.
import { randomUUID } from 'node:crypto';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { type Database, openDatabase } from '../../src/storage/database.ts';
import { reservationRepository } from '../../src/storage/reservations/reservation.repository.ts';
import { reservationSchema } from '../../src/storage/reservations/reservation-row.repository.ts';
import { createTestDatabase, type TestDatabase } from '../support/test-database.ts';

const ROWS = 200;
let database: TestDatabase;
const processes: Database[] = [];

beforeAll(async () => {
  database = await createTestDatabase();
  for (let count = 0; count < 4; count += 1) {
    processes.push(await openDatabase({ url: database.url, poolSize: 4, entities: [reservationSchema] }));
  }
  await database.query(`
    INSERT INTO site (id, name, time_zone) VALUES ('site', 'site', 'UTC')`);
  await database.query(`INSERT INTO node (id, started_at) VALUES (1, now()), (2, now())`);
  await database.query(
    `INSERT INTO charger (id, site_id, name, password_hash, connected_node) VALUES ('CH1', 'site', 'CH1', '', 1), ('CH2', 'site', 'CH2', '', 2)`,
  );
  for (let index = 0; index < ROWS; index += 1) {
    await database.query(
      `INSERT INTO reservation (id, reservation_id, site_id, charger_id, connector_id, id_tag, token_type, status, version,
         starts_at, expiry_date, created_at, created_by, reason, due_at)
       VALUES ($1, $2, 'site', $3, 0, 'ANNA', 'ISO14443', 'UNKNOWN', 2, now(), now() + interval '1 hour', now(), 'anna', 'TIMEOUT', now())`,
      [randomUUID(), index + 1, index % 2 ? 'CH1' : 'CH2'],
    );
  }
});
afterAll(async () => {
  for (const one of processes) await one.close();
  await database.drop();
});

it('due reservations are claimed once, and only for the node that holds the charger’s socket', async () => {
  const now = new Date(Date.now() + 1000);
  const lease = new Date(Date.now() + 60_000);
  const claimed: { id: string; chargerId: string; node: number }[] = [];
  const claimAll = async (one: Database, node: number) => {
    const reservations = reservationRepository(one);
    for (;;) {
      const due = await reservations.claimDue(now, node, lease);
      if (due.length === 0) return;
      for (const { reservation } of due) claimed.push({ id: reservation.id, chargerId: reservation.chargerId, node });
    }
  };
  await Promise.all(processes.flatMap((one) => [claimAll(one, 1), claimAll(one, 2)]));
  // claimAll() stops when the last rows are locked by another process; these two rounds claim what that left.
  await claimAll(processes[0] as Database, 1);
  await claimAll(processes[0] as Database, 2);
  expect(claimed).toHaveLength(ROWS);
  expect(new Set(claimed.map(({ id }) => id)).size).toBe(ROWS);
  expect(claimed.every(({ chargerId, node }) => chargerId === `CH${node}`)).toBe(true);
});

it('a claimed reservation that no process settles is due again when its claim runs out', async () => {
  const reservations = reservationRepository(processes[0] as Database);
  expect(await reservations.claimDue(new Date(Date.now() + 30_000), 1, new Date())).toEqual([]);
  const later = new Date(Date.now() + 61_000);
  expect(await reservations.claimDue(later, 1, new Date(later.getTime() + 1000))).not.toEqual([]);
});
