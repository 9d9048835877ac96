// The HTTP server of the API: limits on the size, duration and rate of requests, security headers and CORS, for every
// route.
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
/** Time limits for receiving a whole request, and its headers: a slower sender is cut off. */
const MAX_RECEIVE_MS = 30_000;
const MAX_HEAD_MS = 10_000;
const CHECK_MS = 2000;
const MAX_HEADERS_BYTES = 16 * 1024;
const MAX_PARAM_LENGTH = 300;
const PREFLIGHT_SECONDS = 600;

declare module 'fastify' {
  interface FastifyRequest {
    /** The client's address, as the trusted proxies report it. */
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
  /** Closes connections that have not sent a request yet: they would delay a stop. */
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
  // Answers are data, not pages: a browser may run nothing in them, nor show them in a frame.
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
    // Health checks are frequent, so they are not limited.
    const waitMs = routeOptions.url === '/healthz' || routeOptions.url === '/readyz' ? 0 : limits.waitOf(address);
    if (waitMs > 0) throw new RateLimited('Too many requests came from this address; wait.', waitMs);
  });
  // Closes connections while the server stops, since keep-alive would delay it; and after refusing a long request that
  // is still arriving, whose rest may take long.
  http.addHook('onSend', async ({ raw, headers }, reply) => {
    const isLong = 'transfer-encoding' in headers || Number(headers['content-length'] ?? 0) > MAX_BODY_BYTES;
    if (isDraining() || (reply.statusCode >= 400 && isLong && !raw.complete)) reply.header('connection', 'close');
  });
  return { http, closeUnusedConnections };
}
