// The composition root: the one file that knows every module. It starts them and stops them in order.
import 'reflect-metadata';
import { readFile } from 'node:fs/promises';
import type { AddressInfo } from 'node:net';
import type { FastifyInstance } from 'fastify';
import { ApiKeyResolver } from './api-key/api-key.graphql.ts';
import { apiKeyRepository } from './api-key/api-key.repository.ts';
import { createApiKey, revokeApiKey } from './api-key/manage-api-keys.ts';
import { apiKeyVerifier } from './api-key/verify-api-key.ts';
import { AuditResolver } from './audit/audit.graphql.ts';
import { auditRepository } from './audit/audit.repository.ts';
import { Audit } from './audit/audit.ts';
import { Authenticator } from './auth/authenticate.ts';
import { RequestLimits } from './auth/request-limits.ts';
import { tokenVerifier } from './auth/verify-token.ts';
import { AvailabilityResolver } from './availability/availability.graphql.ts';
import { occupancyRepository } from './availability/occupancy.repository.ts';
import { readAvailability, reservationOptions } from './availability/reservation-options.ts';
import { authenticateCharger } from './charger/authenticate-charger.ts';
import { certificateRepository } from './charger/certificate.repository.ts';
import { type CertificateAuthority, certificateAuthority } from './charger/certificate-authority.ts';
import {
  type ChangePasswordHere,
  changeChargerPassword,
  changePasswordHere,
} from './charger/change-charger-password.ts';
import { ChargerResolver, ConnectorResolver } from './charger/charger.graphql.ts';
import { chargerRepository, chargerSchema, connectorSchema } from './charger/charger.repository.ts';
import type { Outcome } from './charger/charger-calls.ts';
import { ChargerSecurityResolver } from './charger/charger-security.graphql.ts';
import { ConnectorChangedResolver } from './charger/connector-changed.graphql.ts';
import {
  connectCharger,
  disconnectCharger,
  reclaimCharger,
  recordBoot,
  recordClockSkew,
  recordSeen,
} from './charger/follow-connection.ts';
import { renewChargerCertificate, revokeChargerCertificate, signCertificate } from './charger/manage-certificates.ts';
import { Passwords } from './charger/passwords.ts';
import { recordStatus } from './charger/record-status.ts';
import { executeRemoteCall, type RemoteCall, routeCall } from './charger/route-call.ts';
import { removeCharger, saveCharger } from './charger/save-charger.ts';
import { Background } from './common/background.ts';
import { trustProxies } from './common/client-address.ts';
import { type Clock, systemClock, withDeadline } from './common/clock.ts';
import { createLog, type Log } from './common/log.ts';
import { createMetrics } from './common/metrics.ts';
import type { Config } from './config.ts';
import { openDatabase } from './database/database.ts';
import { NodeBus } from './database/node-bus.ts';
import { CallerQuota } from './delivery/caller-quota.ts';
import { Writer } from './delivery/outbox.ts';
import { eventLog } from './event-log/event-log.repository.ts';
import { EventsResolver } from './event-log/events.graphql.ts';
import { Feed } from './event-log/feed.ts';
import { Retention } from './event-log/retention.ts';
import { buildApiSchema } from './graphql/schema.ts';
import { addGraphQL } from './graphql/server.ts';
import { TrustedDocuments } from './graphql/trusted-documents.ts';
import { Deadlines } from './http/deadlines.ts';
import { addHealth } from './http/health.ts';
import { addMetrics } from './http/metrics.ts';
import { addOpenApi } from './http/rest/openapi.ts';
import { addRest } from './http/rest/routes.ts';
import { createHttpServer } from './http/server.ts';
import { authorizeIdTag } from './id-tag/authorize-id-tag.ts';
import { IdTagResolver } from './id-tag/id-tag.graphql.ts';
import { idTagRepository, idTagSchema } from './id-tag/id-tag.repository.ts';
import { removeIdTag, saveIdTag } from './id-tag/save-id-tag.ts';
import { Gateway } from './ocpp/gateway.ts';
import type { ChargerUseCases } from './ocpp/protocol.ts';
import { cancelReservation } from './reservation/cancel-reservation.ts';
import { extendReservation } from './reservation/extend-reservation.ts';
import { followConnectorState, recordReservationUpdate } from './reservation/follow-charger.ts';
import { holdRepository } from './reservation/hold.repository.ts';
import { endMoved, moveReservation } from './reservation/move-reservation.ts';
import { holdOrPreempt } from './reservation/preempt.ts';
import { ReservationResolver } from './reservation/reservation.graphql.ts';
import { reservationRepository } from './reservation/reservation.repository.ts';
import { ReservationChangedResolver } from './reservation/reservation-changed.graphql.ts';
import { reservationSchema } from './reservation/reservation-row.repository.ts';
import { reserveNow } from './reservation/reserve-now.ts';
import { scheduleReservation } from './reservation/schedule-reservation.ts';
import { settleCancel, settleLateAnswer, settleReserve } from './reservation/settle-reservation.ts';
import { Settler } from './reservation/settler.ts';
import { transition } from './reservation/transition.ts';
import { untilAnswered } from './reservation/until-answered.ts';
import { doubtHolds, recordBreach, useEarly, useReservation } from './reservation/use-reservation.ts';
import { KnownPolicies } from './site/known-policies.ts';
import { policyRepository } from './site/policy.repository.ts';
import { removeOverride, removeSite, saveOverride, saveSite } from './site/save-site.ts';
import { SiteResolver } from './site/site.graphql.ts';
import { siteRepository, siteSchema } from './site/site.repository.ts';
import {
  recordEnergy,
  reportTransaction,
  startTransaction,
  stopTransaction,
} from './transaction/report-transaction.ts';
import { transactionRepository } from './transaction/transaction.repository.ts';
import { liftBlock, readBlocks } from './usage/blocks.ts';
import { noteRefusal } from './usage/note-refusal.ts';
import { readUsage } from './usage/read-usage.ts';
import { strikeRepository } from './usage/strike.repository.ts';
import { UsageResolver } from './usage/usage.graphql.ts';
import { usageRepository } from './usage/usage.repository.ts';
import { Deliveries } from './webhook/delivery.ts';
import { manageWebhooks } from './webhook/manage-webhooks.ts';
import { webhookTarget } from './webhook/target.ts';
import { WebhookResolver } from './webhook/webhook.graphql.ts';
import { webhookRepository } from './webhook/webhook.repository.ts';

export interface App {
  /** Where the API listens. */
  readonly port: number;
  /** Where chargers connect: without TLS, and with it. */
  readonly ocppPort?: number;
  readonly ocppTlsPort?: number;
  /** No new work, subscriptions closed, chargers closed after their outstanding call, the database last. */
  stop(): Promise<void>;
}

interface Options {
  readonly clock?: Clock;
  readonly log?: Log;
  /** More routes on the API's port: the demo's. */
  readonly addRoutes?: (http: FastifyInstance) => void;
}

const entities = [siteSchema, chargerSchema, connectorSchema, idTagSchema, reservationSchema];
/** On top of the two answer timeouts that a call can last: one in the charger's queue, one for the answer. */
const LEASE_MARGIN_MS = 2000;

/** Resolves when chargers and clients can connect. */
export async function startApp(config: Config, options: Options = {}): Promise<App> {
  const { clock = systemClock, log = createLog(config.logLevel) } = options;
  const { answerTimeoutMs, heartbeatIntervalSeconds, livenessMs } = config;
  const callLeaseMs = 2 * answerTimeoutMs + LEASE_MARGIN_MS;
  const metrics = createMetrics();
  const background = new Background();
  const database = await openDatabase({ url: config.databaseUrl, poolSize: config.databasePoolSize, entities });
  let isDraining = false;
  const trustProxy = trustProxies(config.trustedProxies);

  const policyRows = policyRepository(database);
  const sites = siteRepository(database, policyRows);
  const chargers = chargerRepository(database);
  const certificates = certificateRepository(database);
  const passwords = new Passwords(clock);
  const authority = config.ocpp.authority && (await readAuthority(config.ocpp.authority, clock));
  const idTags = idTagRepository(database);
  const reservations = reservationRepository(database);
  const holds = holdRepository(database);
  const occupancy = occupancyRepository(database);
  const usage = usageRepository(database);
  const policies = new KnownPolicies(policyRows);
  const transactions = transactionRepository(database);

  const apiKeys = apiKeyRepository(database);
  const auditRows = auditRepository(database);
  const audit = new Audit({ rows: auditRows, clock, log });
  const authenticator = new Authenticator({
    verifyToken: tokenVerifier(config.tokens, clock),
    verifyApiKey: apiKeyVerifier({ keys: apiKeys, background, clock, log }),
    clock,
    metrics,
  });

  const eventRows = eventLog(database);
  const onHanded = (delayMs: number) => metrics.eventDelay.observe(delayMs / 1000);
  const feed = new Feed({ log: eventRows, clock, logger: log, onHanded });
  const retention = new Retention({ log: eventRows, clock, logger: log, retentionMs: config.eventRetentionMs });
  const bus: NodeBus = new NodeBus(config.databaseUrl, database, clock, log, {
    onHint: () => feed.wake(),
    onJoined: () => gateway.reclaim(),
    onDied: async (nodeIds) => {
      await chargers.disconnectAll(nodeIds, clock.now());
      feed.wake();
    },
    onRequest: async (topic, body) => {
      if (topic === 'call') return executeRemoteCall(gateway, body as RemoteCall);
      if (topic === 'change-password') return changePasswordAtThisNode((body as { chargerId: string }).chargerId);
      const { chargerId, reason, epoch } = body as { chargerId: string; reason: string; epoch?: number };
      return gateway.drop(chargerId, reason, epoch);
    },
  });
  const announce = () => {
    feed.wake();
    bus.hint();
  };
  const nodeId = () => bus.nodeId;
  const wakeSettler = (at: Date) => settler.wake(at);
  const calls = routeCall({
    local: () => gateway,
    nodeId,
    nodeOf: chargers.nodeOf,
    request: (node, topic, body, timeoutMs) => bus.request(node, topic, body, timeoutMs),
    answerTimeoutMs,
  });
  /** Ends a charger's socket at the node that holds it. */
  const drop = (chargerId: string, reason: string, node?: number, epoch?: number) => {
    if (node === undefined || node === bus.nodeId) gateway.drop(chargerId, reason, epoch);
    else {
      bus
        .request(node, 'drop', { chargerId, reason, epoch }, answerTimeoutMs)
        .catch((error) => log.warn({ error, chargerId }, 'another node could not be told to drop a charger'));
    }
  };
  const disconnect = (chargerId: string, reason: string) => {
    chargers
      .nodeOf(chargerId)
      .then((node) => drop(chargerId, reason, node))
      .catch((error) => log.error({ error, chargerId }, 'a charger could not be disconnected'));
  };

  const changePasswordAtThisNode = changePasswordHere({ chargers, passwords, local: () => gateway, disconnect });

  const change = transition({ reservations, clock, announce, wakeSettler, callLeaseMs });
  const settling = { reservations, chargers, transition: change, wakeSettler, clock, log };
  const settled = { settleReserve: settleReserve(settling), settleCancel: settleCancel(settling) };
  const following = { reservations, chargers, transition: change, wakeSettler, clock, log };
  const using = { reservations, transition: change, wakeSettler, clock, log };
  const authorize = authorizeIdTag({ idTags, chargers, reservations, policies: policyRows });
  const reporting = {
    transactions,
    authorizeIdTag: authorize,
    useReservation: useReservation(using),
    recordBreach: recordBreach(using),
    doubtHolds: doubtHolds(using),
    clock,
  };
  const connecting = {
    chargers,
    reservations,
    nodeId,
    announce,
    wakeSettler,
    clock,
    log,
    supersede: (node: number, chargerId: string, epoch: number) =>
      drop(chargerId, 'A newer connection of this charger took its place', node, epoch),
  };
  const settleLate = settleLateAnswer(settling);
  const useCases: ChargerUseCases = {
    authenticate: authenticateCharger({ chargers, certificates, passwords, clock, metrics }),
    connect: connectCharger(connecting),
    disconnect: disconnectCharger(connecting),
    reclaim: reclaimCharger(connecting),
    recordBoot: recordBoot(connecting),
    recordSeen: recordSeen(connecting),
    recordClockSkew: recordClockSkew(connecting),
    recordStatus: recordStatus({ chargers, followConnectorState: followConnectorState(following), announce, clock }),
    signCertificate: signCertificate({ authority, certificates, calls, background, clock, log }),
    recordCapabilities: chargers.recordCapabilities,
    authorizeIdTag: authorize,
    startTransaction: startTransaction(reporting),
    stopTransaction: stopTransaction(reporting),
    recordEnergy: recordEnergy(reporting),
    reportTransaction: reportTransaction(reporting),
    recordReservationUpdate: recordReservationUpdate(following),
    settleLateAnswer: (...late) => background.track(settleLate(...late)),
  };
  const gateway: Gateway = new Gateway({
    useCases,
    clock,
    log,
    metrics,
    answerTimeoutMs,
    heartbeatIntervalSeconds,
    livenessMs,
    trustProxy,
    ...{ doors: config.ocpp, isBehindTls: config.ocpp.isBehindTls },
  });
  metrics.gauge('connected_chargers', 'Chargers whose sockets are open here', () => gateway.connectedChargers);
  metrics.gauge('listening_subscriptions', 'Subscriptions that get each event as it comes', () => feed.live);
  metrics.gauge(
    'event_lag_seconds',
    'How long an event has waited to be handed to subscribers',
    () => feed.lagMs / 1000,
  );
  const holding = { holds, policies, announce, wakeSettler, clock, callLeaseMs };
  const asking = { ...settling, ...settled, calls, background, answerTimeoutMs };
  const ending = endMoved({ reservations, calls, transition: change, ...settled });
  const moving = { ...holding, ...asking, endMoved: ending };
  const settler: Settler = new Settler({
    ...{ ...settling, ...settled, calls, announce, metrics, background, nodeId, callLeaseMs },
    ...{ policies, occupancy, moving, endMoved: ending },
    useEarly: useEarly({ transactions, idTags, transition: change }),
    drainedAt: (chargerId) => gateway.drainedAt(chargerId),
  });

  const administration = { chargers, sites, passwords, clock, disconnect };
  const securing = { chargers, certificates, calls, canSign: authority !== undefined, disconnect, clock };
  /** At the node that holds the charger's socket. */
  const changePassword: ChangePasswordHere = async (chargerId) => {
    const node = gateway.isConnected(chargerId) ? bus.nodeId : await chargers.nodeOf(chargerId);
    if (node === undefined || node === bus.nodeId) return changePasswordAtThisNode(chargerId);
    const told = bus.request(node, 'change-password', { chargerId }, 2 * answerTimeoutMs + LEASE_MARGIN_MS);
    return ((await told.catch(() => undefined)) as Outcome | undefined) ?? { type: 'timed-out' };
  };
  const siteAdministration = { sites, policies: policyRows, chargers, clock };
  const making = {
    ...holding,
    ...asking,
    occupancy,
    hold: holdOrPreempt({ ...holding, reservations, calls, transition: change }),
    noteRefusal: noteRefusal({ usage, background, announce, clock, log }),
  };
  const reserve = reserveNow({ ...making, untilAnswered: untilAnswered(feed, reservations, clock) });
  const cancel = cancelReservation({ ...asking, policies });
  const extend = extendReservation({ ...holding, ...asking });
  const reading = { holds, occupancy, policies, clock };
  const blocking = { strikes: strikeRepository(database), policies, clock };
  const webhooks = webhookRepository(database);
  const target = config.webhooks && webhookTarget({ ...config.webhooks, clock });
  const delivering = config.webhooks &&
    target && { webhooks, feed, target, clock, secretKey: config.webhooks.secretKey };
  const deliveries =
    delivering && new Deliveries({ ...delivering, events: eventRows, log, metrics, random: Math.random });
  const schema = buildApiSchema(
    [
      new WebhookResolver(webhooks, manageWebhooks(delivering && { ...delivering, look: () => deliveries?.look() })),
      new ApiKeyResolver(
        apiKeys,
        createApiKey({ keys: apiKeys, clock }),
        revokeApiKey({ keys: apiKeys, clock, forget: (id) => authenticator.forget(id) }),
      ),
      new AuditResolver(auditRows),
      new ReservationResolver(
        reservations,
        reserve,
        scheduleReservation(making),
        moveReservation(moving),
        cancel,
        extend,
      ),
      new ReservationChangedResolver(),
      new EventsResolver(),
      new AvailabilityResolver(reservationOptions(reading), readAvailability(reading)),
      new UsageResolver(readUsage({ usage, policies }), readBlocks(blocking), liftBlock(blocking)),
      new ChargerResolver(chargers, saveCharger(administration), removeCharger(administration)),
      new ChargerSecurityResolver(
        certificates.ofCharger,
        changeChargerPassword({ chargers, changePassword }),
        renewChargerCertificate(securing),
        revokeChargerCertificate(securing),
      ),
      new ConnectorResolver(),
      new ConnectorChangedResolver(),
      new IdTagResolver(idTags, authorize, saveIdTag(idTags), removeIdTag(idTags), clock),
      new SiteResolver(
        sites,
        policyRows,
        saveSite(siteAdministration),
        removeSite(siteAdministration),
        saveOverride(siteAdministration),
        removeOverride(siteAdministration),
      ),
    ],
    audit,
  );
  const trustedDocuments = config.trustedDocuments && (await TrustedDocuments.read(schema, config.trustedDocuments));

  const limits = new RequestLimits(config.requestRates, clock, metrics);
  const { allowedOrigins, requestTimeoutMs } = config;
  const deadlines = new Deadlines({ requestTimeoutMs, clock, metrics });
  const quota = new CallerQuota({ ...config, metrics });
  const writer = new Writer(clock, log);
  const { http, closeUnusedConnections } = await createHttpServer({
    ...{ limits, trustProxy, allowedOrigins, log },
    isDraining: () => isDraining,
  });
  addMetrics(http, metrics, authenticator.authenticate);
  addHealth(http, {
    isDraining: () => isDraining,
    // Without its place among the nodes it cannot take chargers.
    checkDatabase: async () => void (await database.query({ name: 'ready', text: 'SELECT $1::integer' }, [bus.nodeId])),
  });
  const isKeyGood = (id: string) => apiKeys.isGood(id, clock.now());
  const graphql = await addGraphQL(http, {
    schema,
    feed,
    authenticate: authenticator.authenticate,
    isKeyGood,
    limits,
    trustProxy,
    chargers,
    sites,
    reservations,
    clock,
    log,
    metrics,
    allowedOrigins,
    isIntrospectable: config.isIntrospectable,
    ...(trustedDocuments && { trustedDocuments }),
    ...{ requestTimeoutMs, deadlines, quota, writer },
  });
  await addOpenApi(http);
  const rest = await addRest(http, {
    ...{ reserveNow: reserve, cancelReservation: cancel, reservations, limits, audit, deadlines },
    ...{ feed, quota, writer },
    ...{ authenticate: authenticator.authenticate, isKeyGood, clock, log, metrics },
  });
  options.addRoutes?.(http);

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
      await Promise.all([graphql.closeSubscriptions(), rest.close()]);
      const httpClosed = http.close();
      closeUnusedConnections();
      await Promise.all([withDeadline(clock, httpClosed, callLeaseMs), gateway.stop()]);
      // A client that does not take its answer waits for nothing more.
      http.server.closeAllConnections();
      await httpClosed;
      await background.ended();
      await audit.stop();
      feed.stop();
      try {
        await bus.leave();
      } finally {
        await database.close();
      }
      log.info('stopped');
    },
  };
}

async function readAuthority(
  { certificateFile, keyFile, validMs }: NonNullable<Config['ocpp']['authority']>,
  clock: Clock,
): Promise<CertificateAuthority> {
  const [certificatePem, keyPem] = await Promise.all([readFile(certificateFile, 'utf8'), readFile(keyFile, 'utf8')]);
  return certificateAuthority({ certificatePem, keyPem, validMs, clock });
}
