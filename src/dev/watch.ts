// `npm run dev`: the server on an embedded PostgreSQL (or on DATABASE_URL), started again whenever a source file
// changes. PostgreSQL stays up in between, and only the changed file is compiled, without checking its types: that is
// what the editor and `npm run types` are for. Chargers and clients connect again by themselves.
import { type ChildProcess, fork } from 'node:child_process';
import { once } from 'node:events';
import { watch } from 'node:fs';
import { mkdir, readdir, readFile, writeFile } from 'node:fs/promises';
import { dirname, join, relative, resolve } from 'node:path';
import { SignJWT } from 'jose';
import ts from 'typescript';
import { startEmbeddedPostgres } from './embedded-postgres.ts';

const { JWT_SECRET: SECRET = 'a-secret-for-development-of-32-characters' } = process.env;
const FOLDER = resolve('.demo', 'dev');
/** An editor writes several files, or one file several times, for one save. */
const SETTLE_MS = 50;
/** A server that does not stop by itself is killed, so that its successor gets the ports. */
const MAX_STOP_MS = 1000;

let server: ChildProcess | undefined;
let standby: ChildProcess | undefined;
let restarting: Promise<void> | undefined;

/** Forks a standby server, which loads the packages and waits for the message to start. */
function prepare(databaseUrl: string): ChildProcess {
  return fork('dist/src/dev/standby.js', {
    env: { HOST: '127.0.0.1', ...process.env, JWT_SECRET: SECRET, DATABASE_URL: databaseUrl },
    stdio: ['ignore', 'pipe', 'inherit', 'ipc'],
  });
}

function start(databaseUrl: string): void {
  const begun = Date.now();
  const child = standby?.connected ? standby : prepare(databaseUrl);
  standby = undefined;
  server = child;
  child.send('start');
  child.stdout?.on('data', (lines: Buffer) => {
    process.stdout.write(lines);
    if (!lines.includes('"msg":"ready"')) return;
    console.log(`— ready after ${Date.now() - begun} ms; watching src/`);
    standby ??= prepare(databaseUrl);
  });
}

/** Compiles one file as the build does, but by itself. A file that cannot be read was removed, or is being written. */
async function compile(file: string): Promise<void> {
  const text = await readFile(join('src', file), 'utf8').catch(() => undefined);
  if (text === undefined) return;
  const { config } = ts.readConfigFile('tsconfig.json', ts.sys.readFile);
  const compilerOptions = { ...config.compilerOptions, module: 'esnext' };
  const { outputText } = ts.transpileModule(text, { compilerOptions, fileName: file });
  const target = join('dist', 'src', file.replace(/\.ts$/, '.js'));
  await mkdir(dirname(target), { recursive: true });
  await writeFile(target, outputText);
}

async function restart(files: readonly string[], databaseUrl: string): Promise<void> {
  await Promise.all(files.map(compile));
  const child = server;
  if (child && child.exitCode === null && child.signalCode === null) {
    child.kill('SIGTERM');
    const kill = setTimeout(() => child.kill('SIGKILL'), MAX_STOP_MS);
    await once(child, 'exit');
    clearTimeout(kill);
  }
  start(databaseUrl);
}

const own = process.env.DATABASE_URL;
const postgres = own === undefined ? await startEmbeddedPostgres({ dataFolder: FOLDER, startClean: false }) : undefined;
const databaseUrl = own ?? postgres?.url('postgres') ?? '';
const token = await new SignJWT({ role: 'admin' })
  .setProtectedHeader({ alg: 'HS256' })
  .setSubject('developer')
  .setExpirationTime('30d')
  .sign(new TextEncoder().encode(SECRET));
const { PORT = '8080', OCPP_PORT = '9000' } = process.env;
console.log(`GraphQL: http://127.0.0.1:${PORT}/graphql   chargers: ws://127.0.0.1:${OCPP_PORT}/<id>`);
console.log(`An admin's token: ${token}\n`);
start(databaseUrl);

let settled: NodeJS.Timeout | undefined;
const changed = new Set<string>();
const onChange = (file: string) => {
  if (!file.endsWith('.ts')) return;
  changed.add(file);
  clearTimeout(settled);
  settled = setTimeout(() => {
    const files = [...changed];
    changed.clear();
    console.log(`— ${files.join(', ')} changed`);
    restarting = (restarting ?? Promise.resolve()).then(() => restart(files, databaseUrl)).catch(console.error);
  }, SETTLE_MS);
};
// Each folder is watched, not each file: many editors replace a file, and a watcher of the old file gets no events.
const folders = await readdir('src', { recursive: true, withFileTypes: true });
const watchers = [
  '',
  ...folders.filter((one) => one.isDirectory()).map((one) => relative('src', join(one.parentPath, one.name))),
].map((folder) => watch(join('src', folder), (_, file) => file && onChange(join(folder, file))));

let stopping: Promise<void> | undefined;

function stop(): Promise<void> {
  stopping ??= (async () => {
    for (const watcher of watchers) watcher.close();
    standby?.kill('SIGKILL');
    clearTimeout(settled);
    await restarting;
    if (server && server.exitCode === null && server.signalCode === null) {
      server.kill('SIGTERM');
      await once(server, 'exit');
    }
    await postgres?.stop();
    console.log('— stopped');
  })();
  return stopping;
}

// `on`, not `once`: npm passes on the signal that the terminal has already sent, and a second one must not end the
// process before PostgreSQL has stopped.
for (const signal of ['SIGINT', 'SIGTERM'] as const) {
  process.on(signal, () => void stop().finally(() => process.exit()));
}
