// `npm run chaos`: kills the server, cuts sockets and stops PostgreSQL while chargers, clients and watchers work, then
// compares what each of them remembers. Prints what was done and every difference; fails if there is one.
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { Client as DatabaseClient } from 'pg';
import { startEmbeddedPostgres } from '../../src/dev/embedded-postgres.ts';
import { SimulatedCharger, type SimulatedVersion } from '../../src/dev/simulator/simulated-charger.ts';
import { differences } from './checker.ts';
import { Client, type Counts, pause } from './client.ts';
import { ServerProcess, signToken } from './server-process.ts';
import { Watcher } from './watcher.ts';

const { values } = parseArgs({
  options: {
    seconds: { type: 'string', default: '180' },
    chargers: { type: 'string', default: '200' },
    clients: { type: 'string', default: '50' },
    watchers: { type: 'string', default: '5' },
  },
});
const PASSWORD = 'chaos-charger-password';
const QUIET_SECONDS = 150;
const versions: SimulatedVersion[] = ['1.6', '2.0.1', '2.1'];

process.on('unhandledRejection', (error) => {
  console.error('unhandled:', error);
  process.exitCode = 1;
});

const folder = await mkdtemp(join(tmpdir(), 'ev-reservation-chaos-'));
const postgres = await startEmbeddedPostgres({ dataFolder: join(folder, 'data') });
const server = await ServerProcess.start(postgres.url('postgres'));
const admin = await signToken('ada', { role: 'admin' });

const chargers = Array.from({ length: Number(values.chargers) }, (_, index) => {
  const version = versions[index % versions.length] as SimulatedVersion;
  return new SimulatedCharger({
    url: server.ocppUrl,
    id: `CHAOS-${index}`,
    password: PASSWORD,
    version,
    connectors: 2,
  });
});
const names = Array.from({ length: Number(values.clients) }, (_, index) => `DRIVER${index}`);

async function save(what: string, input: object): Promise<void> {
  const query = `mutation ($input: Save${what}Input!) { save${what}(input: $input) { ... on Refusal { message } } }`;
  const answer = await server.ask(admin, query, { input });
  if (!answer || answer.message) throw new Error(`${what} was not saved: ${answer?.message}`);
}
await save('Site', { id: 'site', name: 'Chaos', timeZone: 'UTC' });
for (const { id } of chargers) await save('Charger', { id, siteId: 'site', password: PASSWORD });
for (const idTag of names) await save('IdTag', { idTag });
await Promise.all(chargers.map((charger) => charger.start()));

const counts: Counts = { operations: 0, repeated: 0 };
const done = { kills: 0, 'charger cuts': 0, 'watcher cuts': 0, reboots: 0, silences: 0, 'database stops': 0 };
const from = await server.ask(admin, '{ eventCursor }', {});
const watchers = Array.from({ length: Number(values.watchers) }, () => new Watcher(server, from));
const clients = names.map((name) => new Client(name, server, chargers, counts));
const watching = watchers.map((watcher) => watcher.watch());
const working = clients.map((client) => client.work());

const any = <T>(all: readonly T[]): T => all[Math.floor(Math.random() * all.length)] as T;
let isCalm = false;

async function killServers(): Promise<void> {
  while (!isCalm) {
    await pause(4000 + Math.random() * 6000);
    if (isCalm) return;
    await server.kill('SIGKILL');
    done.kills += 1;
    await pause(Math.random() * 1000);
    while (!(await server.start())) await pause(200);
  }
}

async function cutSockets(): Promise<void> {
  while (!isCalm) {
    await pause(200 + Math.random() * 400);
    const charger = any(chargers);
    const choice = Math.random();
    if (choice < 0.5) {
      done['charger cuts'] += 1;
      await charger.disconnect();
      await pause(Math.random() * 500);
      await charger.connect().catch(() => {});
    } else if (choice < 0.65) {
      done.reboots += 1;
      await charger.reboot().catch(() => {});
    } else if (choice < 0.85) {
      done.silences += 1;
      charger.behaviour = any([{ type: 'silent' }, { type: 'deaf' }, { type: 'late', delayMs: 3000 }] as const);
      void pause(3000).then(() => {
        charger.behaviour = { type: 'normal' };
      });
    } else {
      done['watcher cuts'] += 1;
      any(watchers).cut();
    }
  }
}

async function stopDatabase(): Promise<void> {
  while (!isCalm) {
    await pause(12_000 + Math.random() * 8000);
    if (isCalm) return;
    await postgres.halt(any(['SIGINT', 'SIGQUIT'] as const));
    done['database stops'] += 1;
    await pause(Math.random() * 2000);
    await postgres.start();
  }
}

const began = Date.now();
const chaos = [killServers(), cutSockets(), cutSockets(), stopDatabase()];
await pause(Number(values.seconds) * 1000);
isCalm = true;
await Promise.all(chaos);
for (const client of clients) client.stop();
await Promise.all(working);

/**
 * Waits until every charger is connected and no reservation is unsettled; returns what is still open after
 * QUIET_SECONDS.
 */
async function quiet(database: DatabaseClient): Promise<string | undefined> {
  let open = '';
  for (let second = 0; second < QUIET_SECONDS; second += 1) {
    await Promise.all(
      chargers.map(async (charger) => {
        charger.behaviour = { type: 'normal' };
        if (!charger.isConnected) await charger.connect().catch(() => {});
        else if (charger.queued > 0) await charger.call('Heartbeat', {}).catch(() => {});
      }),
    );
    const { rows } = await database.query<{ n: number; what: string }>(
      `SELECT count(*)::int AS n, string_agg(DISTINCT status, ', ') AS what FROM reservation
       WHERE status IN ('PENDING', 'UNKNOWN', 'CANCELLING') OR due_at IS NOT NULL`,
    );
    const queued = chargers.filter((charger) => charger.queued > 0 || !charger.isConnected).length;
    open = `${rows[0]?.n} reservations (${rows[0]?.what}), ${queued} chargers`;
    if (rows[0]?.n === 0 && queued === 0) return undefined;
    await pause(1000);
  }
  return `it never became quiet: ${open} unsettled`;
}

const database = new DatabaseClient({ connectionString: postgres.url('postgres') });
await database.connect();
const unsettled = await quiet(database);
const { rows } = await database.query<{ events: number; reservations: number; used: number }>(
  `SELECT (SELECT count(*)::int FROM event WHERE kind = 'RESERVATION') AS events, count(*)::int AS reservations,
     count(*) FILTER (WHERE status = 'USED')::int AS used FROM reservation`,
);
for (let waited = 0; waited < 100; waited += 1) {
  if (watchers.every(({ seen }) => seen.length >= (rows[0]?.events ?? 0))) break;
  await pause(100);
}
const told = clients.flatMap((client) => client.told);
const found = [...(unsettled ? [unsettled] : []), ...(await differences({ database, told, chargers, watchers }))];

const table = {
  seconds: Math.round((Date.now() - began) / 1000),
  chargers: chargers.length,
  clients: clients.length,
  operations: counts.operations,
  'requests sent again': counts.repeated,
  ...rows[0],
  'watcher connections': watchers.reduce((sum, { connections }) => sum + connections, 0),
  ...done,
  differences: found.length,
};
for (const [name, count] of Object.entries(table)) console.log(`${name.padEnd(22)} ${count}`);
for (const line of found.slice(0, 50)) console.log(`! ${line}`);
if (found.length > 0) {
  for (const line of server.faults.slice(-20)) console.log(line.slice(0, 500));
  process.exitCode = 1;
}

for (const watcher of watchers) watcher.stop();
await Promise.all([...watching, ...chargers.map((charger) => charger.stop()), database.end()]);
await server.kill('SIGTERM');
await postgres.remove();
await rm(folder, { recursive: true, force: true });
process.exit();
