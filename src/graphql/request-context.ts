// Who calls, and what the execution of that caller's operation has at hand; the same over HTTP and WebSocket.
import type { GraphQLSchema } from 'graphql';
import type { Caller } from '../auth/caller.ts';
import { TokenError, type VerifyToken } from '../auth/verify-token.ts';
import type { Clock } from '../common/clock.ts';
import type { Log } from '../common/log.ts';
import type { Metrics } from '../common/metrics.ts';
import type { Feed } from '../event-log/feed.ts';
import { type ApiContext, type LoaderPorts, Loaders } from './context.ts';
import { unauthenticated } from './errors.ts';

export interface GraphQLPorts extends LoaderPorts {
  readonly schema: GraphQLSchema;
  readonly feed: Feed;
  readonly verifyToken: VerifyToken;
  readonly clock: Clock;
  readonly log: Log;
  readonly metrics: Metrics;
  readonly allowedOrigins: readonly string[];
  /** A request that is not answered by then is told so. */
  readonly requestTimeoutMs: number;
  readonly maxSocketsPerDriver: number;
  readonly maxSubscriptionsPerDriver: number;
}

export async function authenticate(
  { verifyToken }: Pick<GraphQLPorts, 'verifyToken'>,
  header: string | undefined,
): Promise<Caller> {
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

/** `isRequest`: it is answered once; a subscription lives long. */
export const contextOf = (ports: GraphQLPorts, caller: Caller, isRequest: boolean): ApiContext => ({
  caller,
  load: new Loaders(ports, { cache: isRequest }),
  log: ports.feed,
  now: { liveOf: ports.reservations.liveOf, connectorsOf: ports.chargers.connectorsOf },
});
