// Subscriptions, and any other operation, over WebSocket: the graphql-ws protocol, with limits for each caller.
import type { IncomingMessage } from 'node:http';
import type { Duplex } from 'node:stream';
import type { FastifyInstance } from 'fastify';
import { type DocumentNode, GraphQLError, type GraphQLSchema, parse, specifiedRules, validate } from 'graphql';
import { CloseCode, type SubscribePayload } from 'graphql-ws';
import { type Extra, useServer } from 'graphql-ws/use/ws';
import { type WebSocket, WebSocketServer } from 'ws';
import type { Caller } from '../auth/caller.ts';
import type { Clock } from '../common/clock.ts';
import { CallerSockets } from './caller-sockets.ts';
import { maskError } from './errors.ts';
import { beyondLimits, MAX_TOKENS } from './limits.ts';
import { authenticate, contextOf, type GraphQLPorts } from './request-context.ts';

const MAX_MESSAGE_BYTES = 100_000;
const SLOW_CONSUMER = 1013;
/** Documents kept parsed and validated, for the subscription socket; Apollo keeps its own. */
const MAX_DOCUMENTS = 1000;

interface SocketState extends Record<PropertyKey, unknown> {
  caller: Caller;
}

/** Ends with 1001 what `closeSubscriptions` finds open. */
export function serveSubscriptions(
  http: FastifyInstance,
  path: string,
  ports: GraphQLPorts,
): { closeSubscriptions(): Promise<void> } {
  const { schema, log, clock } = ports;
  const sockets = new WebSocketServer({ noServer: true, maxPayload: MAX_MESSAGE_BYTES });
  const documents = documentCache(schema);
  const callers = new CallerSockets(ports);
  const server = useServer<{ authorization?: unknown; Authorization?: unknown }, SocketState>(
    {
      schema,
      onConnect: async ({ connectionParams, extra, subscriptions }) => {
        const header = connectionParams?.authorization ?? connectionParams?.Authorization;
        try {
          const caller = await authenticate(ports, typeof header === 'string' ? header : undefined);
          if (!callers.admit(caller, extra.socket, subscriptions)) return false;
          extra.caller = caller;
          extra.socket.once('close', closeAtExpiry(extra.socket, caller, clock));
          return true;
        } catch (error) {
          if (!(error instanceof GraphQLError)) log.error({ error }, 'a token could not be checked');
          return false; // Closes with 4403.
        }
      },
      onSubscribe: ({ extra }, _, payload) =>
        callers.tooMany(extra.caller) ?? executionOf(ports, documents, extra, payload),
      onNext: (_, __, ___, ____, result) =>
        result.errors
          ? { ...result, errors: result.errors.map((error) => maskError(error.toJSON(), error, log)) }
          : result,
      onError: (_, __, ___, errors) =>
        errors.map((error) => maskError('toJSON' in error ? error.toJSON() : error, error, log)),
    },
    sockets,
  );
  http.server.on('upgrade', (request: IncomingMessage, socket: Duplex, head: Buffer) => {
    socket.on('error', () => socket.destroy());
    if (request.url?.split('?')[0] !== path) return refuseUpgrade(socket, '404 Not Found');
    if (!isOriginAllowed(request, ports.allowedOrigins)) return refuseUpgrade(socket, '403 Forbidden');
    sockets.handleUpgrade(request, socket, head, (webSocket) => sockets.emit('connection', webSocket, request));
  });
  return { closeSubscriptions: async () => void (await server.dispose()) };
}

/** 4403 tells a client to come back with another token. */
function closeAtExpiry(socket: WebSocket, caller: Caller, clock: Clock): () => void {
  const MAX_TIMER_MS = 2 ** 31 - 1;
  const leftMs = caller.expiresAt.getTime() - clock.now().getTime();
  return clock.after(Math.min(leftMs, MAX_TIMER_MS), () => socket.close(CloseCode.Forbidden, 'The token has expired'));
}

function executionOf(
  ports: GraphQLPorts,
  documents: (text: string) => DocumentNode | readonly GraphQLError[],
  extra: Extra & Partial<SocketState>,
  { query, variables, operationName }: SubscribePayload,
) {
  const { caller, socket } = extra;
  if (!caller) throw new Error('A subscription came before the connection was acknowledged');
  const document = documents(query);
  if (!('kind' in document)) return document;
  const error = beyondLimits(ports.schema, document, variables, operationName);
  if (error) return [error];
  const contextValue = contextOf(ports, caller, false, () =>
    socket.close(SLOW_CONSUMER, 'Events came faster than they were read'),
  );
  return { schema: ports.schema, document, variableValues: variables, operationName, contextValue };
}

function documentCache(schema: GraphQLSchema) {
  const known = new Map<string, DocumentNode>();
  return (text: string): DocumentNode | readonly GraphQLError[] => {
    const cached = known.get(text);
    if (cached) return cached;
    try {
      const document = parse(text, { maxTokens: MAX_TOKENS });
      const errors = validate(schema, document, specifiedRules);
      if (errors.length > 0) return errors;
      known.set(text, document);
      const [oldest] = known.keys();
      if (known.size > MAX_DOCUMENTS && oldest !== undefined) known.delete(oldest);
      return document;
    } catch (error) {
      if (error instanceof GraphQLError) return [error];
      throw error;
    }
  };
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
