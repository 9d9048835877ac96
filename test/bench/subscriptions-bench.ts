// `npm run bench:subscriptions`: how fast, and at what cost, events reach many subscribers, compared with a raw `ws`
// broadcast and with the stock libraries on the same schema. Ours reads committed events from PostgreSQL; the others
// get theirs in memory. Prints ratios.
import type { ChildProcess } from 'node:child_process';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { Client, Pool } from 'pg';
import { startEmbeddedPostgres } from '../../src/dev/embedded-postgres.ts';
import { adminToken, message, percentile, start, startServer, stopAll } from './processes.ts';
import { benchEvent, SUBSCRIPTION } from './subscription-events.ts';

const { values } = parseArgs({
  options: {
    subscribers: { type: 'string', default: '1000,5000,10000' },
    /** How many messages a throughput run delivers, approximately. */
    messages: { type: 'string', default: '500000' },
    seconds: { type: 'string', default: '5' },
    rate: { type: 'string', default: '200' },
    filters: { type: 'string', default: 'same,50 filters,each its own' },
    beside: { type: 'string', default: 'raw ws,stock' },
  },
});
const SITES = 50;
/** Events per transaction in throughput runs, so that the writers are not the bottleneck. */
const TOGETHER = 20;
type Name = 'ours' | 'raw ws' | 'stock';
type Filters = 'same' | '50 filters' | 'each its own';

/** The filter of each subscriber, and how many subscribers an event reaches. */
const filterOf: Record<Filters, (index: number) => object> = {
  same: () => ({}),
  '50 filters': (index) => ({ siteId: `S${index % SITES}` }),
  'each its own': (index) => ({ chargerId: `C${index}` }),
};
const reached: Record<Filters, (subscribers: number) => number> = {
  same: (subscribers) => subscribers,
  '50 filters': (subscribers) => subscribers / SITES,
  'each its own': () => 1,
};

interface Usage {
  readonly cpu: NodeJS.CpuUsage;
  readonly rss: number;
}
interface Server {
  readonly child: ChildProcess;
  readonly port: number;
  emit(events: number, chargers: number, perSecond?: number): Promise<void>;
  /** When an event was committed, by its `at` (both in milliseconds); without an entry: at that instant. */
  readonly committedAt: ReadonlyMap<number, number>;
}

const ask = async <T>(child: ChildProcess, what: unknown): Promise<T> => {
  const answer = message<T>(child);
  child.send(what as object);
  return answer;
};

async function startNamed(name: Name, database: string): Promise<Server> {
  if (name === 'ours') {
    const { child, port } = await startServer(postgres.url(database), ['--expose-gc']);
    const pool = new Pool({ connectionString: postgres.url(database), max: 8 });
    const notifier = new Client({ connectionString: postgres.url(database) });
    await notifier.connect();
    child.once('exit', () => void Promise.all([pool.end(), notifier.end()]).catch(() => {}));
    const committedAt = new Map<number, number>();
    return { child, port, committedAt, emit: (...how) => commitEvents(pool, notifier, committedAt, ...how) };
  }
  const child = start('subscription-peers.js', [name === 'raw ws' ? 'raw' : 'stock'], {}, ['--expose-gc']);
  const { port } = await message<{ port: number }>(child);
  const emit = async (events: number, chargers: number, perSecond?: number) => {
    if (perSecond === undefined) child.send({ emit: events, sites: SITES, chargers });
    else await paced(events, perSecond, async () => void child.send({ emit: 1, sites: SITES, chargers }));
  };
  return { child, port, committedAt: new Map(), emit };
}

/** Writes events as another node would: commits them, then notifies the feeds. */
async function commitEvents(
  pool: Pool,
  notifier: Client,
  committedAt: Map<number, number>,
  events: number,
  chargers: number,
  perSecond?: number,
) {
  let isHinting = false;
  // One hint at a time: the next one covers every commit made before it.
  const hint = () => {
    if (isHinting) return;
    isHinting = true;
    setImmediate(async () => {
      isHinting = false;
      await notifier.query('NOTIFY ev_reservation_hints');
    });
  };
  const commit = async (count: number) => {
    const some = Array.from({ length: count }, () => benchEvent(SITES, chargers));
    await pool.query({ name: 'events', text: INSERT, values: [JSON.stringify(some)] });
    for (const { at } of some) committedAt.set(at.getTime(), performance.timeOrigin + performance.now());
    hint();
  };
  if (perSecond !== undefined) return paced(events, perSecond, () => commit(1));
  let left = events;
  const writer = async () => {
    while (left > 0) {
      const count = Math.min(left, TOGETHER);
      left -= count;
      await commit(count);
    }
  };
  await Promise.all(Array.from({ length: 8 }, writer));
}

const INSERT = `
  INSERT INTO event (at, kind, type, site_id, charger_id, connector_id, from_status, to_status, actor, reservation_id, version, snapshot)
  SELECT at, kind, type, "siteId", "chargerId", "connectorId", "from", "to", actor, (reservation ->> 'id')::uuid, (reservation ->> 'version')::integer, reservation
  FROM jsonb_to_recordset($1) AS e (at timestamptz, kind text, type text, "siteId" text, "chargerId" text, "connectorId" integer,
                                    "from" text, "to" text, actor text, reservation jsonb)`;

async function paced(events: number, perSecond: number, emit: () => Promise<void>): Promise<void> {
  const begun = performance.now();
  const running: Promise<void>[] = [];
  for (let index = 0; index < events; index += 1) {
    const waitMs = begun + (index * 1000) / perSecond - performance.now();
    if (waitMs > 0) await new Promise((resolve) => setTimeout(resolve, waitMs));
    running.push(emit());
  }
  await Promise.all(running);
}

interface Result {
  readonly perSecond: number;
  readonly cpuMicros: number;
  readonly pacedCpuMicros: number;
  readonly kbIdle: number;
  readonly p50: number;
  readonly p99: number;
}

async function benchAt(subscribers: number): Promise<void> {
  for (const filters of values.filters.split(',') as Filters[]) {
    const results = new Map<Name, Result>();
    for (const name of ['ours', ...values.beside.split(',').filter(Boolean)] as Name[])
      results.set(name, await measure(name, filters, subscribers));
    console.log(`\n${subscribers} subscribers, ${filters}`);
    for (const [name, { perSecond, cpuMicros, pacedCpuMicros, kbIdle, p50, p99 }] of results) {
      console.log(
        `  ${name.padEnd(7)} ${perSecond.toFixed(0).padStart(8)} messages/s  ${cpuMicros.toFixed(1).padStart(7)} us of CPU each  ${kbIdle.toFixed(1).padStart(5)} KB a subscriber;  paced: p50 ${p50.toFixed(1)} ms  p99 ${p99.toFixed(1)} ms  ${pacedCpuMicros.toFixed(1)} us`,
      );
    }
    const ours = results.get('ours');
    for (const [name, { perSecond, cpuMicros }] of results) {
      if (!ours || name === 'ours') continue;
      const [throughput, cpu] = [ours.perSecond / perSecond, ours.cpuMicros / cpuMicros];
      console.log(`  ours / ${name}: throughput ${throughput.toFixed(2)}, CPU ${cpu.toFixed(2)}`);
    }
  }
}

async function measure(name: Name, filters: Filters, subscribers: number): Promise<Result> {
  const database = `bench_${Math.random().toString(36).slice(2)}`;
  const administration = new Client({ connectionString: postgres.url('postgres') });
  await administration.connect();
  await administration.query(`CREATE DATABASE ${database}`);
  await administration.end();
  const server = await startNamed(name, database);
  const client = start('subscribers.js', [], {});
  await message(client);
  const empty = await ask<Usage>(server.child, 'usage');
  const payloads = Array.from({ length: subscribers }, (_, index) => ({
    query: SUBSCRIPTION,
    variables: { filter: filterOf[filters](index) },
  }));
  await ask(client, { port: server.port, token, payloads });
  // An event that has reached every subscriber proves that all of them listen.
  const each = reached[filters](subscribers);
  await settle(server, client, filters, subscribers);
  const idle = await ask<Usage>(server.child, 'usage');

  // The stock path would take minutes for the full number.
  const messages = Number(values.messages) / (name === 'stock' ? 5 : 1);
  const events = Math.min(5000, Math.max(20, Math.round(messages / each)));
  await ask(client, 'reset');
  const before = await ask<Usage>(server.child, 'usage');
  const begun = performance.now();
  const emitting = server.emit(events, subscribers);
  await received(client, events * each);
  const seconds = (performance.now() - begun) / 1000;
  const after = await ask<Usage>(server.child, 'usage');
  await emitting;

  await ask(client, 'reset');
  // The same number of messages per second for any number of subscribers; the stock path gets one second, because it
  // falls behind at once.
  const rate = (Number(values.rate) * 1000) / subscribers;
  const pacedEvents = Math.ceil(rate * (name === 'stock' ? 1 : Number(values.seconds)));
  const beforePaced = await ask<Usage>(server.child, 'usage');
  await server.emit(pacedEvents, subscribers, rate);
  await received(client, pacedEvents * each);
  const pacedCpu = cpuOf(beforePaced, await ask<Usage>(server.child, 'usage'));
  const { samples } = await ask<{ samples: [number, number][] }>(client, 'samples');
  const delays = samples.map(([happened, got]) => Math.max(0, got - (server.committedAt.get(happened) ?? happened)));
  delays.sort((one, other) => one - other);
  await ask(client, 'end');
  await stopAll();
  return {
    perSecond: (events * each) / seconds,
    cpuMicros: cpuOf(before, after) / (events * each),
    pacedCpuMicros: pacedCpu / (pacedEvents * each),
    kbIdle: (idle.rss - empty.rss) / 1024 / subscribers,
    p50: percentile(delays, 0.5),
    p99: percentile(delays, 0.99),
  };
}

function cpuOf(before: Usage, { cpu }: Usage): number {
  return cpu.user + cpu.system - before.cpu.user - before.cpu.system;
}

/** Emits events until every subscriber has received them. */
async function settle(server: Server, client: ChildProcess, filters: Filters, subscribers: number): Promise<void> {
  const events = filters === 'same' ? 1 : filters === '50 filters' ? SITES : subscribers;
  const end = performance.now() + 120_000;
  while (performance.now() < end) {
    await ask(client, 'reset');
    await server.emit(events, subscribers);
    try {
      await received(client, events * reached[filters](subscribers), 30_000);
      return;
    } catch {}
  }
  throw new Error('Not every subscriber listens');
}

async function received(client: ChildProcess, expected: number, deadlineMs = 120_000): Promise<void> {
  const end = performance.now() + deadlineMs;
  for (;;) {
    const count = await ask<{ received: number }>(client, 'count');
    if (count.received >= expected) return;
    if (performance.now() > end) throw new Error(`${count.received} of ${expected} messages came`);
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
}

const folder = await mkdtemp(join(tmpdir(), 'ev-reservation-bench-'));
const postgres = await startEmbeddedPostgres({ dataFolder: join(folder, 'data') });
const token = await adminToken();
try {
  for (const subscribers of values.subscribers.split(',').map(Number)) await benchAt(subscribers);
} finally {
  await stopAll();
  await postgres.remove();
  await rm(folder, { recursive: true, force: true });
}
process.exit(0);
