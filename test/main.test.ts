// Tests the production process as an operator runs it: its configuration, a stop by signal, and a sudden death.
import { type ChildProcess, execFile, spawn } from 'node:child_process';
import { once } from 'node:events';
import { promisify } from 'node:util';
import { afterAll, afterEach, beforeAll, expect, it, vi } from 'vitest';
import { eventually } from './support/eventually.ts';
import { Queue } from './support/queue.ts';
import { RawCharger } from './support/raw-charger.ts';
import { createTestDatabase, type TestDatabase } from './support/test-database.ts';
import { driverToken, SECRET, TestServer } from './support/test-server.ts';

interface Line {
  readonly msg: string;
  readonly port?: number;
  readonly ocppPort?: number;
}

/** `npm start` compiles first, which takes its time. */
const START_MS = 40_000;
vi.setConfig({ testTimeout: 60_000 });

let database: TestDatabase;
const running: ChildProcess[] = [];

beforeAll(async () => {
  await promisify(execFile)('npm', ['run', '--silent', 'build'], { shell: process.platform === 'win32' });
  database = await createTestDatabase();
  const filler = await TestServer.start({ database });
  await filler.fill();
  await filler.stop();
}, 120_000);
afterEach(async () => {
  for (const child of running.splice(0)) {
    if (child.exitCode !== null || child.signalCode !== null) continue;
    child.kill('SIGKILL');
    await once(child, 'exit');
  }
});
afterAll(() => database.drop());

const env = () => ({ DATABASE_URL: database.url, JWT_SECRET: SECRET, HOST: '127.0.0.1', PORT: '0', OCPP_PORT: '0' });

async function startMain(command = process.execPath, args = ['dist/src/main.js']) {
  const child = spawn(command, args, {
    env: { PATH: process.env.PATH, ...env(), CHARGER_ANSWER_TIMEOUT_SECONDS: '1' },
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  running.push(child);
  const lines = new Queue<Line>();
  let rest = '';
  child.stdout?.on('data', (chunk) => {
    const parts = (rest + chunk).split('\n');
    rest = parts.pop() ?? '';
    for (const part of parts) lines.push(JSON.parse(part) as Line);
  });
  const { port, ocppPort } = await lines.until(({ msg }) => msg === 'ready', START_MS);
  return { child, lines, api: `http://127.0.0.1:${port}`, ocppUrl: `ws://127.0.0.1:${ocppPort}` };
}

async function post(api: string, query: string, variables: object) {
  const headers = { 'content-type': 'application/json', authorization: `Bearer ${await driverToken('ANNA')}` };
  const response = await fetch(`${api}/graphql`, {
    method: 'POST',
    headers,
    body: JSON.stringify({ query, variables }),
  });
  return ((await response.json()) as { data: Record<string, { id: string; status: string }> }).data;
}

const reserve = (api: string, input: object = {}) =>
  post(
    api,
    'mutation ($input: ReserveNowInput!) { reserveNow(input: $input) { ... on Reservation { id status } ... on Refusal { code } } }',
    {
      input: { chargerId: 'CH1', connectorId: 1, idTag: 'ANNA', ...input },
    },
  );
const reservation = async (api: string, id: string) =>
  (await post(api, 'query ($id: ID!) { reservation(id: $id) { id status } }', { id })).reservation;

it('the process does not start with a bad configuration, and names every missing or malformed variable', async () => {
  const child = spawn(process.execPath, ['dist/src/main.js'], { env: { PATH: process.env.PATH, PORT: 'eighty' } });
  let output = '';
  child.stderr.on('data', (chunk) => {
    output += chunk;
  });
  const [code] = await once(child, 'exit');
  expect(code).toBe(1);
  for (const name of ['DATABASE_URL', 'JWT_SECRET', 'PORT']) expect(output).toContain(name);
});

it('on SIGTERM to `npm start` the server closes charger connections with 1001, and npm exits with code 0', async () => {
  const { child, api, ocppUrl, lines } = await startMain('npm', ['start', '--silent']);
  expect((await fetch(`${api}/readyz`)).status).toBe(200);
  const charger = await RawCharger.connect({ url: ocppUrl, id: 'CH1' });
  child.kill('SIGTERM');
  expect(await charger.closed).toMatchObject({ code: 1001 });
  const [code] = await once(child, 'exit');
  expect(code).toBe(0);
  expect(lines.all.at(-1)).toMatchObject({ msg: 'stopped' });
});

it('a server killed during a ReserveNow sends the same ReserveNow after its restart and settles the reservation', async () => {
  const first = await startMain();
  const charger = await RawCharger.connect({ url: first.ocppUrl, id: 'CH1' });
  const lost = reserve(first.api).catch(() => undefined);
  const call = await charger.expectCall('ReserveNow');
  first.child.kill('SIGKILL');
  await Promise.all([once(first.child, 'exit'), lost]);

  const second = await startMain();
  // The second process knows that the first is dead: the charger counts as offline until it reconnects.
  expect((await reserve(second.api, { connectorId: 2 })).reserveNow).toMatchObject({ code: 'CHARGER_OFFLINE' });
  const back = await RawCharger.connect({ url: second.ocppUrl, id: 'CH1' });
  const again = await back.expectCall('ReserveNow');
  expect(again.payload).toEqual(call.payload);
  back.answer(again.id, { status: 'Accepted' });
  const [row] = await database.query<{ id: string }>('SELECT id FROM reservation WHERE reservation_id = $1', [
    call.payload.reservationId,
  ]);
  await eventually(async () =>
    expect(await reservation(second.api, row?.id ?? '')).toMatchObject({ status: 'ACCEPTED' }),
  );
});
