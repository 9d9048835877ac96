// Makes the storage: one database, and every repository on it.
import { apiKeyRepository } from '../storage/access/api-key.repository.ts';
import { auditRepository } from '../storage/access/audit.repository.ts';
import { certificateRepository } from '../storage/chargers/certificate.repository.ts';
import { chargerRepository, chargerSchema } from '../storage/chargers/charger.repository.ts';
import { connectorSchema } from '../storage/chargers/connector.repository.ts';
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
import type { Config } from './config.ts';

const entities = [siteSchema, chargerSchema, connectorSchema, idTagSchema, reservationSchema];

export type Storage = Awaited<ReturnType<typeof openStorage>>;

/** Connects to PostgreSQL and brings its schema up to date. */
export async function openStorage({ databaseUrl, databasePoolSize }: Config) {
  const database = await openDatabase({ url: databaseUrl, poolSize: databasePoolSize, entities });
  const policyRows = policyRepository(database);
  return {
    database,
    apiKeys: apiKeyRepository(database),
    auditRows: auditRepository(database),
    certificates: certificateRepository(database),
    chargers: chargerRepository(database),
    events: eventLog(database),
    holds: holdRepository(database),
    idTags: idTagRepository(database),
    occupancy: occupancyRepository(database),
    policies: new KnownPolicies(policyRows),
    policyRows,
    reservations: reservationRepository(database),
    sites: siteRepository(database, policyRows),
    strikes: strikeRepository(database),
    transactions: transactionRepository(database),
    usage: usageRepository(database),
    webhooks: webhookRepository(database),
  };
}
