// Makes the API: the schema and its resolvers, HTTP with GraphQL and REST on it, health and metrics.
import type { AdministrationPorts } from '../administration/ports.ts';
import type { Audit } from '../audit/audit.ts';
import type { Authenticator } from '../auth/authenticate.ts';
import { RequestLimits } from '../auth/request-limits.ts';
import type { ChargingPorts } from '../charging/ports.ts';
import type { TrustProxy } from '../common/client-address.ts';
import type { Metrics } from '../common/metrics.ts';
import { TrustedDocuments } from '../graphql/operations/trusted-documents.ts';
import { buildApiSchema } from '../graphql/schema.ts';
import { addGraphQL } from '../graphql/transport/server.ts';
import { ApiKeyResolver } from '../graphql/types/api-key.graphql.ts';
import { AuditResolver } from '../graphql/types/audit.graphql.ts';
import { AvailabilityResolver } from '../graphql/types/availability.graphql.ts';
import { ChargerResolver, ConnectorResolver } from '../graphql/types/charger.graphql.ts';
import { ChargerSecurityResolver } from '../graphql/types/charger-security.graphql.ts';
import { ConnectorChangedResolver } from '../graphql/types/connector-changed.graphql.ts';
import { EventsResolver } from '../graphql/types/events.graphql.ts';
import { IdTagResolver } from '../graphql/types/id-tag.graphql.ts';
import { ReservationResolver } from '../graphql/types/reservation.graphql.ts';
import { ReservationChangedResolver } from '../graphql/types/reservation-changed.graphql.ts';
import { SiteResolver } from '../graphql/types/site.graphql.ts';
import { UsageResolver } from '../graphql/types/usage.graphql.ts';
import { WebhookResolver } from '../graphql/types/webhook.graphql.ts';
import { Deadlines } from '../http/deadlines.ts';
import { addHealth } from '../http/health.ts';
import { addMetrics } from '../http/metrics.ts';
import { createHttpServer } from '../http/server.ts';
import type { ReservingPorts } from '../reserving/ports.ts';
import { addOpenApi } from '../rest/openapi.ts';
import { addRest } from '../rest/routes.ts';
import { statement } from '../storage/statement.ts';
import { CallerQuota } from '../streams/caller-quota.ts';
import { Writer } from '../streams/send-buffer.ts';
import type { WebhookPorts } from '../webhook/manage-webhooks.ts';
import type { Config } from './config.ts';
import type { Nodes } from './nodes.ts';
import type { Storage } from './storage.ts';

/** Checks that the database answers. */
const ready = statement('ready', 'SELECT :nodeId::integer');

interface Ports {
  readonly storage: Storage;
  readonly nodes: Nodes;
  readonly administration: AdministrationPorts;
  readonly charging: ChargingPorts;
  readonly reserving: ReservingPorts;
  readonly webhookPorts: WebhookPorts;
  readonly audit: Audit;
  readonly authenticator: Authenticator;
  readonly metrics: Metrics;
  readonly trustProxy: TrustProxy;
  readonly isDraining: () => boolean;
}

/** Makes the server of the API's port, which does not listen yet. Throws if the trusted documents cannot be read. */
export async function makeApi(config: Config, ports: Ports) {
  const { storage, nodes, administration, charging, reserving, webhookPorts } = ports;
  const { audit, authenticator, metrics, trustProxy, isDraining } = ports;
  const { clock, log, feed } = reserving;
  const schema = buildApiSchema(
    [
      new ApiKeyResolver(administration),
      new AuditResolver(storage.auditRows),
      new AvailabilityResolver(reserving),
      new ChargerResolver(administration),
      new ChargerSecurityResolver(administration),
      new ConnectorChangedResolver(),
      new ConnectorResolver(),
      new EventsResolver(),
      new IdTagResolver(administration, charging),
      new ReservationChangedResolver(),
      new ReservationResolver(reserving),
      new SiteResolver(administration),
      new UsageResolver(administration, storage),
      new WebhookResolver(webhookPorts),
    ],
    audit,
  );
  const trustedDocuments = config.trustedDocuments
    ? await TrustedDocuments.read(schema, config.trustedDocuments)
    : undefined;

  const { allowedOrigins, requestTimeoutMs, isIntrospectable } = config;
  const { authenticate } = authenticator;
  const limits = new RequestLimits(config.requestRates, clock, metrics);
  const edge = {
    authenticate,
    isKeyGood: (id: string) => storage.apiKeys.isGood(id, clock.now()),
    limits,
    deadlines: new Deadlines({ requestTimeoutMs, clock, metrics }),
    quota: new CallerQuota({ ...config, metrics }),
    writer: new Writer(clock, log),
    feed,
    clock,
    log,
    metrics,
  };
  const { http, closeUnusedConnections } = await createHttpServer({
    limits,
    trustProxy,
    allowedOrigins,
    log,
    isDraining,
  });
  addMetrics(http, metrics, authenticate);
  addHealth(http, {
    isDraining,
    // `nodeId` throws until the node has joined; a node without an id cannot record chargers' connections.
    checkDatabase: async () => void (await storage.database.query(ready, { nodeId: nodes.nodeId() })),
  });
  const { chargers, sites, reservations } = storage;
  const graphql = await addGraphQL(http, {
    ...edge,
    schema,
    trustProxy,
    chargers,
    sites,
    reservations,
    allowedOrigins,
    isIntrospectable,
    requestTimeoutMs,
    ...(trustedDocuments && { trustedDocuments }),
  });
  await addOpenApi(http);
  const rest = await addRest(http, { ...edge, reserving, audit });
  return {
    http,
    closeUnusedConnections,
    /** Ends every subscription and event stream; their clients come back with their cursor. */
    closeStreams: () => Promise.all([graphql.closeSubscriptions(), rest.close()]),
  };
}
