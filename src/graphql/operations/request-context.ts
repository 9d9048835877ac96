// The ports of everything in this folder, the authentication of callers over WebSocket and event streams, and the
// context of the resolvers, the same over every transport.
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
import type { Writer } from '../../streams/send-buffer.ts';
import { type ApiContext, type ApiRequest, type LoaderPorts, Loaders } from './context.ts';
import { toGraphQLError } from './errors.ts';
import type { TrustedDocuments } from './trusted-documents.ts';

export interface GraphQLPorts extends LoaderPorts {
  readonly schema: GraphQLSchema;
  readonly feed: Feed;
  readonly authenticate: Authenticate;
  /** Whether an API key, valid when its caller connected, is still valid. */
  readonly isKeyGood: (apiKeyId: string) => Promise<boolean>;
  readonly limits: RequestLimits;
  readonly trustProxy: TrustProxy;
  readonly clock: Clock;
  readonly log: Log;
  readonly metrics: Metrics;
  readonly allowedOrigins: readonly string[];
  readonly isIntrospectable: boolean;
  /** If given, no other document is executed. */
  readonly trustedDocuments?: TrustedDocuments;
  /** A request not answered by then gets TIMED_OUT, and nothing more is read for it. */
  readonly requestTimeoutMs: number;
  /** Enforces requestTimeoutMs for requests over plain HTTP. */
  readonly deadlines: Deadlines;
  readonly quota: CallerQuota;
  /** Shared by all connections, so that they are written in turn. */
  readonly writer: Writer;
}

/** Throws a GraphQLError for bad credentials, a rate limit, or an unreachable key set or database. */
export async function authenticate(ports: GraphQLPorts, header: string | undefined, from: string): Promise<Caller> {
  try {
    return await ports.authenticate(header, from);
  } catch (error) {
    if (error instanceof KeysAway && error.isNews) ports.log.error({ error }, 'tokens cannot be checked');
    throw toGraphQLError(error);
  }
}

/** Without `request`: the context of a subscription, which lives long, so its loaders cache nothing. */
export const contextOf = (ports: GraphQLPorts, caller: Caller, request?: ApiRequest): ApiContext => ({
  caller,
  load: new Loaders(ports, { cache: request !== undefined }),
  feed: ports.feed,
  now: { liveOf: ports.reservations.liveOf, connectorsOf: ports.chargers.connectorsOf },
  ...(request && { request }),
});
