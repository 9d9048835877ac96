// `npm run demo`: runs everything on this machine: an embedded PostgreSQL, the server and a site with simulated
// chargers. It prints commands to paste; Ctrl-C stops all of it.
import { randomBytes } from 'node:crypto';
import { mkdir, readFile, rm, writeFile } from 'node:fs/promises';
import { resolve } from 'node:path';
import { parseArgs } from 'node:util';
import { SignJWT } from 'jose';
import { Client } from 'pg';
import { type Config, readConfig } from '../app/config.ts';
import { type App, startApp } from '../app/start.ts';
import { type EmbeddedPostgres, startEmbeddedPostgres } from './embedded-postgres.ts';
import { addGraphiQL, type Tab } from './graphiql.ts';
import { readCommands, serveCommands } from './simulator/console.ts';
import { SimulatedCharger, type SimulatedVersion } from './simulator/simulated-charger.ts';

const USAGE = `npm run demo -- [--clean] [--port 8080] [--ocpp-port 9000] [--control-port 8090] [--log-level warn]
  --clean    starts without the data and the tokens of the last run`;

function readOptions() {
  try {
    const { values } = parseArgs({
      options: {
        clean: { type: 'boolean', default: false },
        port: { type: 'string', default: '8080' },
        'ocpp-port': { type: 'string', default: '9000' },
        'control-port': { type: 'string', default: '8090' },
        'log-level': { type: 'string', default: 'warn' },
        help: { type: 'boolean', default: false },
      },
    });
    if (!values.help) return values;
    console.log(USAGE);
    process.exit(0);
  } catch (error) {
    console.error(`${(error as Error).message}\n${USAGE}`);
    process.exit(1);
  }
}
const values = readOptions();

const FOLDER = resolve('.demo');
const PID_FILE = resolve(FOLDER, 'pid');
const SECRET_FILE = resolve(FOLDER, 'jwt-secret');
const SITE = 'demo';
const PASSWORD = 'demo-charger-password';
const fleet: readonly { id: string; version: SimulatedVersion }[] = [
  { id: 'DEMO-1', version: '1.6' },
  { id: 'DEMO-2', version: '1.6' },
  { id: 'DEMO-3', version: '2.0.1' },
  { id: 'DEMO-4', version: '2.0.1' },
];
const idTags = [{ idTag: 'ANNA', parentIdTag: 'FLEET' }, { idTag: 'BEN', parentIdTag: 'FLEET' }, { idTag: 'CLEO' }];

let postgres: EmbeddedPostgres | undefined;
let app: App | undefined;
let chargers: SimulatedCharger[] = [];
let starting: Promise<void> | undefined;
let stopping: Promise<void> | undefined;

/** Stops everything in reverse order of its start; a step that fails does not keep the next ones from running. */
function stop(): Promise<void> {
  stopping ??= (async () => {
    console.log('\nStopping …');
    await starting?.catch(() => {});
    const steps = [
      () => Promise.allSettled(chargers.map((charger) => charger.stop())),
      () => app?.stop(),
      () => postgres?.stop(),
      () => starting && rm(PID_FILE, { force: true }),
    ];
    for (const step of steps) {
      await Promise.resolve(step()).catch((error) => console.error((error as Error).message));
    }
  })();
  return stopping;
}

async function run(): Promise<void> {
  if (values.clean) await rm(SECRET_FILE, { force: true });
  console.log('Starting PostgreSQL …');
  postgres = await startEmbeddedPostgres({ dataFolder: resolve(FOLDER, 'postgres'), startClean: values.clean });
  await createDatabase(postgres);
  const secret = await keptSecret();
  const config = readConfig({
    DATABASE_URL: postgres.url('demo'),
    HOST: '127.0.0.1',
    PORT: values.port,
    OCPP_PORT: values['ocpp-port'],
    JWT_SECRET: secret,
    CHARGER_ANSWER_TIMEOUT_SECONDS: '10',
    LOG_LEVEL: values['log-level'],
  });
  const tokens = await signTokens(secret);
  app = await startApp(config, { addRoutes: (http) => addGraphiQL(http, tabsOf(tokens)) });
  await fillSite(config, tokens.admin);

  const url = `ws://127.0.0.1:${app.ocppPort}/ocpp`;
  chargers = fleet.map(
    ({ id, version }) => new SimulatedCharger({ url, id, version, password: PASSWORD, connectors: 2 }),
  );
  await Promise.all(chargers.map((charger) => charger.start()));
  const controlPort = Number(values['control-port']);
  const control = await serveCommands(chargers, controlPort);
  control.unref();
  readCommands(chargers);
  printGuide(config, tokens, controlPort);
}

/** Throws when another demo runs in this folder: both would share one database. */
async function beAlone(): Promise<void> {
  await mkdir(FOLDER, { recursive: true });
  const other = Number(await readFile(PID_FILE, 'utf8').catch(() => '0'));
  if (other > 0 && other !== process.pid && (await isDemo(other))) {
    throw new Error(`another demo runs in this folder already (process ${other}); stop it first.`);
  }
  await writeFile(PID_FILE, `${process.pid}`);
}

async function isDemo(pid: number): Promise<boolean> {
  try {
    process.kill(pid, 0);
  } catch {
    return false;
  }
  const command = await readFile(`/proc/${pid}/cmdline`, 'utf8').catch(() => 'demo');
  return command.includes('demo');
}

async function createDatabase(server: EmbeddedPostgres): Promise<void> {
  const client = new Client({ connectionString: server.url('postgres') });
  await client.connect();
  const { rowCount } = await client.query(`SELECT FROM pg_database WHERE datname = 'demo'`);
  if (rowCount === 0) await client.query('CREATE DATABASE demo');
  await client.end();
}

/** The JWT secret is kept in a file, so that tokens of an earlier run stay valid. */
async function keptSecret(): Promise<string> {
  const kept = await readFile(SECRET_FILE, 'utf8').catch(() => undefined);
  if (kept) return kept;
  const secret = randomBytes(32).toString('base64url');
  await writeFile(SECRET_FILE, secret, { mode: 0o600 });
  return secret;
}

interface Tokens {
  readonly driver: string;
  readonly operator: string;
  readonly admin: string;
}

async function signTokens(secret: string): Promise<Tokens> {
  const sign = (subject: string, claims: object) =>
    new SignJWT({ ...claims })
      .setProtectedHeader({ alg: 'HS256' })
      .setSubject(subject)
      .setIssuedAt()
      .setExpirationTime('30d')
      .sign(new TextEncoder().encode(secret));
  return {
    driver: await sign('anna', { role: 'driver', idTags: ['ANNA'] }),
    operator: await sign('olga', { role: 'operator', sites: [SITE] }),
    admin: await sign('root', { role: 'admin' }),
  };
}

/** Saves the demo's site, chargers and idTags through the API, as an admin would. */
async function fillSite({ port }: Config, token: string): Promise<void> {
  const run = async (query: string, input: object) => {
    const response = await fetch(`http://127.0.0.1:${port}/graphql`, {
      method: 'POST',
      headers: { 'content-type': 'application/json', authorization: `Bearer ${token}` },
      body: JSON.stringify({ query, variables: { input } }),
    });
    const { data, errors } = (await response.json()) as {
      data?: Record<string, { message?: string }>;
      errors?: unknown;
    };
    const refusal = Object.values(data ?? {})[0]?.message;
    if (errors || refusal) throw new Error(`The demo site could not be saved: ${refusal ?? JSON.stringify(errors)}`);
  };
  const result = '{ __typename ... on Refusal { message } }';
  const site = {
    id: SITE,
    name: 'Demo site',
    timeZone: 'Europe/Berlin',
    policy: { minDurationMinutes: 0, maxDurationMinutes: 120 },
  };
  await run(`mutation ($input: SaveSiteInput!) { saveSite(input: $input) ${result} }`, site);
  for (const { id } of fleet) {
    const connectors = [
      { connectorId: 1, plugTypes: ['CCS2'] },
      { connectorId: 2, plugTypes: ['TYPE2'] },
    ];
    const charger = { id, siteId: SITE, name: `Demo charger ${id.slice(-1)}`, password: PASSWORD, connectors };
    await run(`mutation ($input: SaveChargerInput!) { saveCharger(input: $input) ${result} }`, charger);
  }
  for (const idTag of idTags)
    await run(`mutation ($input: SaveIdTagInput!) { saveIdTag(input: $input) ${result} }`, idTag);
}

const RESERVE = `mutation Reserve {
  reserveNow(input: { chargerId: "DEMO-1", connectorId: 1, idTag: "ANNA", durationMinutes: 15 }) {
    __typename
    ... on Reservation { id reservationId status chargerId connectorId expiryDate }
    ... on Refusal { code message }
  }
}`;
const WATCH =
  'subscription Watch { reservationChanged(snapshot: true) { type from to reason at reservation { id chargerId connectorId idTag expiryDate } } }';

function tabsOf({ driver, operator }: Tokens): Tab[] {
  return [
    { query: RESERVE, token: driver },
    { query: WATCH, token: operator },
    {
      query: 'subscription Connectors { connectorChanged(snapshot: true) { type chargerId connectorId from to at } }',
      token: operator,
    },
    {
      query:
        'query Chargers { chargers { edges { node { id ocppVersion isConnected connectors { connectorId state reservedUntil } } } } }',
      token: driver,
    },
    {
      query: `query Options {
  reservationOptions(siteId: "${SITE}", idTag: "ANNA") {
    __typename
    ... on ReservationOptions { isAllowed reasons { message allowedFrom } maxDurationMinutes freeWindows { chargerId connectorId from until } }
    ... on Refusal { code message }
  }
}`,
      token: driver,
    },
    {
      query: `mutation Cancel($id: ID!) {
  cancelReservation(input: { id: $id }) {
    __typename
    ... on Reservation { id status reason }
    ... on Refusal { code message }
  }
}`,
      variables: '{ "id": "" }',
      token: driver,
    },
  ];
}

function printGuide({ port }: Config, tokens: Tokens, controlPort: number): void {
  const oneLine = RESERVE.replace(/\s+/g, ' ').replaceAll('"', '\\"');
  console.log(`
The reservation server runs, with ${fleet.length} simulated chargers of two connectors each:
${fleet.map(({ id, version }) => `  ${id} (OCPP ${version})`).join('\n')}

Tokens, one for each role (they last 30 days):
  driver    (anna, idTag ANNA)   ${tokens.driver}
  operator  (olga, site ${SITE})    ${tokens.operator}
  admin     (root)               ${tokens.admin}

Watch, in a browser:   http://127.0.0.1:${port}/graphiql   (the tabs carry their tokens; start with "Watch")
          ${WATCH}

Reserve, in another terminal:
curl -s http://127.0.0.1:${port}/graphql -H 'content-type: application/json' \\
  -H 'authorization: Bearer ${tokens.driver}' \\
  -d '{"query":"${oneLine}"}'

Reserve, in GraphiQL:
${RESERVE}

Use it at the charger, here or by curl (the idTags are ${idTags.map(({ idTag }) => idTag).join(', ')}; type "help" for more):
  present DEMO-1 1 ANNA
  curl -d 'present DEMO-1 1 ANNA' http://127.0.0.1:${controlPort}

More chargers, in another terminal:
  npm run simulate -- --url ws://127.0.0.1:${values['ocpp-port']} --chargers 50 --ocpp 1.6 \\
    --graphql http://127.0.0.1:${port}/graphql --site ${SITE} --token ${tokens.admin}

Ctrl-C stops everything. The data is kept; "npm run demo -- --clean" starts without it.
`);
}

for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) {
  process.on(signal, () => void stop().finally(() => process.exit(0)));
}
try {
  await beAlone();
  starting = run();
  await starting;
} catch (error) {
  const { message, code, port } = error as Error & { code?: string; port?: number };
  const option = (['port', 'ocpp-port', 'control-port'] as const).find((name) => values[name] === `${port}`);
  const isTaken = code === 'EADDRINUSE' && option !== undefined;
  const reason = isTaken ? `port ${port} is in use; choose another with --${option}.` : message;
  console.error(`The demo could not start: ${reason}`);
  await stop();
  process.exit(1);
}
