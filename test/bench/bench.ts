// `npm run bench`: reserve and cancel, ours and the floor side by side in one run, on the embedded PostgreSQL as it
// would run for real (durable). Prints the ratio ours / floor.
import { type ChildProcess, fork } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, rm } from 'node:fs/promises';
import { Agent, request } from 'node:http';
import { cpus, tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { SignJWT } from 'jose';
import { Client } from 'pg';
import { openDatabase } from '../../src/database/database.ts';
import { startEmbeddedPostgres } from '../../src/database/embedded-postgres.ts';

const { values } = parseArgs({
  options: {
    seconds: { type: 'string', default: '5' },
    rounds: { type: 'string', default: '3' },
    concurrency: { type: 'string', default: '1,16,64' },
    chargers: { type: 'string', default: '64' },
  },
});
const seconds = Number(values.seconds);
const rounds = Number(values.rounds);
const levels = values.concurrency.split(',').map(Number);
const ids = Array.from({ length: Number(values.chargers) }, (_, index) => `BENCH-${index + 1}`);
const PASSWORD = 'bench-charger-password';
const SECRET = 'a-secret-for-the-benchmark-of-32-characters';

interface Target {
  readonly name: string;
  readonly child: ChildProcess;
  reserve(worker: number): Promise<string>;
  cancel(id: string): Promise<void>;
}

interface Measured {
  readonly perSecond: number;
  readonly reserveMs: readonly number[];
  readonly cancelMs: readonly number[];
  readonly cpuMs: number;
}

const agent = new Agent({ keepAlive: true, maxSockets: 256 });

function post(port: number, path: string, body: string, headers: Record<string, string> = {}): Promise<string> {
  return new Promise((resolve, reject) => {
    const options = { agent, host: '127.0.0.1', port, path, method: 'POST' };
    const length = `${Buffer.byteLength(body)}`;
    const sent = request({
      ...options,
      headers: { 'content-type': 'application/json', 'content-length': length, ...headers },
    });
    sent.once('error', reject);
    sent.once('response', (response) => {
      let text = '';
      response.on('data', (chunk) => {
        text += chunk;
      });
      response.on('end', () => resolve(text));
    });
    sent.end(body);
  });
}

async function message<T>(child: ChildProcess): Promise<T> {
  const ended = new AbortController();
  const exit = once(child, 'exit', { signal: ended.signal }).then(
    ([code]) => Promise.reject(new Error(`A process of the benchmark ended (${code})`)),
    () => [] as unknown[],
  );
  try {
    const [value] = await Promise.race([once(child, 'message'), exit]);
    return value as T;
  } finally {
    ended.abort();
  }
}

const children: ChildProcess[] = [];
function start(script: string, args: string[], env: Record<string, string>): ChildProcess {
  const child = fork(join(import.meta.dirname, script), args, { env: { ...process.env, ...env } });
  children.push(child);
  return child;
}

async function measure(target: Target, concurrency: number): Promise<Measured> {
  const reserveMs: number[] = [];
  const cancelMs: number[] = [];
  const cpuOf = async () => {
    const answer = message<{ cpu: NodeJS.CpuUsage }>(target.child);
    target.child.send('cpu');
    const { cpu } = await answer;
    return (cpu.user + cpu.system) / 1000;
  };
  const before = await cpuOf();
  const begun = performance.now();
  const end = begun + seconds * 1000;
  const work = async (worker: number) => {
    while (performance.now() < end) {
      const reserving = performance.now();
      const id = await target.reserve(worker);
      const cancelling = performance.now();
      await target.cancel(id);
      reserveMs.push(cancelling - reserving);
      cancelMs.push(performance.now() - cancelling);
    }
  };
  await Promise.all(Array.from({ length: concurrency }, (_, worker) => work(worker)));
  const took = (performance.now() - begun) / 1000;
  const count = reserveMs.length;
  return { perSecond: count / took, reserveMs, cancelMs, cpuMs: ((await cpuOf()) - before) / count };
}

const RESERVE = `mutation Reserve($input: ReserveNowInput!) { reserveNow(input: $input) { __typename
  ... on Reservation { id reservationId status expiryDate } ... on Refusal { code message } } }`;
const CANCEL = `mutation Cancel($input: CancelReservationInput!) { cancelReservation(input: $input) { __typename
  ... on Reservation { id status } ... on Refusal { code message } } }`;

async function startOurs(url: string): Promise<Target> {
  const env = {
    DATABASE_URL: url,
    JWT_SECRET: SECRET,
    HOST: '127.0.0.1',
    PORT: '0',
    OCPP_PORT: '0',
    LOG_LEVEL: 'error',
  };
  const child = start('server.js', [], { ...env, DATABASE_POOL_SIZE: '16' });
  const { port, ocppPort } = await message<{ port: number; ocppPort: number }>(child);
  const sign = (claims: object) =>
    new SignJWT({ ...claims }).setProtectedHeader({ alg: 'HS256' }).setSubject('bench').setExpirationTime('1h');
  const key = new TextEncoder().encode(SECRET);
  const token = await sign({ role: 'admin' }).sign(key);
  const run = async (query: string, input: object) => {
    const text = await post(port, '/graphql', JSON.stringify({ query, variables: { input } }), {
      authorization: `Bearer ${token}`,
    });
    const { data, errors } = JSON.parse(text);
    if (errors) throw new Error(text);
    return Object.values(data)[0] as { id: string; status?: string; message?: string };
  };
  await run('mutation ($input: SaveSiteInput!) { saveSite(input: $input) { __typename } }', {
    id: 'site',
    name: 'Bench',
    timeZone: 'UTC',
  });
  await run('mutation ($input: SaveIdTagInput!) { saveIdTag(input: $input) { __typename } }', { idTag: 'ANNA' });
  for (const id of ids) {
    const charger = { id, siteId: 'site', password: PASSWORD, connectors: [{ connectorId: 1 }] };
    await run('mutation ($input: SaveChargerInput!) { saveCharger(input: $input) { __typename } }', charger);
  }
  await message(start('chargers.js', [`ws://127.0.0.1:${ocppPort}`, PASSWORD, ...ids], {}));
  const expectStatus = (result: { id: string; status?: string; message?: string }, status: string) => {
    if (result.status !== status) throw new Error(`expected ${status}: ${JSON.stringify(result)}`);
    return result.id;
  };
  return {
    name: 'ours',
    child,
    async reserve(worker) {
      const input = { chargerId: ids[worker % ids.length], connectorId: 1, idTag: 'ANNA', durationMinutes: 30 };
      return expectStatus(await run(RESERVE, input), 'ACCEPTED');
    },
    async cancel(id) {
      expectStatus(await run(CANCEL, { id }), 'CANCELLED');
    },
  };
}

/** On a database of its own with the same schema and the same rows. */
async function startFloor(url: string): Promise<Target> {
  const client = new Client({ connectionString: url });
  await client.connect();
  await client.query(`INSERT INTO site VALUES ('site', 'Bench', 'UTC')`);
  await client.query(
    `INSERT INTO charger (id, site_id, name, password_hash) SELECT id, 'site', id, '' FROM unnest($1::text[]) id`,
    [ids],
  );
  await client.end();
  const child = start('floor.js', [], { DATABASE_URL: url, DATABASE_POOL_SIZE: '16' });
  const { port, ocppPort } = await message<{ port: number; ocppPort: number }>(child);
  await message(start('chargers.js', [`ws://127.0.0.1:${ocppPort}`, PASSWORD, ...ids], {}));
  const run = async (path: string, body: object) =>
    JSON.parse(await post(port, path, JSON.stringify(body))) as { id: string };
  return {
    name: 'floor',
    child,
    reserve: async (worker) => (await run('/reserve', { chargerId: ids[worker % ids.length] })).id,
    cancel: async (id) => void (await run('/cancel', { id })),
  };
}

const percentile = (sorted: readonly number[], share: number) =>
  sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))] ?? 0;
const median = (numbers: readonly number[]) =>
  percentile(
    numbers.toSorted((a, b) => a - b),
    0.5,
  );

function summarize(runs: readonly Measured[]) {
  const sorted = (of: (run: Measured) => readonly number[]) => runs.flatMap(of).toSorted((a, b) => a - b);
  const reserve = sorted(({ reserveMs }) => reserveMs);
  const cancel = sorted(({ cancelMs }) => cancelMs);
  return {
    perSecond: median(runs.map(({ perSecond }) => perSecond)),
    reserveP50: percentile(reserve, 0.5),
    reserveP99: percentile(reserve, 0.99),
    cancelP50: percentile(cancel, 0.5),
    cancelP99: percentile(cancel, 0.99),
    cpuMs: median(runs.map(({ cpuMs }) => cpuMs)),
  };
}

const folder = await mkdtemp(join(tmpdir(), 'ev-reservation-bench-'));
const postgres = await startEmbeddedPostgres({ dataFolder: join(folder, 'data') });
try {
  const administration = new Client({ connectionString: postgres.url('postgres') });
  await administration.connect();
  for (const name of ['ours', 'floor']) await administration.query(`CREATE DATABASE ${name}`);
  await administration.end();
  await (await openDatabase({ url: postgres.url('floor'), poolSize: 2, entities: [] })).close();
  const targets = [await startOurs(postgres.url('ours')), await startFloor(postgres.url('floor'))];
  console.log(
    `${ids.length} chargers, ${cpus().length} cores, ${rounds} rounds of ${seconds} s each, in turn; a round is reserve + cancel`,
  );
  for (const target of targets) await measure(target, 16); // Warm-up.
  console.log('\n in flight         reservations/s   reserve p50   p99 ms   cancel p50   p99 ms   CPU ms/reservation');
  for (const level of levels) {
    const runs = targets.map((): Measured[] => []);
    for (let round = 0; round < rounds; round += 1) {
      for (const [index, target] of targets.entries()) runs[index]?.push(await measure(target, level));
    }
    const [ours, floor] = runs.map(summarize);
    if (!ours || !floor) throw new Error('Nothing was measured');
    for (const [name, of] of [
      ['ours', ours],
      ['floor', floor],
    ] as const) {
      const numbers = [of.reserveP50, of.reserveP99, of.cancelP50, of.cancelP99, of.cpuMs].map((one) =>
        one.toFixed(2).padStart(10),
      );
      console.log(
        `${`${level}`.padStart(10)}  ${name.padEnd(6)} ${of.perSecond.toFixed(0).padStart(14)}  ${numbers.join('  ')}`,
      );
    }
    const ratio = (one: number, other: number) => (one / other).toFixed(2);
    console.log(
      `            ours/floor: throughput ${ratio(ours.perSecond, floor.perSecond)}, reserve p99 ${ratio(ours.reserveP99, floor.reserveP99)}, CPU ${ratio(ours.cpuMs, floor.cpuMs)}`,
    );
  }
} finally {
  // Servers stop in order when their parent lets go of them; chargers have nothing to end.
  for (const child of children) {
    if (child.exitCode !== null) continue;
    const exit = once(child, 'exit');
    if (child.spawnargs.some((argument) => argument.endsWith('chargers.js'))) child.kill();
    else child.disconnect();
    await exit;
  }
  await postgres.stop();
  await rm(postgres.dataFolder, { recursive: true, force: true });
  await rm(folder, { recursive: true, force: true });
}
process.exit(0);
