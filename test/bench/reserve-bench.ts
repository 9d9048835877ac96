// Benchmarks reserve and cancel on our server and on the floor, in turn, in one run.
import type { ChildProcess } from 'node:child_process';
import { cpus } from 'node:os';
import { Client } from 'pg';
import {
  CANCEL,
  expectStatus,
  median,
  message,
  PASSWORD,
  percentile,
  post,
  RESERVE,
  start,
  startChargers,
  startServer,
} from './processes.ts';

export interface ReserveBench {
  readonly seconds: number;
  readonly rounds: number;
  readonly levels: readonly number[];
  readonly chargers: number;
}

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

async function measure(target: Target, concurrency: number, seconds: number): Promise<Measured> {
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

async function startOurs(url: string, ids: readonly string[]): Promise<Target> {
  const { child, ocppPort, run } = await startServer(url);
  const save = (what: string, input: object) =>
    run(`mutation ($input: Save${what}Input!) { save${what}(input: $input) { __typename } }`, { input });
  await save('Site', { id: 'site', name: 'Bench', timeZone: 'UTC' });
  await save('IdTag', { idTag: 'ANNA' });
  for (const id of ids)
    await save('Charger', { id, siteId: 'site', password: PASSWORD, connectors: [{ connectorId: 1 }] });
  await startChargers(ocppPort, ids);
  return {
    name: 'ours',
    child,
    async reserve(worker) {
      const input = { chargerId: ids[worker % ids.length], connectorId: 1, idTag: 'ANNA', durationMinutes: 30 };
      return expectStatus(await run(RESERVE, { input }), 'ACCEPTED');
    },
    async cancel(id) {
      expectStatus(await run(CANCEL, { input: { id } }), 'CANCELLED');
    },
  };
}

/** The floor has a database of its own, with the same schema and the same rows. */
async function startFloor(url: string, ids: readonly string[]): Promise<Target> {
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
  await startChargers(ocppPort, ids);
  const run = async (path: string, body: object) =>
    JSON.parse(await post(port, path, JSON.stringify(body))) as { id: string };
  return {
    name: 'floor',
    child,
    reserve: async (worker) => (await run('/reserve', { chargerId: ids[worker % ids.length] })).id,
    cancel: async (id) => void (await run('/cancel', { id })),
  };
}

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

/** Our server and the floor have a database each. */
export async function benchReserve(urls: { ours: string; floor: string }, options: ReserveBench): Promise<void> {
  const { seconds, rounds, levels } = options;
  const ids = Array.from({ length: options.chargers }, (_, index) => `BENCH-${index + 1}`);
  const targets = [await startOurs(urls.ours, ids), await startFloor(urls.floor, ids)];
  console.log(
    `${ids.length} chargers, ${cpus().length} cores, ${rounds} rounds of ${seconds} s each, in turn; a round is reserve + cancel`,
  );
  for (const target of targets) await measure(target, 16, seconds); // Warm-up.
  console.log('\n in flight         reservations/s   reserve p50   p99 ms   cancel p50   p99 ms   CPU ms/reservation');
  for (const level of levels) {
    const runs = targets.map((): Measured[] => []);
    for (let round = 0; round < rounds; round += 1) {
      for (const [index, target] of targets.entries()) runs[index]?.push(await measure(target, level, seconds));
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
}
