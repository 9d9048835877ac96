// GraphQL on one path: Apollo behind Fastify over HTTP, and beside it WebSocket (websocket.ts) and Server-Sent Events
// (event-stream.ts), with the same documents, limits, callers and errors.
import { ApolloServer, type ApolloServerPlugin } from '@apollo/server';
import { ApolloServerPluginCacheControlDisabled } from '@apollo/server/plugin/disabled';
import { fastifyApolloDrainPlugin, fastifyApolloHandler } from '@as-integrations/fastify';
import type { FastifyError, FastifyInstance } from 'fastify';
import type { GraphQLSchema } from 'graphql';
import type { ApiContext } from './context.ts';
import { maskError, RETRY_AFTER_SECONDS, timedOut, UNAVAILABLE } from './errors.ts';
import { serveEventStreams } from './event-stream.ts';
import { beyondLimits, MAX_TOKENS } from './limits.ts';
import { Operations } from './operations.ts';
import { authenticate, contextOf, type GraphQLPorts } from './request-context.ts';
import { serveWebSocket } from './websocket.ts';

export interface GraphQLServer {
  /** Ends every subscription with 1001; what runs over HTTP goes on. */
  closeSubscriptions(): Promise<void>;
}

const PATH = '/graphql';

export async function addGraphQL(http: FastifyInstance, ports: GraphQLPorts): Promise<GraphQLServer> {
  const apollo = new ApolloServer<ApiContext>({
    schema: ports.schema,
    parseOptions: { maxTokens: MAX_TOKENS },
    introspection: true,
    csrfPrevention: true,
    allowBatchedHttpRequests: false,
    includeStacktraceInErrorResponses: false,
    formatError: (formatted, error) => maskError(formatted, error, ports.log),
    plugins: [
      ApolloServerPluginCacheControlDisabled(),
      fastifyApolloDrainPlugin(http),
      limits(ports.schema),
      httpStatus,
    ],
    stopOnTerminationSignals: false,
    logger: ports.log,
  });
  await apollo.start();
  const context = async (request: { headers: { authorization?: string } }): Promise<ApiContext> =>
    contextOf(ports, await authenticate(ports, request.headers.authorization), true);
  const { clock, metrics, requestTimeoutMs } = ports;
  http.route({
    url: PATH,
    method: ['GET', 'POST'],
    handler: fastifyApolloHandler(apollo, { context }),
    onRequest: async (_, reply) => {
      const callOff = clock.after(requestTimeoutMs, () => {
        if (reply.sent) return;
        metrics.refusedRequests.inc({ limit: 'time' });
        void reply.status(503).send({ errors: [timedOut] });
      });
      reply.raw.once('close', callOff);
    },
  });
  http.setErrorHandler((error: FastifyError, _, reply) => {
    const status = error.statusCode ?? 500;
    const formatted = status < 500 ? badRequest(error.message) : maskError({ message: '' }, error, ports.log);
    void reply.status(status).send({ errors: [formatted] });
  });
  const operations = new Operations(ports);
  const sockets = serveWebSocket(http, PATH, operations);
  const streams = serveEventStreams(http, `${PATH}/stream`, operations);
  return { closeSubscriptions: async () => void (await Promise.all([sockets.close(), streams.close()])) };
}

/** Apollo validates a document once, without its variables; what it costs depends on them. */
const limits = (schema: GraphQLSchema): ApolloServerPlugin<ApiContext> => ({
  requestDidStart: async () => ({
    didResolveOperation: async ({ document, request, operationName }) => {
      const error = beyondLimits(schema, document, request.variables, operationName);
      if (error) throw error;
    },
  }),
});

const badRequest = (message: string) => ({ message, extensions: { code: 'BAD_REQUEST' } });

const documentFailures = new Set([
  ...['GRAPHQL_PARSE_FAILED', 'GRAPHQL_VALIDATION_FAILED', 'BAD_USER_INPUT'],
  ...['QUERY_TOO_DEEP', 'QUERY_TOO_COSTLY'],
]);

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
