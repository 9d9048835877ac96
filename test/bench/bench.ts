// `npm run bench`: reserve and cancel compared with the floor, and a database with a year of bookings compared with an
// empty one, on the embedded PostgreSQL with durable settings. Prints ratios.
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { Client } from 'pg';
import { startEmbeddedPostgres } from '../../src/dev/embedded-postgres.ts';
import { openDatabase } from '../../src/storage/database.ts';
import { yearOfBookings } from './load-bookings.ts';
import { stopAll } from './processes.ts';
import { benchReserve } from './reserve-bench.ts';
import { benchYear } from './year-bench.ts';

const { values } = parseArgs({
  options: {
    seconds: { type: 'string', default: '5' },
    rounds: { type: 'string', default: '3' },
    concurrency: { type: 'string', default: '1,16,64' },
    chargers: { type: 'string', default: '64' },
    bookings: { type: 'string', default: `${yearOfBookings.rows}` },
    requests: { type: 'string', default: '400' },
  },
});

const folder = await mkdtemp(join(tmpdir(), 'ev-reservation-bench-'));
const postgres = await startEmbeddedPostgres({ dataFolder: join(folder, 'data') });
try {
  const administration = new Client({ connectionString: postgres.url('postgres') });
  await administration.connect();
  for (const name of ['ours', 'floor', 'empty', 'year']) await administration.query(`CREATE DATABASE ${name}`);
  await administration.end();
  for (const name of ['floor', 'empty', 'year']) {
    await (await openDatabase({ url: postgres.url(name), poolSize: 2, entities: [] })).close();
  }
  await benchReserve(
    { ours: postgres.url('ours'), floor: postgres.url('floor') },
    {
      seconds: Number(values.seconds),
      rounds: Number(values.rounds),
      levels: values.concurrency.split(',').map(Number),
      chargers: Number(values.chargers),
    },
  );
  await stopAll();
  const load = { ...yearOfBookings, rows: Number(values.bookings) };
  await benchYear({ empty: postgres.url('empty'), year: postgres.url('year') }, load, Number(values.requests));
} finally {
  await stopAll();
  await postgres.remove();
  await rm(folder, { recursive: true, force: true });
}
process.exit(0);
