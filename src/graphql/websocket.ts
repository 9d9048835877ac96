// GraphQL over WebSocket. The protocol’s own library (graphql-ws) keeps its rules; the messages of subscriptions go past it,
// straight to the socket, for they are the same bytes for many.
import type { IncomingMessage } from 'node:http';
import type { Duplex } from 'node:stream';
import type { FastifyInstance } from 'fastify';
import { GraphQLError } from 'graphql';
import { CloseCode, handleProtocols, makeServer, type Server } from 'graphql-ws';
import { type WebSocket, WebSocketServer } from 'ws';
import type { Caller } from '../auth/caller.ts';
import { RateLimit } from '../common/rate-limit.ts';
import { type Start, toCursor } from '../event-log/cursor.ts';
import type { Operation } from './documents.ts';
import type { OpenSubscription, Operations } from './operations.ts';
import { type Channel, Outbox } from './outbox.ts';
import { authenticate } from './request-context.ts';

const MAX_MESSAGE_BYTES = 100_000;
/** Come back later: too many, or too slow. */
const TRY_AGAIN_LATER = 1013;
const GOING_AWAY = 1001;
const MAX_REASON_BYTES = 123;
/** A client that is asked for a sign of life so often, and gave none twice, is gone. */
const KEEP_ALIVE_MS = 12_000;
const MAX_CLOSING_MS = 5000;
const MAX_TIMER_MS = 2 ** 31 - 1;
/** Messages of one socket; a dashboard that opens begins with many. Who sends more is read more slowly. */
const MESSAGES = { perSecond: 200, burst: 2000 };

/** What the protocol's library hands to its hooks. */
interface Extra extends Record<PropertyKey, unknown> {
  readonly client: Client;
}
type Params = { readonly authorization?: unknown; readonly Authorization?: unknown };
type Protocol = Server<Extra>;

export interface WebSocketEdge {
  /** Ends with 1001 what is open. */
  close(): Promise<void>;
}

export function serveWebSocket(http: FastifyInstance, path: string, operations: Operations): WebSocketEdge {
  const sockets = new WebSocketServer({ noServer: true, maxPayload: MAX_MESSAGE_BYTES, handleProtocols });
  const protocol = protocolOf(operations);
  const clients = new Set<Client>();
  http.server.on('upgrade', (request: IncomingMessage, connection: Duplex, head: Buffer) => {
    connection.on('error', () => connection.destroy());
    if (request.url?.split('?')[0] !== path) return refuseUpgrade(connection, '404 Not Found');
    if (!isOriginAllowed(request, operations.ports.allowedOrigins)) return refuseUpgrade(connection, '403 Forbidden');
    sockets.handleUpgrade(request, connection, head, (socket) => {
      const client = new Client(socket, connection, operations, protocol);
      clients.add(client);
      socket.once('close', () => clients.delete(client));
    });
  });
  return {
    async close() {
      await Promise.all([...clients].map((client) => client.goAway()));
    },
  };
}

/** The hooks of the library; everything they know of a connection is its client. */
function protocolOf(operations: Operations): Protocol {
  type Args = { readonly operation: Operation; readonly id: string; readonly client: Client };
  return makeServer<Params, Extra>({
    schema: operations.ports.schema,
    onConnect: ({ connectionParams, extra }) =>
      extra.client.connect(connectionParams?.authorization ?? connectionParams?.Authorization),
    onPing: ({ extra }, payload) => extra.client.renew((payload as Params | undefined)?.authorization),
    onSubscribe: ({ extra }, id, payload) => {
      const prepared = operations.prepare(payload, extra.client.caller);
      if (!('kind' in prepared)) return prepared;
      const { document, operationName, variables } = prepared;
      const args = { schema: operations.ports.schema, document, operationName, variableValues: variables };
      return { ...args, operation: prepared, id, client: extra.client };
    },
    subscribe: async (args) => {
      const { operation, id, client } = args as unknown as Args;
      return client.subscribe(id, operation);
    },
    execute: (args) => {
      const { operation, client } = args as unknown as Args;
      return operations.execute(operation, client.caller);
    },
    onNext: (_, __, ___, ____, result) =>
      result.errors ? { ...result, errors: result.errors.map((error) => operations.mask(error)) } : result,
    onError: (_, __, ___, errors) => errors.map((error) => operations.mask(error)),
  });
}

/** One socket. */
class Client {
  #caller: Caller | undefined;
  #callOffExpiry: () => void = () => {};
  #callOffKeepAlive: () => void = () => {};
  #unheard = 0;
  readonly #outbox: Outbox;
  readonly #subscriptions = new Set<OpenSubscription>();
  readonly #rate: RateLimit;

  constructor(
    private readonly socket: WebSocket,
    connection: Duplex,
    private readonly operations: Operations,
    protocol: Protocol,
  ) {
    const { clock } = operations.ports;
    this.#rate = new RateLimit(MESSAGES, clock.now());
    const channel = new FrameChannel(socket, connection);
    this.#outbox = new Outbox(channel, operations.writer, (last) => this.#closeSlow(last));
    socket.on('error', (error) => operations.ports.log.info({ error: error.message }, 'a client socket failed'));
    socket.on('pong', () => {
      this.#unheard = 0;
    });
    const closed = protocol.opened(
      {
        protocol: socket.protocol,
        send: (text) => this.#outbox.put([Buffer.from(text)]),
        close: (code, reason) => this.#close(code ?? 1000, reason ?? ''),
        onMessage: (receive) => socket.on('message', (data) => this.#receive(`${data}`, receive)),
      },
      { client: this },
    );
    socket.once('close', (code, reason) => {
      this.#end();
      void closed(code, `${reason}`);
    });
    this.#keepAlive();
  }

  get caller(): Caller {
    if (!this.#caller) throw new Error('An operation came before the connection was acknowledged');
    return this.#caller;
  }

  /** False closes with 4403. */
  async connect(header: unknown): Promise<boolean> {
    const caller = await this.#authenticate(header);
    if (!caller || this.socket.readyState !== this.socket.OPEN) return false;
    const refused = this.operations.quota.connect(caller);
    if (refused) {
      this.#close(TRY_AGAIN_LATER, refused);
      return false;
    }
    this.#be(caller);
    this.socket.once('close', () => this.operations.quota.disconnect(caller));
    return true;
  }

  /** A ping may bring a new token of the same subject: the socket lives on with it, and with its rights. */
  async renew(header: unknown): Promise<void> {
    if (header === undefined || !this.#caller) return;
    const caller = await this.#authenticate(header);
    if (caller?.subject !== this.#caller.subject) return this.#close(CloseCode.Forbidden, 'Forbidden');
    this.#be(caller);
    await Promise.all([...this.#subscriptions].map((one) => one.renew(caller)));
  }

  #be(caller: Caller): void {
    const { clock } = this.operations.ports;
    this.#caller = caller;
    this.#callOffExpiry();
    const leftMs = caller.expiresAt.getTime() - clock.now().getTime();
    // 4403 tells a client to come back with another token.
    const expire = () => this.#close(CloseCode.Forbidden, 'The token has expired');
    this.#callOffExpiry = clock.after(Math.min(leftMs, MAX_TIMER_MS), expire);
  }

  async #authenticate(header: unknown): Promise<Caller | undefined> {
    const { ports } = this.operations;
    try {
      return await authenticate(ports, typeof header === 'string' ? header : undefined);
    } catch (error) {
      if (!(error instanceof GraphQLError)) ports.log.error({ error }, 'a token could not be checked');
      return undefined;
    }
  }

  /** As the library wants it: an iterable that ends with the operation. It yields nothing, for the messages go past it. */
  async subscribe(id: string, operation: Operation) {
    const head = Buffer.from(`{"id":${JSON.stringify(id)},"type":"next","payload":`);
    let settle: { resolve(end: IteratorReturnResult<undefined>): void; reject(error: unknown): void } | undefined;
    const ended = new Promise<IteratorReturnResult<undefined>>((resolve, reject) => {
      settle = { resolve, reject };
    });
    ended.catch(() => {}); // The library may have gone before it fails.
    let opened: OpenSubscription | undefined;
    const leave = () => {
      opened?.stop();
      if (opened) this.#subscriptions.delete(opened);
    };
    const started = await this.operations.open(operation, this.caller, {
      send: (message) => this.#outbox.put([head, message.json, TAIL], message.at),
      room: () => this.#outbox.room(),
      turn: () => this.#outbox.turn(),
      fail: (error) => {
        leave();
        settle?.reject(error);
      },
    });
    if (!('stop' in started)) return { errors: started };
    opened = started;
    this.#subscriptions.add(opened);
    const end = async (): Promise<IteratorReturnResult<undefined>> => {
      leave();
      settle?.resolve(DONE);
      return DONE;
    };
    const iterable = {
      next: () => ended,
      return: end,
      throw: end,
      [Symbol.asyncIterator]: () => iterable,
    };
    return iterable as AsyncGenerator<never, undefined>;
  }

  /** Resolves when the socket is closed. */
  goAway(): Promise<void> {
    return new Promise((resolve) => {
      const callOff = this.operations.ports.clock.after(MAX_CLOSING_MS, () => this.socket.terminate());
      this.socket.once('close', () => {
        callOff();
        resolve();
      });
      this.#close(GOING_AWAY, 'Going away');
    });
  }

  #receive(text: string, receive: (text: string) => Promise<void>): void {
    const { clock, log } = this.operations.ports;
    this.#unheard = 0;
    receive(text).catch((error: unknown) => {
      log.error({ error }, 'a message of a client failed');
      this.#close(CloseCode.InternalServerError, 'Internal server error');
    });
    const waitMs = this.#rate.take(clock.now());
    if (waitMs === 0 || this.socket.isPaused) return;
    this.socket.pause();
    clock.after(waitMs, () => this.socket.resume());
  }

  #keepAlive(): void {
    this.#callOffKeepAlive = this.operations.ports.clock.after(KEEP_ALIVE_MS, () => {
      if (this.#unheard >= 2 && !this.socket.isPaused) return this.socket.terminate();
      this.#unheard += 1;
      if (this.socket.readyState === this.socket.OPEN) this.socket.ping();
      this.#keepAlive();
    });
  }

  #closeSlow(last: Start | undefined): void {
    this.operations.ports.metrics.slowConsumers.inc();
    const reason = `Events came faster than they were read. Last cursor sent: ${last ? toCursor(last) : 'none'}`;
    this.#close(TRY_AGAIN_LATER, reason.length <= MAX_REASON_BYTES ? reason : 'Events came faster than they were read');
  }

  #close(code: number, reason: string): void {
    this.#outbox.finish();
    this.#stopSubscriptions();
    this.socket.close(code, reason);
  }

  #stopSubscriptions(): void {
    for (const subscription of this.#subscriptions) subscription.stop();
    this.#subscriptions.clear();
  }

  #end(): void {
    this.#callOffExpiry();
    this.#callOffKeepAlive();
    this.#stopSubscriptions();
    this.#outbox.clear();
  }
}

const TAIL = Buffer.from('}');
const DONE: IteratorReturnResult<undefined> = { done: true, value: undefined };

const FINAL_TEXT = 0x81;

/** Frames of text, whole and not masked: RFC 6455, section 5.2. What else a socket needs its library writes in between. */
class FrameChannel implements Channel {
  constructor(
    private readonly socket: WebSocket,
    private readonly connection: Duplex,
  ) {}

  get isOpen(): boolean {
    return this.socket.readyState === this.socket.OPEN;
  }

  get unsent(): number {
    return this.connection.writableLength;
  }

  headSize(length: number): number {
    return length < 126 ? 2 : length < 65_536 ? 4 : 10;
  }

  writeHead(into: Buffer, at: number, length: number): void {
    into[at] = FINAL_TEXT;
    if (length < 126) {
      into[at + 1] = length;
    } else if (length < 65_536) {
      into[at + 1] = 126;
      into.writeUInt16BE(length, at + 2);
    } else {
      into[at + 1] = 127;
      into.writeBigUInt64BE(BigInt(length), at + 2);
    }
  }

  write(data: Buffer): void {
    this.connection.write(data);
  }

  onceSent(then: () => void): void {
    this.connection.once('drain', then);
  }
}

/** CSRF prevention does not cover the upgrade: a page of another origin may not open the socket. */
function isOriginAllowed({ headers }: IncomingMessage, allowed: readonly string[]): boolean {
  const { origin, host } = headers;
  if (origin === undefined) return true;
  return allowed.includes(origin) || (URL.canParse(origin) && new URL(origin).host === host);
}

function refuseUpgrade(socket: Duplex, status: string): void {
  socket.end(`HTTP/1.1 ${status}\r\nConnection: close\r\nContent-Length: 0\r\n\r\n`);
}
