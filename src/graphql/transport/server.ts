// Serves GraphQL at /graphql: over HTTP with Apollo behind Fastify, over WebSocket (websocket.ts), and at
// /graphql/stream as Server-Sent Events (event-stream.ts); all with the same documents, limits, callers and errors.
import { ApolloServer, type ApolloServerPlugin } from '@apollo/server';
import {
  ApolloServerPluginCacheControlDisabled,
  ApolloServerPluginLandingPageDisabled,
} from '@apollo/server/plugin/disabled';
import { fastifyApolloDrainPlugin, fastifyApolloHandler } from '@as-integrations/fastify';
import type { FastifyError, FastifyInstance, FastifyRequest } from 'fastify';
import { GraphQLError } from 'graphql';
import { CredentialError, KeysAway } from '../../auth/authenticate.ts';
import type { Budget } from '../../auth/request-limits.ts';
import type { Log } from '../../common/log.ts';
import type { Caller } from '../../model/access/caller.ts';
import type { ApiContext } from '../operations/context.ts';
import { maskError, RETRY_AFTER_SECONDS, timedOut, toGraphQLError, UNAVAILABLE } from '../operations/errors.ts';
import { costOfFailure, MAX_TOKENS, measure } from '../operations/limits.ts';
import { Operations } from '../operations/operations.ts';
import { contextOf, type GraphQLPorts } from '../operations/request-context.ts';
import type { TrustedDocuments } from '../operations/trusted-documents.ts';
import { serveEventStreams } from './event-stream.ts';
import { serveWebSocket } from './websocket.ts';

export interface GraphQLServer {
  /** Closes every WebSocket with 1001 and ends every event stream; plain HTTP requests go on. */
  closeSubscriptions(): Promise<void>;
}

const PATH = '/graphql';

export async function addGraphQL(http: FastifyInstance, ports: GraphQLPorts): Promise<GraphQLServer> {
  const { schema, log, deadlines, trustedDocuments } = ports;
  const apollo = new ApolloServer<ApiContext>({
    schema,
    parseOptions: { maxTokens: MAX_TOKENS },
    introspection: ports.isIntrospectable,
    csrfPrevention: true,
    allowBatchedHttpRequests: false,
    persistedQueries: false,
    includeStacktraceInErrorResponses: false,
    formatError: (formatted, error) => maskError(formatted, error, log),
    plugins: [
      ApolloServerPluginCacheControlDisabled(),
      ApolloServerPluginLandingPageDisabled(),
      fastifyApolloDrainPlugin(http),
      charge(ports),
      httpStatus,
    ],
    stopOnTerminationSignals: false,
    logger: log,
  });
  await apollo.start();
  const callers = new WeakMap<FastifyRequest, Caller>();
  const context = async (request: FastifyRequest): Promise<ApiContext> => {
    const caller = callers.get(request);
    if (!caller) throw new Error('A request reached Apollo without its caller');
    return contextOf(ports, caller, { address: request.address, via: 'GRAPHQL', signal: deadlines.signalOf(request) });
  };
  await http.register(async (scope) => {
    scope.setErrorHandler((error: FastifyError | Error, _, reply) => {
      const { status, headers, formatted } = shownFailure(error, log);
      void reply
        .headers(headers)
        .status(status)
        .send({ errors: [formatted] });
    });
    scope.route({
      url: PATH,
      method: ['GET', 'POST'],
      handler: fastifyApolloHandler(apollo, { context }),
      onRequest: async (request, reply) => {
        deadlines.begin(request, reply, () => {
          void reply
            .status(503)
            .header('retry-after', `${RETRY_AFTER_SECONDS}`)
            .send({ errors: [timedOut] });
        });
        // Authentication precedes the body, so an unauthenticated request costs little.
        const caller = await ports.authenticate(request.headers.authorization, request.address);
        ports.limits.countBy(caller);
        callers.set(request, caller);
      },
      preHandler: async (request) => {
        if (trustedDocuments) nameByText(request, trustedDocuments);
      },
    });
  });
  const operations = new Operations(ports);
  const sockets = serveWebSocket(http, PATH, operations);
  const streams = serveEventStreams(http, `${PATH}/stream`, operations);
  return { closeSubscriptions: async () => void (await Promise.all([sockets.close(), streams.close()])) };
}

/** Puts the text of the trusted document into the request, however the client named it: Apollo reads only the text. */
function nameByText(request: FastifyRequest, documents: TrustedDocuments): void {
  if (request.method === 'GET') {
    const { pathname, searchParams } = new URL(request.url, 'http://localhost');
    const extensions = searchParams.get('extensions') ?? undefined;
    const named = { ...Object.fromEntries(searchParams), extensions: extensions && parsed(extensions) };
    searchParams.set('query', documents.textOf(named));
    searchParams.delete('extensions');
    request.raw.url = `${pathname}?${searchParams}`;
    return;
  }
  const body = request.body as { extensions?: unknown } | null;
  if (typeof body !== 'object' || body === null) return;
  Object.assign(body, { query: documents.textOf(body) });
  delete body.extensions;
}

function parsed(json: string): unknown {
  try {
    return JSON.parse(json);
  } catch {
    return undefined;
  }
}

/** Takes the cost of a request from its caller’s budget, and puts the budget into the answer. */
const charge = ({ schema, limits }: GraphQLPorts): ApolloServerPlugin<ApiContext> => ({
  requestDidStart: async () => {
    let budget: Budget | undefined;
    let isCharged = false;
    return {
      // The cost depends on the variables, and Apollo validates a document once, without them.
      didResolveOperation: async ({ document, request, operationName, contextValue }) => {
        const cost = measure(schema, document, request.variables, operationName);
        if (cost instanceof GraphQLError) throw cost;
        isCharged = true; // A caller whose budget is used up is not charged for that refusal.
        refusing(() => {
          budget = limits.spend(contextValue.caller, cost);
        });
      },
      didEncounterErrors: async ({ source, request, contextValue }) => {
        if (isCharged || source === undefined) return;
        isCharged = true;
        limits.charge(contextValue.caller, costOfFailure(source, request.variables));
      },
      willSendResponse: async ({ response: { body } }) => {
        if (budget && body.kind === 'single')
          body.singleResult.extensions = { ...body.singleResult.extensions, cost: budget };
      },
    };
  },
});

function refusing(take: () => void): void {
  try {
    take();
  } catch (error) {
    throw toGraphQLError(error);
  }
}

/** The answer to a failure before GraphQL: a bad credential, too many requests, a body that cannot be read. */
function shownFailure(error: FastifyError | Error, log: Log) {
  if (error instanceof CredentialError) {
    const formatted = { message: error.message, extensions: { code: 'UNAUTHENTICATED' } };
    return { status: 401, headers: {}, formatted };
  }
  if (error instanceof KeysAway && error.isNews) log.error({ error }, 'tokens cannot be checked');
  const known = toGraphQLError(error);
  const { status = 500, headers = new Map<string, string>() } =
    known instanceof GraphQLError
      ? ((known.extensions.http ?? {}) as { status?: number; headers?: Map<string, string> })
      : { status: 'statusCode' in error ? error.statusCode : 500 };
  const formatted =
    !(known instanceof GraphQLError) && status < 500
      ? { message: error.message, extensions: { code: 'BAD_REQUEST' } }
      : maskError(known instanceof GraphQLError ? known.toJSON() : { message: '' }, known, log);
  return { status, headers: Object.fromEntries(headers), formatted };
}

const documentFailures = new Set([
  'GRAPHQL_PARSE_FAILED',
  'GRAPHQL_VALIDATION_FAILED',
  'BAD_USER_INPUT',
  'QUERY_TOO_LARGE',
  'QUERY_TOO_DEEP',
  'QUERY_TOO_COSTLY',
]);

/**
 * The HTTP status of a response. With application/json, a document that cannot be run still gets a well-formed answer:
 * 200. While the database is away: 503 with retry-after, whatever else the response holds.
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
