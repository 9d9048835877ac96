// Who calls, and what the execution of that caller's operation has at hand; the same over HTTP and WebSocket.
import type { GraphQLSchema } from 'graphql';
import { type Authenticate, KeysAway } from '../../auth/authenticate.ts';
import type { RequestLimits } from '../../auth/request-limits.ts';
import type { TrustProxy } from '../../common/client-address.ts';
import type { Clock } from '../../common/clock.ts';
import type { Log } from '../../common/log.ts';
import type { Metrics } from '../../common/metrics.ts';
import type { Feed } from '../../event-log/feed.ts';
import type { Deadlines } from '../../http/deadlines.ts';
import type { Caller } from '../../model/access/caller.ts';
import type { CallerQuota } from '../../streams/caller-quota.ts';
import type { Writer } from '../../streams/outbox.ts';
import { type ApiContext, type ApiRequest, type LoaderPorts, Loaders } from './context.ts';
import { toGraphQLError } from './errors.ts';
import type { TrustedDocuments } from './trusted-documents.ts';

export interface GraphQLPorts extends LoaderPorts {
  readonly schema: GraphQLSchema;
  readonly feed: Feed;
  readonly authenticate: Authenticate;
  /** Whether an API key is good still, which was when its caller came. */
  readonly isKeyGood: (apiKeyId: string) => Promise<boolean>;
  readonly limits: RequestLimits;
  readonly trustProxy: TrustProxy;
  readonly clock: Clock;
  readonly log: Log;
  readonly metrics: Metrics;
  readonly allowedOrigins: readonly string[];
  readonly isIntrospectable: boolean;
  /** Where it is given, no other document is executed. */
  readonly trustedDocuments?: TrustedDocuments;
  /** A request that is not answered by then is told so, and read no further. */
  readonly requestTimeoutMs: number;
  /** The same for requests that come one by one. */
  readonly deadlines: Deadlines;
  readonly quota: CallerQuota;
  /** Writes for all connections, so that each has its turn. */
  readonly writer: Writer;
}

/** Throws GraphQLErrors. */
export async function authenticate(ports: GraphQLPorts, header: string | undefined, from: string): Promise<Caller> {
  try {
    return await ports.authenticate(header, from);
  } catch (error) {
    if (error instanceof KeysAway && error.isNews) ports.log.error({ error }, 'tokens cannot be checked');
    throw toGraphQLError(error);
  }
}

/** Without a request: of a subscription, which lives long. */
export const contextOf = (ports: GraphQLPorts, caller: Caller, request?: ApiRequest): ApiContext => ({
  caller,
  load: new Loaders(ports, { cache: request !== undefined }),
  log: ports.feed,
  now: { liveOf: ports.reservations.liveOf, connectorsOf: ports.chargers.connectorsOf },
  ...(request && { request }),
});
