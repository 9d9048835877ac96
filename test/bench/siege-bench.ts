// `npm run bench:siege`: how attacks slow honest clients and chargers. Each round of each attack measures reserveNow in
// calm, during the attack on a bare server that refuses everything (the floor: the cost of sharing the machine), and
// during the attack on ours. Prints latencies and memory; with --bound it fails if the median latency is more than that
// many times the floor's.
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { SignJWT } from 'jose';
import { Client } from 'pg';
import { Passwords } from '../../src/charging/login/passwords.ts';
import { systemClock } from '../../src/common/clock.ts';
import { startEmbeddedPostgres } from '../../src/dev/embedded-postgres.ts';
import {
  CANCEL,
  expectStatus,
  median,
  message,
  PASSWORD,
  percentile,
  RESERVE,
  SECRET,
  type Server,
  start,
  startChargers,
  startServer,
  stopAll,
} from './processes.ts';

const { values } = parseArgs({
  options: {
    chargers: { type: 'string', default: '1000' },
    seconds: { type: 'string', default: '8' },
    rate: { type: 'string', default: '20' },
    rounds: { type: 'string', default: '3' },
    bound: { type: 'string' },
    only: { type: 'string', default: '' },
  },
});
const seconds = Number(values.seconds);
const rate = Number(values.rate);
const ids = Array.from({ length: Number(values.chargers) }, (_, index) => `CP${index + 1}`);
/** Attacks per second: as many as a machine of this size can send besides its other work. */
const attacks = {
  'failed logins of chargers': 1000,
  'bad tokens': 500,
  'alias and depth bombs': 100,
  'oversized frames': 50,
  'slow heads': 100,
};

async function fill(url: string): Promise<void> {
  const client = new Client({ connectionString: url });
  await client.connect();
  const hash = await new Passwords(systemClock).hash(PASSWORD);
  await client.query(`INSERT INTO site VALUES ('site', 'Bench', 'UTC')`);
  await client.query(
    `INSERT INTO charger (id, site_id, name, password_hash) SELECT id, 'site', id, $2 FROM unnest($1::text[]) id`,
    [ids, hash],
  );
  await client.query(
    `INSERT INTO connector (charger_id, connector_id, state) SELECT id, 1, 'AVAILABLE' FROM unnest($1::text[]) id`,
    [ids],
  );
  await client.query(`INSERT INTO id_tag (id_tag, token_type, status) VALUES ('ANNA', 'ISO14443', 'ACCEPTED')`);
  await client.end();
}

interface Doors {
  readonly port: number;
  readonly ocppPort: number;
}

interface Felt {
  readonly latencies: readonly number[];
  readonly rssMb: number;
}

/** Makes reservations at a fixed rate, however slow the server is: a slowed client does not ask less. */
async function live({ run, child }: Server, forSeconds: number): Promise<Felt> {
  const latencies: number[] = [];
  const pending: Promise<void>[] = [];
  const began = performance.now();
  let asked = 0;
  const one = async (n: number) => {
    const input = { chargerId: ids[n % ids.length], connectorId: 1, idTag: 'ANNA', durationMinutes: 30 };
    const asking = performance.now();
    const id = expectStatus(await run(RESERVE, { input }), 'ACCEPTED');
    latencies.push(performance.now() - asking);
    expectStatus(await run(CANCEL, { input: { id } }), 'CANCELLED');
  };
  while (performance.now() - began < forSeconds * 1000) {
    for (const due = ((performance.now() - began) / 1000) * rate; asked < due; asked += 1) pending.push(one(asked));
    await new Promise((resolve) => setTimeout(resolve, 2));
  }
  await Promise.all(pending);
  const told = message<{ rss: number }>(child);
  child.send('memory');
  return { latencies: latencies.toSorted((a, b) => a - b), rssMb: (await told).rss / 1e6 };
}

const folder = await mkdtemp(join(tmpdir(), 'ev-reservation-siege-'));
const postgres = await startEmbeddedPostgres({ dataFolder: join(folder, 'data') });
try {
  const url = postgres.url('postgres');
  // Clients and attackers have the addresses in X-Forwarded-For, as behind a proxy; the limits are the defaults of `npm
  // start`.
  const server = await startServer(url, ['--expose-gc'], { TRUSTED_PROXIES: '127.0.0.1' }, '198.51.100.1');
  await fill(url);
  await startChargers(server.ocppPort, ids);
  const driver = await new SignJWT({ role: 'driver', idTags: ['EVE'] })
    .setProtectedHeader({ alg: 'HS256' })
    .setSubject('eve')
    .setExpirationTime('1h')
    .sign(new TextEncoder().encode(SECRET));
  const sink = await message<Doors>(start('sink.js', [], {}));
  await live(server, seconds); // Warm-up: the caches fill.
  console.log(`${ids.length} chargers connected, ${rate} reservations and cancellations a second; ${values.rounds} rounds
calm / beside an attack on a bare server / under attack; ratio: of the last two\n`);
  console.log(
    'attack                     blows/s  p50 ms                (ratio)  p95 ms                (ratio)  memory MB',
  );
  for (const [kind, perSecond] of Object.entries(attacks).filter(([kind]) => kind.includes(values.only))) {
    const attacked = async ({ port, ocppPort }: Doors) => {
      const args = [kind, `${port}`, `${ocppPort}`, driver, `${perSecond}`, `${seconds}`];
      const child = start('attacks.js', args, {});
      await message(child);
      const attacker = message<{ done: number; outcomes: object }>(child);
      child.send('begin');
      const felt = await live(server, seconds);
      return { ...felt, ...(await attacker) };
    };
    const rounds: Record<'calm' | 'floor' | 'ours', Felt & { done?: number; outcomes?: object }>[] = [];
    for (let round = 0; round < Number(values.rounds); round += 1) {
      rounds.push({ calm: await live(server, seconds), floor: await attacked(sink), ours: await attacked(server) });
    }
    const compared = (share: number) => {
      const of = (which: 'calm' | 'floor' | 'ours') =>
        median(rounds.map((round) => percentile(round[which].latencies, share)));
      const ratio = median(
        rounds.map(({ floor, ours }) => percentile(ours.latencies, share) / percentile(floor.latencies, share)),
      );
      const times = [of('calm'), of('floor'), of('ours')].map((ms) => ms.toFixed(1)).join(' / ');
      return { ratio, text: `${times.padEnd(22)} ${`(${ratio.toFixed(2)})`.padEnd(8)} ` };
    };
    const [half, most] = [compared(0.5), compared(0.95)];
    const memory = rounds.map(({ calm, ours }) => `${calm.rssMb.toFixed(0)} -> ${ours.rssMb.toFixed(0)}`).join(', ');
    const { done = 0, outcomes = {} } = rounds.at(-1)?.ours ?? {};
    console.log(
      `${kind.padEnd(26)} ${`${Math.round(done / seconds)}`.padStart(7)}  ${half.text}${most.text}${memory}   ${JSON.stringify(outcomes)}`,
    );
    if (values.bound !== undefined && half.ratio > Number(values.bound)) process.exitCode = 1;
  }
} finally {
  await stopAll();
  await postgres.remove();
  await rm(folder, { recursive: true, force: true });
}
process.exit();
