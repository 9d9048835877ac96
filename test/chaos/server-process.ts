// The server as an operator runs it: a process of its own on fixed ports, which can be killed and started again.
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import { SignJWT } from 'jose';
import { freePort } from '../../src/dev/embedded-postgres.ts';

const SECRET = 'a-secret-for-the-chaos-run-of-32-characters';
const MAIN = join(import.meta.dirname, '..', '..', 'src', 'main.js');

export const signToken = (subject: string, claims: object): Promise<string> =>
  new SignJWT({ ...claims })
    .setProtectedHeader({ alg: 'HS256' })
    .setSubject(subject)
    .setExpirationTime('1d')
    .sign(new TextEncoder().encode(SECRET));

export class ServerProcess {
  #child: ChildProcess | undefined;
  readonly faults: string[] = [];

  private constructor(
    private readonly databaseUrl: string,
    readonly port: number,
    readonly ocppPort: number,
  ) {}

  static async start(databaseUrl: string): Promise<ServerProcess> {
    const server = new ServerProcess(databaseUrl, await freePort(), await freePort());
    await server.start();
    return server;
  }

  get graphqlUrl(): string {
    return `http://127.0.0.1:${this.port}/graphql`;
  }

  get ocppUrl(): string {
    return `ws://127.0.0.1:${this.ocppPort}/ocpp`;
  }

  /** Resolves to true once the server is ready; to false if it exits or takes too long, as the database may be away. */
  async start(): Promise<boolean> {
    const { databaseUrl, port, ocppPort } = this;
    const env = {
      PATH: process.env.PATH,
      DATABASE_URL: databaseUrl,
      JWT_SECRET: SECRET,
      HOST: '127.0.0.1',
      PORT: `${port}`,
      OCPP_PORT: `${ocppPort}`,
      CHARGER_ANSWER_TIMEOUT_SECONDS: '2',
      LOG_LEVEL: 'error',
      // A few clients send the requests of many, so the limits must not stop them.
      REQUESTS_PER_SECOND_PER_ADDRESS: '1000000',
      REQUESTS_PER_SECOND_PER_DRIVER: '1000000',
    };
    const child = spawn(process.execPath, [MAIN], { env, stdio: ['ignore', 'pipe', 'inherit'] });
    this.#child = child;
    child.stdout?.on('data', (chunk) => {
      for (const line of String(chunk).split('\n'))
        if (line !== '' && this.faults.length < 1000) this.faults.push(line);
    });
    for (let tries = 0; tries < 200; tries += 1) {
      if (child.exitCode !== null) return false;
      const response = await fetch(`http://127.0.0.1:${port}/readyz`).catch(() => undefined);
      if (response?.status === 200) return true;
      await new Promise((next) => setTimeout(next, 50));
    }
    return false;
  }

  async kill(signal: 'SIGKILL' | 'SIGTERM'): Promise<void> {
    const child = this.#child;
    if (!child || child.exitCode !== null || child.signalCode !== null) return;
    const exit = once(child, 'exit');
    child.kill(signal);
    await exit;
  }

  /** Returns the answer; undefined if none came, or if it is a retryable error. */
  async ask(token: string, query: string, variables: object): Promise<Answer | undefined> {
    try {
      const response = await fetch(this.graphqlUrl, {
        method: 'POST',
        headers: { 'content-type': 'application/json', authorization: `Bearer ${token}` },
        body: JSON.stringify({ query, variables }),
        signal: AbortSignal.timeout(15_000),
      });
      const { data, errors } = (await response.json()) as { data?: Record<string, Answer>; errors?: GraphQLErrors };
      if (errors?.some(({ extensions }) => !extensions.retryable))
        throw new Error(`Not retryable: ${JSON.stringify(errors)}`);
      return errors ? undefined : Object.values(data ?? {})[0];
    } catch (error) {
      if (error instanceof Error && error.message.startsWith('Not retryable')) throw error;
      return undefined;
    }
  }
}

type GraphQLErrors = { readonly extensions: { readonly retryable?: boolean } }[];
// biome-ignore lint/suspicious/noExplicitAny: the caller of the operation knows the shape of its result
export type Answer = any;
