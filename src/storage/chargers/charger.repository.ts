// Stores chargers in PostgreSQL: what operators save and what chargers report about themselves.
import { EntitySchema } from 'typeorm';
import { present } from '../../common/present.ts';
import type { BootReport, Capabilities, Charger, OcppVersion, SecurityProfile } from '../../model/charger/charger.ts';
import type { Database } from '../database.ts';
import { growGuard, guardKeys } from '../reservations/hold.repository.ts';
import { live } from '../reservations/reservation-row.repository.ts';
import { statement } from '../statement.ts';
import { chargerConnections } from './connection.repository.ts';
import { connectorStates } from './connector.repository.ts';

interface ChargerRow {
  id: string;
  siteId: string;
  name: string;
  passwordHash: string;
  securityProfile: SecurityProfile;
  ocppVersion: OcppVersion | null;
  vendor: string | null;
  model: string | null;
  serialNumber: string | null;
  firmwareVersion: string | null;
  supportsReservation: boolean | null;
  supportsConnectorZero: boolean | null;
  connectedNode: number | null;
  bootedAt: Date | null;
  lastSeenAt: Date | null;
  clockSkewSeconds: number | null;
  removedAt: Date | null;
}

export const chargerSchema = new EntitySchema<ChargerRow>({
  name: 'charger',
  columns: {
    id: { type: 'text', primary: true },
    siteId: { type: 'text', name: 'site_id' },
    name: { type: 'text' },
    passwordHash: { type: 'text', name: 'password_hash', select: false },
    securityProfile: { type: 'int', name: 'security_profile' },
    ocppVersion: { type: 'text', name: 'ocpp_version', nullable: true },
    vendor: { type: 'text', nullable: true },
    model: { type: 'text', nullable: true },
    serialNumber: { type: 'text', name: 'serial_number', nullable: true },
    firmwareVersion: { type: 'text', name: 'firmware_version', nullable: true },
    supportsReservation: { type: 'boolean', name: 'supports_reservation', nullable: true },
    supportsConnectorZero: { type: 'boolean', name: 'supports_connector_zero', nullable: true },
    connectedNode: { type: 'int', name: 'connected_node', nullable: true },
    bootedAt: { type: 'timestamptz', name: 'booted_at', nullable: true },
    lastSeenAt: { type: 'timestamptz', name: 'last_seen_at', nullable: true },
    clockSkewSeconds: { type: 'int', name: 'clock_skew_seconds', nullable: true },
    removedAt: { type: 'timestamptz', name: 'removed_at', nullable: true },
  },
});

const toCharger = ({
  id,
  siteId,
  name,
  connectedNode,
  removedAt: _,
  passwordHash: __,
  securityProfile,
  ...row
}: ChargerRow): Charger => ({
  id,
  siteId,
  name,
  securityProfile,
  ...present(row),
  isConnected: connectedNode !== null,
});

export interface SavedCharger {
  readonly id: string;
  readonly siteId: string;
  readonly name: string;
  /** Absent: the password stays as it is. */
  readonly passwordHash?: string;
  /** Raises the stored profile, never lowers it. */
  readonly securityProfile: SecurityProfile;
  readonly connectors: readonly { readonly connectorId: number; readonly plugTypes: readonly string[] }[];
}

export interface Credentials {
  readonly passwordHash: string;
  /** Hashes of passwords that were sent to the charger, and with which it has not logged in yet. */
  readonly offeredHashes: readonly string[];
  readonly securityProfile: SecurityProfile;
}

type SiteOfRow = { siteId: string; securityProfile: SecurityProfile };
const statements = {
  credentials: statement<Credentials>(
    'charger-credentials',
    `
      SELECT password_hash AS "passwordHash", offered_hashes AS "offeredHashes", security_profile AS "securityProfile"
      FROM charger WHERE id = :chargerId AND removed_at IS NULL`,
  ),
  // The charger may have accepted an earlier password whose answer was lost, so the last three offers stay.
  offerPassword: statement(
    'charger-offer-password',
    'UPDATE charger SET offered_hashes = (:hash::text || offered_hashes)[1:3] WHERE id = :chargerId',
  ),
  withdrawPassword: statement(
    'charger-withdraw-password',
    'UPDATE charger SET offered_hashes = array_remove(offered_hashes, :hash) WHERE id = :chargerId',
  ),
  adoptPassword: statement(
    'charger-adopt-password',
    `UPDATE charger SET password_hash = :hash, offered_hashes = '{}' WHERE id = :chargerId AND :hash = ANY (offered_hashes)`,
  ),
  // A new or removed charger needs a password. Concurrent saves never lower the profile, and the row is updated only
  // while the charger still belongs to site `:before`, for which the caller's rights were checked (null: there was no
  // charger).
  save: statement(
    'charger-save',
    `
      INSERT INTO charger AS c (id, site_id, name, password_hash, security_profile)
      SELECT :id, :siteId, :name, coalesce(:passwordHash, ''), :securityProfile
      WHERE :passwordHash::text IS NOT NULL OR EXISTS (SELECT FROM charger WHERE id = :id AND removed_at IS NULL)
      ON CONFLICT (id) DO UPDATE SET site_id = :siteId, name = :name, removed_at = NULL,
        password_hash = coalesce(:passwordHash, c.password_hash), offered_hashes = CASE WHEN :passwordHash IS NULL THEN c.offered_hashes ELSE '{}' END,
        security_profile = greatest(c.security_profile, :securityProfile)
        WHERE (:passwordHash IS NOT NULL OR c.removed_at IS NULL) AND c.site_id = :before
      RETURNING id`,
  ),
  saveConnector: statement(
    'connector-save',
    `
      INSERT INTO connector (charger_id, connector_id, plug_types, state) VALUES (:id, :connectorId, :plugTypes, 'UNKNOWN')
      ON CONFLICT (charger_id, connector_id) DO UPDATE SET plug_types = excluded.plug_types`,
  ),
  siteOf: statement<SiteOfRow>(
    'charger-site',
    'SELECT site_id AS "siteId", security_profile AS "securityProfile" FROM charger WHERE id = :chargerId',
  ),
  boot: statement(
    'charger-boot',
    `
      UPDATE charger SET supports_reservation = NULL, supports_connector_zero = NULL, vendor = :vendor, model = :model, serial_number = :serialNumber, firmware_version = :firmwareVersion, booted_at = :now, last_seen_at = :now
      WHERE id = :chargerId`,
  ),
  capabilities: statement(
    'charger-capabilities',
    `
      UPDATE charger SET supports_reservation = coalesce(:supportsReservation, supports_reservation),
        supports_connector_zero = coalesce(:supportsConnectorZero, supports_connector_zero) WHERE id = :chargerId`,
  ),
  remove: statement(
    'charger-remove',
    `
      WITH removed AS (
        UPDATE charger SET removed_at = :now, offered_hashes = '{}'
        WHERE id = :chargerId AND NOT EXISTS (SELECT FROM reservation r WHERE r.charger_id = :chargerId AND r.expiry_date > :now
          AND r.status IN (${live}))
        RETURNING id
      ), revoked AS (
        UPDATE charger_certificate k SET revoked_at = :now, revoked_by = :by FROM removed
        WHERE k.charger_id = removed.id AND k.revoked_at IS NULL
      ) SELECT id FROM removed`,
  ),
};

export type ChargerRepository = ReturnType<typeof chargerRepository>;

export function chargerRepository(database: Database) {
  const chargers = database.source.getRepository(chargerSchema);
  return {
    ...chargerConnections(database),
    ...connectorStates(database),

    async credentials(chargerId: string): Promise<Credentials | undefined> {
      const [row] = await database.query(statements.credentials, { chargerId });
      return row;
    },

    /** The site and the profile of a charger, even of a removed one. */
    async belonging(
      chargerId: string,
    ): Promise<{ readonly siteId: string; readonly securityProfile: SecurityProfile } | undefined> {
      const [row] = await database.query(statements.siteOf, { chargerId });
      return row;
    },

    /** From now on the charger may log in with this hash as well. */
    async offerPassword(chargerId: string, hash: string): Promise<void> {
      await database.query(statements.offerPassword, { chargerId, hash });
    },

    async withdrawPassword(chargerId: string, hash: string): Promise<void> {
      await database.query(statements.withdrawPassword, { chargerId, hash });
    },

    /** Makes an offered hash the charger's only one. */
    async adoptPassword(chargerId: string, hash: string): Promise<void> {
      await database.query(statements.adoptPassword, { chargerId, hash });
    },

    async recordBoot(chargerId: string, boot: BootReport, now: Date): Promise<void> {
      const { vendor, model, serialNumber, firmwareVersion } = boot;
      await database.query(statements.boot, { chargerId, vendor, model, serialNumber, firmwareVersion, now });
    },

    async recordCapabilities(chargerId: string, told: Capabilities): Promise<void> {
      const { supportsReservation, supportsConnectorZero } = told;
      await database.query(statements.capabilities, { chargerId, supportsReservation, supportsConnectorZero });
    },

    async byIds(ids: readonly string[]): Promise<Charger[]> {
      const query = chargers.createQueryBuilder('c').where('c.id = ANY(:ids) AND c.removedAt IS NULL', { ids });
      return (await query.getMany()).map(toCharger);
    },

    /** Chargers in the order of their ids; `after` is the last id of the page before. */
    async page(filter: { siteIds?: readonly string[] }, first: number, after?: string): Promise<Charger[]> {
      const query = chargers.createQueryBuilder('c').where('c.removedAt IS NULL');
      if (filter.siteIds) query.andWhere('c.siteId = ANY(:siteIds)', { siteIds: filter.siteIds });
      if (after !== undefined) query.andWhere('c.id > :after', { after });
      return (await query.orderBy('c.id').limit(first).getMany()).map(toCharger);
    },

    /**
     * Creates or changes a charger; a removed one is restored. False if it needs a password and none is given, or if it
     * no longer belongs to the site `before` (absent: there was no charger).
     */
    save(
      { id, siteId, name, passwordHash, securityProfile, connectors }: SavedCharger,
      before?: string,
    ): Promise<boolean> {
      return database.transaction(async (sql) => {
        const saved = await sql.query(statements.save, { id, siteId, name, passwordHash, securityProfile, before });
        if (saved.length === 0) return false;
        for (const { connectorId, plugTypes } of connectors)
          await sql.query(statements.saveConnector, { id, connectorId, plugTypes: [...plugTypes] });
        return true;
      });
    },

    /**
     * Marks the charger as removed: it can no longer connect or be reserved, and its history stays. False while it has
     * live reservations.
     */
    remove(chargerId: string, now: Date, by: string): Promise<boolean> {
      return database.transaction(async (sql) => {
        // Until the commit no hold can be stored for this charger; one that was decided before fails then, because its
        // guard has changed.
        await growGuard(sql, guardKeys.charger(chargerId));
        return (await sql.query(statements.remove, { chargerId, now, by })).length > 0;
      });
    },
  };
}
