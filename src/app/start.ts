// The composition root: the one file that knows every module. It starts them and stops them in order.
import 'reflect-metadata';
import { readFile } from 'node:fs/promises';
import type { AddressInfo } from 'node:net';
import type { FastifyInstance } from 'fastify';
import { liftBlock, readBlocks } from '../administration/blocks.ts';
import {
  type ChangePasswordHere,
  changeChargerPassword,
  changePasswordHere,
} from '../administration/change-charger-password.ts';
import { createApiKey, revokeApiKey } from '../administration/manage-api-keys.ts';
import { renewChargerCertificate, revokeChargerCertificate } from '../administration/manage-certificates.ts';
import { removeCharger, saveCharger } from '../administration/save-charger.ts';
import { removeIdTag, saveIdTag } from '../administration/save-id-tag.ts';
import { removeOverride, removeSite, saveOverride, saveSite } from '../administration/save-site.ts';
import { Audit } from '../audit/audit.ts';
import { Authenticator } from '../auth/authenticate.ts';
import { RequestLimits } from '../auth/request-limits.ts';
import { apiKeyVerifier } from '../auth/verify-api-key.ts';
import { tokenVerifier } from '../auth/verify-token.ts';
import { authorizeIdTag } from '../charging/authorize-id-tag.ts';
import { followConnectorState, recordReservationUpdate } from '../charging/follow-charger.ts';
import {
  connectCharger,
  disconnectCharger,
  reclaimCharger,
  recordBoot,
  recordClockSkew,
  recordSeen,
} from '../charging/follow-connection.ts';
import { authenticateCharger } from '../charging/login/authenticate-charger.ts';
import { type CertificateAuthority, certificateAuthority } from '../charging/login/certificate-authority.ts';
import { Passwords } from '../charging/login/passwords.ts';
import { signCertificate } from '../charging/login/sign-certificate.ts';
import { recordStatus } from '../charging/record-status.ts';
import { recordEnergy, reportTransaction, startTransaction, stopTransaction } from '../charging/report-transaction.ts';
import { doubtHolds, recordBreach, useEarly, useReservation } from '../charging/use-reservation.ts';
import { Background } from '../common/background.ts';
import { trustProxies } from '../common/client-address.ts';
import { type Clock, systemClock, withDeadline } from '../common/clock.ts';
import { createLog, type Log } from '../common/log.ts';
import { createMetrics } from '../common/metrics.ts';
import { Feed } from '../event-log/feed.ts';
import { Retention } from '../event-log/retention.ts';
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
import { settleCancel, settleLateAnswer, settleReserve } from '../lifecycle/settle-reservation.ts';
import { transition } from '../lifecycle/transition.ts';
import type { Outcome } from '../model/charger/charger-calls.ts';
import { NodeBus } from '../nodes/node-bus.ts';
import { executeRemoteCall, type RemoteCall, routeCall } from '../nodes/route-call.ts';
import { Gateway } from '../ocpp/gateway.ts';
import type { ChargerUseCases } from '../ocpp/protocol/protocol.ts';
import { readUsage } from '../reports/read-usage.ts';
import { cancelReservation } from '../reserving/cancel-reservation.ts';
import { extendReservation } from '../reserving/extend-reservation.ts';
import { endMoved, moveReservation } from '../reserving/move-reservation.ts';
import { noteRefusal } from '../reserving/note-refusal.ts';
import { holdOrPreempt } from '../reserving/preempt.ts';
import { readAvailability, reservationOptions } from '../reserving/reservation-options.ts';
import { reserveNow } from '../reserving/reserve-now.ts';
import { scheduleReservation } from '../reserving/schedule-reservation.ts';
import { untilAnswered } from '../reserving/until-answered.ts';
import { addOpenApi } from '../rest/openapi.ts';
import { addRest } from '../rest/routes.ts';
import { Settler } from '../settling/settler.ts';
import { apiKeyRepository } from '../storage/access/api-key.repository.ts';
import { auditRepository } from '../storage/access/audit.repository.ts';
import { certificateRepository } from '../storage/chargers/certificate.repository.ts';
import { chargerRepository, chargerSchema, connectorSchema } from '../storage/chargers/charger.repository.ts';
import { idTagRepository, idTagSchema } from '../storage/chargers/id-tag.repository.ts';
import { transactionRepository } from '../storage/chargers/transaction.repository.ts';
import { openDatabase } from '../storage/database.ts';
import { eventLog } from '../storage/events/event-log.repository.ts';
import { webhookRepository } from '../storage/events/webhook.repository.ts';
import { holdRepository } from '../storage/reservations/hold.repository.ts';
import { occupancyRepository } from '../storage/reservations/occupancy.repository.ts';
import { reservationRepository } from '../storage/reservations/reservation.repository.ts';
import { reservationSchema } from '../storage/reservations/reservation-row.repository.ts';
import { strikeRepository } from '../storage/reservations/strike.repository.ts';
import { usageRepository } from '../storage/reservations/usage.repository.ts';
import { KnownPolicies } from '../storage/sites/known-policies.ts';
import { policyRepository } from '../storage/sites/policy.repository.ts';
import { siteRepository, siteSchema } from '../storage/sites/site.repository.ts';
import { CallerQuota } from '../streams/caller-quota.ts';
import { Writer } from '../streams/outbox.ts';
import { Deliveries } from '../webhook/delivery.ts';
import { manageWebhooks } from '../webhook/manage-webhooks.ts';
import { webhookTarget } from '../webhook/target.ts';
import type { Config } from './config.ts';

export interface App {
  /** Port of the API. */
  readonly port: number;
  /** Ports that chargers connect to: without TLS, and with TLS. Absent: that port is not open. */
  readonly ocppPort?: number;
  readonly ocppTlsPort?: number;
  /** Takes no new work, closes subscriptions, closes each charger after its outstanding call, and the database last. */
  stop(): Promise<void>;
}

interface Options {
  readonly clock?: Clock;
  readonly log?: Log;
  /** Adds routes to the API's server; the demo adds GraphiQL. */
  readonly addRoutes?: (http: FastifyInstance) => void;
}

const entities = [siteSchema, chargerSchema, connectorSchema, idTagSchema, reservationSchema];
/** Margin on top of the two answer timeouts that a call can last: one in the charger's queue, one for the answer. */
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
        .catch((error) =>
          log.warn({ error, chargerId }, 'another node could not be asked to close the socket of a charger'),
        );
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
  metrics.gauge('connected_chargers', 'Chargers whose sockets are open on this node', () => gateway.connectedChargers);
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
  /** Changes the password at the node that holds the charger's socket. */
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
    // `bus.nodeId` throws until the node has joined; a node without an id cannot record chargers' connections.
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
      // Past the deadline, clients that have not read their answer are cut off.
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
