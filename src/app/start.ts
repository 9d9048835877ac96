// The composition root: makes the parts of the server, starts them in phases, and stops them in order.
import 'reflect-metadata';
import type { AddressInfo } from 'node:net';
import type { FastifyInstance } from 'fastify';
import { PasswordChanges } from '../administration/change-charger-password.ts';
import type { AdministrationPorts } from '../administration/ports.ts';
import { Audit } from '../audit/audit.ts';
import { Authenticator } from '../auth/authenticate.ts';
import { apiKeyVerifier } from '../auth/verify-api-key.ts';
import { tokenVerifier } from '../auth/verify-token.ts';
import { Background } from '../common/background.ts';
import { trustProxies } from '../common/client-address.ts';
import { type Clock, systemClock, withDeadline } from '../common/clock.ts';
import { createLog, type Log } from '../common/log.ts';
import { createMetrics } from '../common/metrics.ts';
import { Feed } from '../event-log/feed.ts';
import { Retention } from '../event-log/retention.ts';
import type { LifecyclePorts } from '../lifecycle/transition.ts';
import type { ReservingPorts } from '../reserving/ports.ts';
import { Settler } from '../settling/settler.ts';
import { makeApi } from './api.ts';
import { openGateway } from './chargers.ts';
import type { Config } from './config.ts';
import { connectNodes } from './nodes.ts';
import { openStorage } from './storage.ts';
import { makeWebhooks } from './webhooks.ts';

export interface App {
  /** The port of the API. */
  readonly port: number;
  /** The ports for chargers: without TLS, and with it. */
  readonly ocppPort?: number;
  readonly ocppTlsPort?: number;
  /** Takes no new work, ends subscriptions, lets outstanding Calls end, and closes the database last. */
  stop(): Promise<void>;
}

interface Options {
  readonly clock?: Clock;
  readonly log?: Log;
  /** Adds routes to the API's port: the demo's pages. */
  readonly addRoutes?: (http: FastifyInstance) => void;
}

/** Added to the two answer timeouts that a Call can last: one in the charger's queue, one for the answer. */
const LEASE_MARGIN_MS = 2000;

/** Resolves when chargers and clients can connect. */
export async function startApp(config: Config, options: Options = {}): Promise<App> {
  const { clock = systemClock, log = createLog(config.logLevel) } = options;
  const { answerTimeoutMs } = config;
  const callLeaseMs = 2 * answerTimeoutMs + LEASE_MARGIN_MS;
  const metrics = createMetrics();
  const background = new Background();
  const trustProxy = trustProxies(config.trustedProxies);
  let isDraining = false;

  const storage = await openStorage(config);
  const feed = new Feed({
    events: storage.events,
    clock,
    log,
    onHanded: (delayMs) => metrics.eventDelay.observe(delayMs / 1000),
  });
  const retention = new Retention({
    events: storage.events,
    clock,
    log,
    retentionMs: config.eventRetentionMs,
  });
  const nodes = connectNodes(config, {
    storage,
    feed,
    gateway: () => gateway,
    passwordChanges: () => passwordChanges,
    callLeaseMs,
    clock,
    log,
  });
  const { bus, calls, nodeId, announce, disconnect, changePassword } = nodes;

  const lifecycle: LifecyclePorts = {
    ...storage,
    clock,
    log,
    announce,
    wakeSettler: (at) => settler.wake(at),
    callLeaseMs,
  };
  const { charging, gateway, passwords, canSign } = await openGateway(config, {
    storage,
    nodes,
    lifecycle,
    background,
    metrics,
    trustProxy,
  });
  const passwordChanges = new PasswordChanges({ ...storage, passwords, gateway, disconnect });

  const reserving: ReservingPorts = { ...storage, ...lifecycle, calls, feed, background, answerTimeoutMs };
  const settler = new Settler({
    ...storage,
    ...reserving,
    metrics,
    nodeId,
    drainedAt: (chargerId) => gateway.drainedAt(chargerId),
  });

  const authenticator = new Authenticator({
    verifyToken: tokenVerifier(config.tokens, clock),
    verifyApiKey: apiKeyVerifier({ keys: storage.apiKeys, background, clock, log }),
    clock,
    metrics,
  });
  const audit = new Audit({ rows: storage.auditRows, clock, log });
  const administration: AdministrationPorts = {
    ...storage,
    passwords,
    calls,
    canSign,
    changePassword,
    disconnect,
    forgetApiKey: (id) => authenticator.forget(id),
    clock,
  };
  const { webhookPorts, deliveries } = makeWebhooks(config, { storage, feed, clock, log, metrics });
  const { http, closeUnusedConnections, closeStreams } = await makeApi(config, {
    storage,
    nodes,
    administration,
    charging,
    reserving,
    webhookPorts,
    audit,
    authenticator,
    metrics,
    trustProxy,
    isDraining: () => isDraining,
  });
  options.addRoutes?.(http);
  metrics.gauge(
    'listening_subscriptions',
    'Listeners that have caught up with the log and get each event as it comes',
    () => feed.live,
  );
  metrics.gauge(
    'event_lag_seconds',
    'How long an event has waited to be handed to subscribers',
    () => feed.lagMs / 1000,
  );

  await bus.join();
  const { plain: ocppPort, tls: ocppTlsPort } = await gateway.listen(config.host);
  await http.listen({ host: config.host, port: config.port });
  settler.wake(clock.now());
  retention.start();
  deliveries?.start();
  const { port } = http.server.address() as AddressInfo;
  log.info({ port, ocppPort, ocppTlsPort }, 'ready');

  return {
    port,
    ...(ocppPort !== undefined && { ocppPort }),
    ...(ocppTlsPort !== undefined && { ocppTlsPort }),
    async stop() {
      isDraining = true;
      log.info('stopping');
      await settler.stop();
      await retention.stop();
      await deliveries?.stop();
      await closeStreams();
      const httpClosed = http.close();
      closeUnusedConnections();
      await Promise.all([withDeadline(clock, httpClosed, callLeaseMs), gateway.stop()]);
      // Past the deadline, clients that have not read their answer are cut off.
      http.server.closeAllConnections();
      await httpClosed;
      await background.ended();
      await audit.stop();
      feed.stop();
      try {
        await bus.leave();
      } finally {
        await storage.database.close();
      }
      log.info('stopped');
    },
  };
}
