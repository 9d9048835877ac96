// GraphQL on one path: Apollo behind Fastify over HTTP, graphql-ws over WebSocket, the same documents, callers and errors.
import type { IncomingMessage } from 'node:http';
import type { Duplex } from 'node:stream';
import { ApolloServer, type ApolloServerPlugin } from '@apollo/server';
import { ApolloServerPluginCacheControlDisabled } from '@apollo/server/plugin/disabled';
import { fastifyApolloDrainPlugin, fastifyApolloHandler } from '@as-integrations/fastify';
import type { FastifyError, FastifyInstance } from 'fastify';
import { type DocumentNode, GraphQLError, type GraphQLSchema, parse, specifiedRules, validate } from 'graphql';
import { CloseCode, type SubscribePayload } from 'graphql-ws';
import { type Extra, useServer } from 'graphql-ws/use/ws';
import { type WebSocket, WebSocketServer } from 'ws';
import type { Caller } from '../auth/caller.ts';
import { TokenError, type VerifyToken } from '../auth/verify-token.ts';
import type { Clock } from '../common/clock.ts';
import type { Log } from '../common/log.ts';
import { toCursor } from '../event-log/event-log.repository.ts';
import type { Feed } from '../event-log/feed.ts';
import { type ApiContext, type LoaderPorts, Loaders } from './context.ts';
import { maskError, RETRY_AFTER_SECONDS, UNAVAILABLE, unauthenticated } from './errors.ts';
import { eventStream } from './event-stream.ts';

export interface GraphQLPorts extends LoaderPorts {
  readonly schema: GraphQLSchema;
  readonly feed: Feed;
  readonly verifyToken: VerifyToken;
  readonly clock: Clock;
  readonly log: Log;
  readonly allowedOrigins: readonly string[];
}

export interface GraphQLServer {
  /** Ends every subscription with 1001; what runs over HTTP goes on. */
  closeSubscriptions(): Promise<void>;
}

const PATH = '/graphql';
const MAX_MESSAGE_BYTES = 100_000;
const SLOW_CONSUMER = 1013;
/** Documents kept parsed and validated, for the subscription socket; Apollo keeps its own. */
const MAX_DOCUMENTS = 1000;

export async function addGraphQL(http: FastifyInstance, ports: GraphQLPorts): Promise<GraphQLServer> {
  const apollo = new ApolloServer<ApiContext>({
    schema: ports.schema,
    introspection: true,
    csrfPrevention: true,
    allowBatchedHttpRequests: false,
    includeStacktraceInErrorResponses: false,
    formatError: (formatted, error) => maskError(formatted, error, ports.log),
    plugins: [ApolloServerPluginCacheControlDisabled(), fastifyApolloDrainPlugin(http), httpStatus],
    stopOnTerminationSignals: false,
    logger: ports.log,
  });
  await apollo.start();
  const context = async (request: { headers: { authorization?: string } }): Promise<ApiContext> =>
    contextOf(ports, await authenticate(ports, request.headers.authorization), true, () => {});
  http.route({ url: PATH, method: ['GET', 'POST'], handler: fastifyApolloHandler(apollo, { context }) });
  http.setErrorHandler((error: FastifyError, _, reply) => {
    const status = error.statusCode ?? 500;
    const formatted = status < 500 ? badRequest(error.message) : maskError({ message: '' }, error, ports.log);
    void reply.status(status).send({ errors: [formatted] });
  });
  return serveSubscriptions(http, ports);
}

const badRequest = (message: string) => ({ message, extensions: { code: 'BAD_REQUEST' } });

const documentFailures = new Set(['GRAPHQL_PARSE_FAILED', 'GRAPHQL_VALIDATION_FAILED', 'BAD_USER_INPUT']);

/**
 * GraphQL over HTTP: with application/json, a document that cannot be run still gets a well-formed answer: 200.
 * A server without its database is unavailable whatever it could answer: 503, and when to try again.
 */
const httpStatus: ApolloServerPlugin<ApiContext> = {
  requestDidStart: async () => ({
    willSendResponse: async ({ request, response: { body, http } }) => {
      if (
        body.kind === 'single' &&
        body.singleResult.errors?.some(({ extensions }) => extensions?.code === UNAVAILABLE)
      ) {
        http.status = 503;
        http.headers.set('retry-after', `${RETRY_AFTER_SECONDS}`);
        return;
      }
      const isPlainJson = !request.http?.headers.get('accept')?.includes('application/graphql-response+json');
      if (!isPlainJson || http.status !== 400 || body.kind !== 'single') return;
      const codes = body.singleResult.errors?.map(({ extensions }) => String(extensions?.code)) ?? [];
      if (codes.every((code) => documentFailures.has(code))) http.status = 200;
    },
  }),
};

async function authenticate({ verifyToken }: GraphQLPorts, header: string | undefined): Promise<Caller> {
  const [scheme, token] = (header ?? '').split(' ');
  if (scheme?.toLowerCase() !== 'bearer' || !token) {
    throw unauthenticated('Send a signed token: "Authorization: Bearer <token>".');
  }
  try {
    return await verifyToken(token);
  } catch (error) {
    throw error instanceof TokenError ? unauthenticated(error.message) : error;
  }
}

const contextOf = (ports: GraphQLPorts, caller: Caller, isRequest: boolean, onSlow: () => void): ApiContext => ({
  caller,
  load: new Loaders(ports, { cache: isRequest }),
  events: (matches, after) => eventStream(ports.feed, matches, { onSlow, ...(after != null && { after }) }),
  endCursor: async () => toCursor(await ports.feed.end()),
});

interface SocketState extends Record<PropertyKey, unknown> {
  caller: Caller;
  callOffExpiry: () => void;
}

function serveSubscriptions(http: FastifyInstance, ports: GraphQLPorts): GraphQLServer {
  const { schema, log, clock } = ports;
  const sockets = new WebSocketServer({ noServer: true, maxPayload: MAX_MESSAGE_BYTES });
  const documents = documentCache(schema);
  const server = useServer<{ authorization?: unknown; Authorization?: unknown }, SocketState>(
    {
      schema,
      onConnect: async ({ connectionParams, extra }) => {
        const header = connectionParams?.authorization ?? connectionParams?.Authorization;
        try {
          const caller = await authenticate(ports, typeof header === 'string' ? header : undefined);
          extra.caller = caller;
          extra.callOffExpiry = closeAtExpiry(extra.socket, caller, clock);
          return true;
        } catch (error) {
          if (!(error instanceof GraphQLError)) log.error({ error }, 'a token could not be checked');
          return false; // Closes with 4403.
        }
      },
      onDisconnect: ({ extra }) => extra.callOffExpiry?.(),
      onSubscribe: ({ extra }, _, payload) => executionOf(ports, documents, extra, payload),
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
    if (request.url?.split('?')[0] !== PATH) return refuseUpgrade(socket, '404 Not Found');
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
      const document = parse(text);
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
