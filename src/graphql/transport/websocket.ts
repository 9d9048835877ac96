// GraphQL over WebSocket: the protocol graphql-transport-ws. The library graphql-ws checks incoming messages and
// defines the close codes; operations.ts runs the operations, because the bytes of a message are shared by many
// sockets.
import type { IncomingMessage } from 'node:http';
import type { Duplex } from 'node:stream';
import type { FastifyInstance } from 'fastify';
import { type ExecutionResult, GraphQLError } from 'graphql';
import {
  CloseCode,
  GRAPHQL_TRANSPORT_WS_PROTOCOL,
  handleProtocols,
  type Message,
  MessageType,
  parseMessage,
} from 'graphql-ws';
import { type WebSocket, WebSocketServer } from 'ws';
import { clientAddress } from '../../common/client-address.ts';
import { endAtFault } from '../../common/end-at-fault.ts';
import { RateLimit } from '../../common/rate-limit.ts';
import { refuseUpgrade } from '../../common/refuse-upgrade.ts';
import type { Caller } from '../../model/access/caller.ts';
import { toCursor } from '../../model/events/cursor.ts';
import { expired } from '../../streams/expiry.ts';
import { FrameChannel } from '../../streams/frame-channel.ts';
import { LiveConnection, MAX_CLOSING_MS, type Running } from '../../streams/live-connection.ts';
import type { Request } from '../operations/documents.ts';
import type { Charged, Operations } from '../operations/operations.ts';
import { authenticate } from '../operations/request-context.ts';

const MAX_MESSAGE_BYTES = 100_000;
/**
 * Close code: the client may try again later. It has too many sockets or is too slow, or its token cannot be checked
 * now.
 */
const TRY_AGAIN_LATER = 1013;
const GOING_AWAY = 1001;
const MAX_REASON_BYTES = 123;
/** Number of unanswered pings after which the client counts as gone. */
const MAX_UNHEARD = 2;
/** How long a socket may take to send connection_init. */
const MAX_INIT_MS = 3000;
/** Messages of one socket; a dashboard begins with many at once. A socket that sends more is read more slowly. */
const MESSAGES = { perSecond: 200, burst: 2000 };

type Params = { readonly authorization?: unknown; readonly Authorization?: unknown };

type Phase = { readonly is: 'opened' } | { readonly is: 'initialising' } | { readonly is: 'acknowledged' };

export interface WebSocketEdge {
  /** Closes every socket with 1001 and refuses new ones. */
  close(): Promise<void>;
}

export function serveWebSocket(http: FastifyInstance, path: string, operations: Operations): WebSocketEdge {
  const sockets = new WebSocketServer({ noServer: true, maxPayload: MAX_MESSAGE_BYTES, handleProtocols });
  const clients = new Set<Client>();
  let isClosing = false;
  http.server.on('upgrade', (request: IncomingMessage, connection: Duplex, head: Buffer) => {
    connection.on('error', () => connection.destroy());
    const refuse = (status: number, headers?: string) =>
      refuseUpgrade(connection, operations.ports.clock, status, headers);
    if (request.url?.split('?')[0] !== path) return refuse(404);
    if (!isOriginAllowed(request, operations.ports.allowedOrigins)) return refuse(403);
    if (isClosing) return refuse(503);
    const address = clientAddress(request, operations.ports.trustProxy);
    const waitMs = operations.ports.limits.waitOf(address);
    if (waitMs > 0) return refuse(429, `Retry-After: ${Math.ceil(waitMs / 1000)}\r\n`);
    sockets.handleUpgrade(request, connection, head, (socket) => {
      const client = new Client(socket, connection, address, operations);
      clients.add(client);
      socket.once('close', () => clients.delete(client));
    });
  });
  return {
    async close() {
      isClosing = true;
      await Promise.all([...clients].map((client) => client.goAway()));
    },
  };
}

/** One socket of a client, and its operations. */
class Client {
  #phase: Phase = { is: 'opened' };
  #unheard = 0;
  /** Renewals run one after the other, in the order of their pings. */
  #renewing: Promise<void> = Promise.resolve();
  readonly #callOffInit: () => void;
  readonly #live: LiveConnection;
  readonly #rate: RateLimit;

  constructor(
    private readonly socket: WebSocket,
    connection: Duplex,
    private readonly address: string,
    private readonly operations: Operations,
  ) {
    const { clock, log } = operations.ports;
    this.#rate = new RateLimit(MESSAGES, clock.now());
    const channel = new FrameChannel(socket, connection);
    this.#live = new LiveConnection(operations.ports, channel, {
      keepAlive: () => this.#ping(),
      // 4403 makes the client reconnect with another token.
      expire: (caller) => this.#close(CloseCode.Forbidden, expired(caller)),
      overflow: () => this.#closeSlow(),
    });
    this.#callOffInit = clock.after(MAX_INIT_MS, () => {
      if (this.#phase.is === 'opened')
        this.#close(CloseCode.ConnectionInitialisationTimeout, 'Connection initialisation timeout');
    });
    socket.on('error', (error) => log.info({ error: error.message }, 'a client socket failed'));
    endAtFault(socket, clock);
    socket.once('close', () => {
      this.#callOffInit();
      this.#live.end();
    });
    socket.on('pong', () => {
      this.#unheard = 0;
    });
    if (socket.protocol !== GRAPHQL_TRANSPORT_WS_PROTOCOL) {
      this.#close(CloseCode.SubprotocolNotAcceptable, 'Subprotocol not acceptable');
      return;
    }
    socket.on('message', (data) => this.#receive(`${data}`));
    this.#live.startKeepAlive();
  }

  /** Closes the socket with 1001; resolves when it is closed. */
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

  #receive(text: string): void {
    const { clock, log } = this.operations.ports;
    if (this.socket.readyState !== this.socket.OPEN) return;
    this.#unheard = 0;
    let message: Message;
    try {
      message = parseMessage(text);
    } catch {
      this.#close(CloseCode.BadRequest, 'Invalid message received');
      return;
    }
    this.#carryOut(message).catch((error: unknown) => {
      log.error({ error }, 'a message of a client failed');
      this.#close(CloseCode.InternalServerError, 'Internal server error');
    });
    const waitMs = this.#rate.take(clock.now());
    if (waitMs === 0 || this.socket.isPaused) return;
    this.socket.pause();
    clock.after(waitMs, () => this.socket.resume());
  }

  async #carryOut(message: Message): Promise<void> {
    switch (message.type) {
      case 'connection_init': {
        const { authorization, Authorization } = (message.payload ?? {}) as Params;
        return this.#connect(authorization ?? Authorization);
      }
      case 'ping':
        return this.#answerPing(message.payload);
      case 'pong':
        return;
      case 'subscribe':
        return this.#subscribe(message.id, message.payload);
      case 'complete':
        return this.#live.stop(message.id);
      default: // Messages that only a server sends.
        this.#close(CloseCode.BadRequest, 'Invalid message received');
    }
  }

  async #connect(header: unknown): Promise<void> {
    if (this.#phase.is !== 'opened') {
      return this.#close(CloseCode.TooManyInitialisationRequests, 'Too many initialisation requests');
    }
    this.#phase = { is: 'initialising' };
    const caller = await this.#authenticate(header);
    if (this.socket.readyState !== this.socket.OPEN) return;
    if (caller === 'unknown') return this.#close(TRY_AGAIN_LATER, 'The token cannot be checked now');
    if (!caller) return this.#close(CloseCode.Forbidden, 'Forbidden');
    const refused = this.#live.enter(caller);
    if (refused) return this.#close(TRY_AGAIN_LATER, refused);
    this.#phase = { is: 'acknowledged' };
    this.#say({ type: MessageType.ConnectionAck });
  }

  /** A ping may bring a new token of the same subject: from then on the socket has that token's rights and lifetime. */
  async #answerPing(payload: object | undefined): Promise<void> {
    const { authorization, Authorization, ...rest } = (payload ?? {}) as Params & object;
    const header = authorization ?? Authorization;
    if (header !== undefined) {
      this.#renewing = this.#renewing.then(() => this.#renew(header));
      await this.#renewing;
    }
    // The pong returns the payload without the token.
    const isEmpty = payload === undefined || (header !== undefined && Object.keys(rest).length === 0);
    try {
      this.#say({ type: MessageType.Pong, ...(!isEmpty && { payload: rest }) });
    } catch {
      // The payload is nested too deeply to be written as JSON.
      this.#close(CloseCode.BadRequest, 'Invalid message received');
    }
  }

  async #renew(header: unknown): Promise<void> {
    if (this.#phase.is !== 'acknowledged') return;
    const caller = await this.#authenticate(header);
    if (caller === 'unknown') return; // The present token stays valid until it expires.
    if (caller?.subject !== this.#live.caller?.subject) return this.#close(CloseCode.Forbidden, 'Forbidden');
    if (caller && this.socket.readyState === this.socket.OPEN) await this.#live.renew(caller);
  }

  /** Undefined: the token is not valid. 'unknown': it cannot be checked now. */
  async #authenticate(header: unknown): Promise<Caller | 'unknown' | undefined> {
    const { ports } = this.operations;
    try {
      return await authenticate(ports, typeof header === 'string' ? header : undefined, this.address);
    } catch (error) {
      if (error instanceof GraphQLError) return error.extensions.code === 'UNAUTHENTICATED' ? undefined : 'unknown';
      ports.log.error({ error }, 'a token could not be checked');
      return 'unknown';
    }
  }

  async #subscribe(id: string, request: Request): Promise<void> {
    const { caller } = this.#live;
    if (this.#phase.is !== 'acknowledged' || !caller) return this.#close(CloseCode.Unauthorized, 'Unauthorized');
    if (this.#live.has(id)) {
      return this.#close(CloseCode.SubscriberAlreadyExists, `Subscriber for ${id} already exists`);
    }
    const prepared = this.operations.prepare(request, caller);
    if (!('kind' in prepared)) return this.#fail(id, prepared);
    const running = this.#live.begin(id);
    const fail = (error: unknown) => {
      if (this.#live.finish(id, running)) this.#fail(id, [error]);
    };
    try {
      if (prepared.kind !== 'subscription') {
        this.#finish(id, running, await this.#execute(prepared, caller, running));
        return;
      }
      const head = Buffer.from(`{"id":${JSON.stringify(id)},"type":"next","payload":`);
      const wrap = { head, tail: TAIL, fail };
      const errors = await this.operations.subscribe(this.#live, id, running, prepared, caller, wrap);
      if (errors) this.#finish(id, running, { errors });
    } catch (error) {
      fail(error);
    }
  }

  #execute(operation: Charged, caller: Caller, { leaving }: Running): Promise<ExecutionResult> {
    return this.operations.execute(operation, caller, { address: this.address, via: 'WEBSOCKET' }, leaving);
  }

  #finish(id: string, running: Running, { errors, ...result }: ExecutionResult): void {
    if (!this.#live.finish(id, running)) return;
    const shown = errors?.map((error) => this.operations.mask(error));
    this.#say({ id, type: MessageType.Next, payload: { ...(shown && { errors: shown }), ...result } });
    this.#say({ id, type: MessageType.Complete });
  }

  #fail(id: string, errors: readonly unknown[]): void {
    this.#say({ id, type: MessageType.Error, payload: errors.map((error) => this.operations.mask(error)) });
  }

  #say(message: object): void {
    this.#live.buffer.put([Buffer.from(JSON.stringify(message))]);
  }

  #ping(): void {
    if (this.#unheard >= MAX_UNHEARD && !this.socket.isPaused) {
      this.socket.terminate();
      return;
    }
    this.#unheard += 1;
    if (this.socket.readyState === this.socket.OPEN) this.socket.ping();
  }

  /** The close reason names the last cursor only if there is one operation: each subscription resumes from its own. */
  #closeSlow(): void {
    const [only, ...others] = this.#live.operations;
    const at = others.length === 0 ? only?.[1].progress.at : undefined;
    const reason = 'Events came faster than they were read.';
    const withCursor = `${reason} Last cursor sent: ${at && toCursor(at)}`;
    // A truncated cursor would be a different one, so a reason that is too long goes without it.
    this.#close(TRY_AGAIN_LATER, at && withCursor.length <= MAX_REASON_BYTES ? withCursor : reason);
  }

  #close(code: number, reason: string): void {
    if (this.socket.readyState !== this.socket.OPEN) return;
    this.#live.buffer.finish();
    this.#live.stopAll();
    this.socket.close(
      code,
      Buffer.from(reason)
        .subarray(0, MAX_REASON_BYTES)
        .toString()
        .replace(/\uFFFD+$/, ''),
    );
  }
}

const TAIL = Buffer.from('}');

/** CSRF prevention does not cover the upgrade: a page of another origin may not open the socket. */
function isOriginAllowed({ headers }: IncomingMessage, allowed: readonly string[]): boolean {
  const { origin, host } = headers;
  if (origin === undefined) return true;
  return allowed.includes(origin) || (URL.canParse(origin) && new URL(origin).host === host);
}
