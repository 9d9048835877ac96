// Starts the child processes of a benchmark (servers and chargers), and sends requests over one shared agent.
import { type ChildProcess, fork } from 'node:child_process';
import { once } from 'node:events';
import { Agent, request } from 'node:http';
import { join } from 'node:path';
import { SignJWT } from 'jose';

export const PASSWORD = 'bench-charger-password';
export const SECRET = 'a-secret-for-the-benchmark-of-32-characters';

const agent = new Agent({ keepAlive: true, maxSockets: 256 });

export function post(port: number, path: string, body: string, headers: Record<string, string> = {}): Promise<string> {
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

export async function message<T>(child: ChildProcess): Promise<T> {
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
export function start(
  script: string,
  args: string[],
  env: Record<string, string>,
  execArgv: string[] = [],
): ChildProcess {
  const child = fork(join(import.meta.dirname, script), args, { env: { ...process.env, ...env }, execArgv });
  children.push(child);
  return child;
}

/** A server stops in order when its parent disconnects; chargers have nothing to finish and are killed. */
export async function stopAll(): Promise<void> {
  for (const child of children.splice(0)) {
    if (child.exitCode !== null) continue;
    const exit = once(child, 'exit');
    if (child.spawnargs.some((argument) => argument.endsWith('chargers.js'))) child.kill();
    else child.disconnect();
    await exit;
  }
}

export interface Answer {
  readonly id: string;
  readonly status?: string;
  readonly message?: string;
}

export interface Server {
  readonly child: ChildProcess;
  readonly port: number;
  readonly ocppPort: number;
  /** Runs an operation with one root field as an admin, and returns the value of that field. */
  run<T = Answer>(query: string, variables: object): Promise<T>;
}

export function adminToken(): Promise<string> {
  const claims = new SignJWT({ role: 'admin' }).setProtectedHeader({ alg: 'HS256' }).setSubject('bench');
  return claims.setExpirationTime('1h').sign(new TextEncoder().encode(SECRET));
}

/** One caller sends the requests of many, so the limits must not stop it. */
const WITHOUT_LIMITS = {
  REQUESTS_PER_SECOND_PER_ADDRESS: '1000000',
  REQUESTS_PER_SECOND_PER_DRIVER: '1000000',
  REQUESTS_PER_SECOND_PER_OPERATOR: '1000000',
};

/** Starts our server on that database, as `npm start` would. `address` is sent as X-Forwarded-For with each request. */
export async function startServer(
  url: string,
  execArgv: string[] = [],
  more: Record<string, string> = WITHOUT_LIMITS,
  address?: string,
): Promise<Server> {
  const env = {
    DATABASE_URL: url,
    JWT_SECRET: SECRET,
    HOST: '127.0.0.1',
    PORT: '0',
    OCPP_PORT: '0',
    LOG_LEVEL: 'error',
  };
  const child = start('server.js', [], { ...env, DATABASE_POOL_SIZE: '16', ...more }, execArgv);
  const { port, ocppPort } = await message<{ port: number; ocppPort: number }>(child);
  const token = await adminToken();
  return {
    child,
    port,
    ocppPort,
    async run<T>(query: string, variables: object) {
      const headers = { authorization: `Bearer ${token}`, ...(address && { 'x-forwarded-for': address }) };
      const text = await post(port, '/graphql', JSON.stringify({ query, variables }), headers);
      const { data, errors } = JSON.parse(text);
      if (errors) throw new Error(text);
      return Object.values(data)[0] as T;
    },
  };
}

/** Starts simulated chargers that accept every Call. */
export const startChargers = (ocppPort: number, ids: readonly string[]): Promise<unknown> =>
  message(start('chargers.js', [`ws://127.0.0.1:${ocppPort}`, PASSWORD, ...ids], {}));

export const RESERVE = `mutation Reserve($input: ReserveNowInput!) { reserveNow(input: $input) { __typename
  ... on Reservation { id reservationId status expiryDate } ... on Refusal { code message } } }`;
export const CANCEL = `mutation Cancel($input: CancelReservationInput!) { cancelReservation(input: $input) { __typename
  ... on Reservation { id status } ... on Refusal { code message } } }`;

export function expectStatus(result: Answer, status: string): string {
  if (result.status !== status) throw new Error(`expected ${status}: ${JSON.stringify(result)}`);
  return result.id;
}

export const percentile = (sorted: readonly number[], share: number) =>
  sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))] ?? 0;
export const median = (numbers: readonly number[]) =>
  percentile(
    numbers.toSorted((a, b) => a - b),
    0.5,
  );
