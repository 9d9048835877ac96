// The API's port: who may connect and how much one address may send; every route stands behind it.
import cors from '@fastify/cors';
import helmet from '@fastify/helmet';
import { type FastifyInstance, type FastifyRequest, fastify } from 'fastify';
import { RateLimited } from '../auth/authenticate.ts';
import type { RequestLimits } from '../auth/request-limits.ts';
import { clientAddress, type TrustProxy } from '../common/client-address.ts';
import type { Log } from '../common/log.ts';
import { answerProblems, problemOf, sendProblem } from './problem.ts';
import { trackUnusedConnections } from './unused-connections.ts';

const MAX_BODY_BYTES = 100_000;
/** For a request to arrive whole, and for its head: who sends it drop by drop is cut off. */
const MAX_RECEIVE_MS = 30_000;
const MAX_HEAD_MS = 10_000;
const CHECK_MS = 2000;
const MAX_HEADERS_BYTES = 16 * 1024;
const MAX_PARAM_LENGTH = 300;
const PREFLIGHT_SECONDS = 600;

declare module 'fastify' {
  interface FastifyRequest {
    /** Where it comes from: the client's address, as the proxies that we trust say. */
    readonly address: string;
  }
}

interface Ports {
  readonly limits: RequestLimits;
  readonly trustProxy: TrustProxy;
  readonly allowedOrigins: readonly string[];
  readonly isDraining: () => boolean;
  readonly log: Log;
}

export interface HttpServer {
  readonly http: FastifyInstance;
  /** Ends connections on which nothing was asked for yet, which would keep a stop waiting. */
  closeUnusedConnections(): void;
}

export async function createHttpServer(ports: Ports): Promise<HttpServer> {
  const { limits, trustProxy, allowedOrigins, isDraining, log } = ports;
  const http = fastify({
    bodyLimit: MAX_BODY_BYTES,
    requestTimeout: MAX_RECEIVE_MS,
    frameworkErrors: (error, _, reply) => void sendProblem(reply, problemOf(error, log)),
    routerOptions: { maxParamLength: MAX_PARAM_LENGTH },
    http: { headersTimeout: MAX_HEAD_MS, connectionsCheckingInterval: CHECK_MS, maxHeaderSize: MAX_HEADERS_BYTES },
  });
  http.decorateRequest('address', {
    getter(this: FastifyRequest) {
      return clientAddress(this.raw, trustProxy);
    },
  });
  const closeUnusedConnections = trackUnusedConnections(http.server);
  answerProblems(http, log);
  // Answers are data, not pages: nothing in them may run, whoever puts them in a frame.
  await http.register(helmet, {
    contentSecurityPolicy: { useDefaults: false, directives: { defaultSrc: ["'none'"], frameAncestors: ["'none'"] } },
    referrerPolicy: { policy: 'no-referrer' },
    crossOriginResourcePolicy: { policy: 'cross-origin' },
  });
  await http.register(cors, {
    origin: allowedOrigins.length > 0 ? [...allowedOrigins] : false,
    methods: ['GET', 'POST', 'PUT', 'DELETE'],
    exposedHeaders: ['retry-after', 'location'],
    maxAge: PREFLIGHT_SECONDS,
    strictPreflight: false,
  });
  http.addHook('onRequest', async ({ address, routeOptions }) => {
    // Who looks after the process asks often.
    const waitMs = routeOptions.url === '/healthz' || routeOptions.url === '/readyz' ? 0 : limits.waitOf(address);
    if (waitMs > 0) throw new RateLimited('Too many requests came from this address; wait.', waitMs);
  });
  // A connection that was kept alive would keep the stop waiting; so would one whose refused request may go on for long.
  http.addHook('onSend', async ({ raw, headers }, reply) => {
    const isLong = 'transfer-encoding' in headers || Number(headers['content-length'] ?? 0) > MAX_BODY_BYTES;
    if (isDraining() || (reply.statusCode >= 400 && isLong && !raw.complete)) reply.header('connection', 'close');
  });
  return { http, closeUnusedConnections };
}
