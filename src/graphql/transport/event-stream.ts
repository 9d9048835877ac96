// GraphQL over Server-Sent Events, for clients whose proxies forbid WebSockets: one stream for each operation, or one
// stream for all operations of a client (the two modes of the graphql-sse protocol).
import { randomUUID } from 'node:crypto';
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify';
import { type ExecutionResult, GraphQLError } from 'graphql';
import type { Caller } from '../../model/access/caller.ts';
import { toCursor } from '../../model/events/cursor.ts';
import { expired } from '../../streams/expiry.ts';
import type { Running } from '../../streams/live-connection.ts';
import { LiveResponse } from '../../streams/live-response.ts';
import type { Request } from '../operations/documents.ts';
import { unauthenticated } from '../operations/errors.ts';
import type { Charged, Operations } from '../operations/operations.ts';
import { authenticate } from '../operations/request-context.ts';

/** How long a reserved stream waits for its client to open it. */
const MAX_UNOPENED_MS = 30_000;

const END = Buffer.from('\n\n');

export interface EventStreamEdge {
  /** Ends every open stream and refuses new ones, so that clients reconnect elsewhere. */
  close(): Promise<void>;
}

export function serveEventStreams(http: FastifyInstance, path: string, operations: Operations): EventStreamEdge {
  const streams = new Set<EventStream>();
  /** Reserved streams, each shared by all operations of its client, by their tokens. */
  const shared = new Map<string, EventStream>();

  let isClosing = false;

  const open = (caller: Caller, token?: string): EventStream => {
    if (isClosing)
      throw refusal(503, 'SERVICE_UNAVAILABLE', 'The server is stopping; connect again, perhaps to another one.');
    const stream = new EventStream(operations, () => {
      streams.delete(stream);
      if (token !== undefined) shared.delete(token);
    });
    const refused = stream.enter(caller);
    if (refused) throw refusal(429, 'TOO_MANY_STREAMS', `${refused}.`);
    streams.add(stream);
    if (token !== undefined) shared.set(token, stream);
    return stream;
  };

  /**
   * The stream of the token. Having the token is enough to use the stream; a request with credentials of its own must
   * be of the same subject, and gives the whole stream the rights of these credentials.
   */
  const find = async ({ headers: { authorization }, address }: FastifyRequest, token: string) => {
    const caller =
      authorization === undefined ? undefined : await authenticate(operations.ports, authorization, address);
    const stream = shared.get(token);
    if (!stream) throw refusal(404, 'STREAM_NOT_FOUND', 'There is no such stream; reserve one with PUT.');
    if (!caller) return stream;
    if (caller.subject !== stream.caller.subject) throw refusal(403, 'FORBIDDEN', 'The stream is somebody else’s.');
    stream.renew(caller);
    return stream;
  };

  const answer = async (request: FastifyRequest, reply: FastifyReply) => {
    const token = streamToken(request);
    const wantsStream = request.headers.accept?.includes('text/event-stream') ?? false;
    if (request.method === 'PUT') {
      const caller = await authenticate(operations.ports, request.headers.authorization, request.address);
      const given = randomUUID();
      open(caller, given).expectOpening();
      return reply.status(201).type('text/plain; charset=utf-8').send(given);
    }
    if (token === undefined) {
      if (!wantsStream) throw refusal(406, 'BAD_REQUEST', 'Accept text/event-stream, or give the token of a stream.');
      const caller = await authenticate(operations.ports, request.headers.authorization, request.address);
      const asked = requestOf(request);
      if (reply.raw.destroyed) return reply;
      const stream = open(caller);
      reply.hijack();
      stream.attach(reply);
      await stream.runAlone(operations.prepare(asked, caller), request);
      return reply;
    }
    const stream = await find(request, token);
    if (request.method === 'DELETE') {
      const { operationId } = request.query as { operationId?: string };
      if (!operationId) throw refusal(400, 'BAD_REQUEST', 'Give the operationId as a query parameter of the URL.');
      stream.stop(operationId);
      return reply.status(200).send();
    }
    if (wantsStream) {
      if (stream.isOpen) throw refusal(409, 'CONFLICT', 'The stream is open already.');
      reply.hijack();
      stream.attach(reply);
      return reply;
    }
    const asked = requestOf(request);
    const id = String(asked.extensions?.operationId ?? '');
    if (!id) throw refusal(400, 'BAD_REQUEST', 'Give the operation an id: extensions.operationId.');
    if (stream.has(id)) throw refusal(409, 'CONFLICT', 'The stream has an operation with that id already.');
    const prepared = operations.prepare(asked, stream.caller);
    if (!('kind' in prepared)) {
      return reply.status(400).send({ errors: prepared.map((error) => operations.mask(error)) });
    }
    if (prepared.kind === 'mutation' && request.method === 'GET') throw notByGet();
    void stream.run(id, prepared, request.address);
    return reply.status(202).send();
  };

  http.route({
    url: path,
    method: ['GET', 'POST', 'PUT', 'DELETE'],
    handler: async (request, reply) => {
      try {
        return await answer(request, reply);
      } catch (error) {
        if (reply.sent) throw error;
        const { status = 400, headers } =
          error instanceof GraphQLError ? ((error.extensions.http ?? {}) as Partial<Http>) : { status: 500 };
        return reply
          .headers(Object.fromEntries(headers ?? []))
          .status(status)
          .send({ errors: [operations.mask(error)] });
      }
    },
  });
  return {
    async close() {
      isClosing = true;
      await Promise.all([...streams].map((stream) => stream.close()));
    },
  };
}

interface Http {
  readonly status: number;
  readonly headers?: ReadonlyMap<string, string>;
}

const refusal = (status: number, code: string, message: string): GraphQLError =>
  new GraphQLError(message, { extensions: { code, http: { status } } });

const notByGet = () => refusal(405, 'BAD_REQUEST', 'A mutation cannot be sent with GET; use POST.');

function streamToken({ headers, query }: FastifyRequest): string | undefined {
  const header = headers['x-graphql-event-stream-token'];
  return (Array.isArray(header) ? header[0] : header) ?? (query as { token?: string }).token;
}

/** Throws BAD_REQUEST if the request is no GraphQL request. */
function requestOf(request: FastifyRequest): Request & { readonly extensions?: { readonly operationId?: unknown } } {
  const given = request.method === 'GET' ? fromAddress(request.query as Record<string, unknown>) : request.body;
  const { operationName, variables, extensions, documentId, ...rest } = (given ?? {}) as Record<string, unknown>;
  // A document known by its id needs no text.
  const { query = documentId !== undefined || extensions !== undefined ? '' : undefined } = rest;
  const isObject = (value: unknown) => value == null || (typeof value === 'object' && !Array.isArray(value));
  if (typeof query !== 'string') throw refusal(400, 'BAD_REQUEST', 'Give the document as `query`, a string.');
  if (operationName != null && typeof operationName !== 'string')
    throw refusal(400, 'BAD_REQUEST', '`operationName` must be a string.');
  if (!isObject(variables) || !isObject(extensions))
    throw refusal(400, 'BAD_REQUEST', '`variables` and `extensions` must be objects.');
  return { query, operationName, variables, extensions, documentId } as ReturnType<typeof requestOf>;
}

function fromAddress({ variables, extensions, ...rest }: Record<string, unknown>): object {
  try {
    const parse = (text: unknown) => (typeof text === 'string' ? JSON.parse(text) : undefined);
    return { ...rest, variables: parse(variables), extensions: parse(extensions) };
  } catch {
    throw refusal(400, 'BAD_REQUEST', '`variables` and `extensions` must be JSON.');
  }
}

interface Result {
  readonly data?: ExecutionResult['data'];
  readonly errors?: readonly unknown[];
  readonly extensions?: ExecutionResult['extensions'];
}

/** One stream, and the operations whose messages go over it. */
class EventStream {
  readonly #live: LiveResponse;
  #callOffOpening: () => void = () => {};

  constructor(
    private readonly operations: Operations,
    onEnd: () => void,
  ) {
    this.#live = new LiveResponse(operations.ports, {
      expire: (caller) => this.#endWith(() => unauthenticated(`${expired(caller)}; get another.`)),
      overflow: () => this.#endSlow(),
      ended: () => {
        this.#callOffOpening();
        onEnd();
      },
    });
  }

  /**
   * Call this first. Counts the stream for the caller; returns a message if the caller already has as many as it may.
   */
  enter(caller: Caller): string | undefined {
    return this.#live.enter(caller);
  }

  get caller(): Caller {
    const { caller } = this.#live;
    if (!caller) throw new Error('Nobody has entered this stream');
    return caller;
  }

  /** Gives the stream the rights of that caller, and the lifetime of that caller's credential. */
  renew(caller: Caller): void {
    void this.#live.renew(caller);
  }

  get isOpen(): boolean {
    return this.#live.isAttached;
  }

  has(id: string): boolean {
    return this.#live.has(id);
  }

  /** Closes the reserved stream if nobody opens it in time. */
  expectOpening(): void {
    this.#callOffOpening = this.operations.ports.clock.after(MAX_UNOPENED_MS, () => void this.close());
  }

  attach(reply: FastifyReply): void {
    this.#callOffOpening();
    this.#live.attach(reply);
  }

  /** Runs the only operation of the stream, which ends with it; errors of the request are sent over the stream, too. */
  async runAlone(prepared: Charged | readonly GraphQLError[], { method, address }: FastifyRequest): Promise<void> {
    if (!('kind' in prepared)) return this.#finish(undefined, { errors: prepared });
    if (prepared.kind === 'mutation' && method === 'GET') return this.#finish(undefined, { errors: [notByGet()] });
    await this.run(undefined, prepared, address);
  }

  async run(id: string | undefined, operation: Charged, address: string): Promise<void> {
    const running = this.#live.begin(id);
    const finish = (result: Result) => {
      if (this.#live.finish(id, running)) this.#finish(id, result);
    };
    const { caller } = this;
    try {
      if (operation.kind !== 'subscription') {
        const source = { address, via: 'EVENT_STREAM' } as const;
        return finish(await this.operations.execute(operation, caller, source, running.leaving));
      }
      const [head, tail] = id === undefined ? [NEXT, END] : [nextOf(id), NEXT_END];
      const wrap = { head, tail, fail: (error: unknown) => finish({ errors: [error] }) };
      const errors = await this.operations.subscribe(this.#live, id, running, operation, caller, wrap);
      if (errors) finish({ errors });
    } catch (error) {
      finish({ errors: [error] });
    }
  }

  stop(id: string): void {
    this.#live.stop(id);
  }

  /** Ends the stream; resolves when the client has taken everything, or MAX_CLOSING_MS is over. */
  close(): Promise<void> {
    return this.#live.close();
  }

  /** Sends the last result of an operation and its `complete`. */
  #finish(id: string | undefined, { data, errors, extensions }: Result): void {
    if (this.#live.isEnded) return;
    const shown = errors?.map((error) => this.operations.mask(error));
    const payload = {
      ...(shown && { errors: shown }),
      ...(data !== undefined && { data }),
      ...(extensions && { extensions }),
    };
    const result = id === undefined ? payload : { id, payload };
    const complete = id === undefined ? '' : ` ${JSON.stringify({ id })}`;
    const text = `event: next\ndata: ${JSON.stringify(result)}\n\nevent: complete\ndata:${complete}\n\n`;
    this.#live.buffer.put([Buffer.from(text)]);
    if (id === undefined) void this.close();
  }

  #endSlow(): void {
    const message = 'Events came faster than they were read; subscribe again after the last cursor.';
    this.#endWith(({ progress: { at } }) => {
      const lastCursor = at && toCursor(at);
      return new GraphQLError(message, { extensions: { code: 'SLOW_CONSUMER', lastCursor } });
    });
  }

  #endWith(errorOf: (running: Running) => GraphQLError): void {
    for (const [id, running] of this.#live.operations) {
      running.subscription?.stop();
      if (this.#live.finish(id, running)) this.#finish(id, { errors: [errorOf(running)] });
    }
    void this.close();
  }
}

const NEXT = Buffer.from('event: next\ndata: ');
const nextOf = (id: string) => Buffer.from(`event: next\ndata: {"id":${JSON.stringify(id)},"payload":`);
const NEXT_END = Buffer.from('}\n\n');
