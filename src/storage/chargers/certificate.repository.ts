// Stores in PostgreSQL the certificates that chargers have presented or were issued.
import { present } from '../../common/present.ts';
import type { ChargerCertificate, ClientCertificate } from '../../model/charger/certificate.ts';
import type { Database } from '../database.ts';
import { statement } from '../statement.ts';

type Row = { [K in keyof ChargerCertificate]-?: ChargerCertificate[K] | null };

const COLUMNS = `charger_id AS "chargerId", fingerprint, serial_number AS "serialNumber", not_before AS "notBefore",
  not_after AS "notAfter", first_seen_at AS "firstSeenAt", last_seen_at AS "lastSeenAt", revoked_at AS "revokedAt",
  revoked_by AS "revokedBy"`;

const statements = {
  admit: statement(
    'certificate-admit',
    `
      INSERT INTO charger_certificate AS c
        (fingerprint, charger_id, serial_number, not_before, not_after, first_seen_at, last_seen_at)
      VALUES (:fingerprint, :chargerId, :serialNumber, :notBefore, :notAfter, :now, :now)
      ON CONFLICT (fingerprint) DO UPDATE SET last_seen_at = :now, first_seen_at = coalesce(c.first_seen_at, :now)
        WHERE c.charger_id = :chargerId AND c.revoked_at IS NULL
      RETURNING fingerprint`,
  ),
  issue: statement(
    'certificate-issue',
    `
      INSERT INTO charger_certificate (fingerprint, charger_id, serial_number, not_before, not_after)
      VALUES (:fingerprint, :chargerId, :serialNumber, :notBefore, :notAfter) ON CONFLICT DO NOTHING`,
  ),
  revoke: statement<Row>(
    'certificate-revoke',
    `
      INSERT INTO charger_certificate AS c (charger_id, fingerprint, revoked_at, revoked_by) VALUES (:chargerId, :fingerprint, :now, :by)
      ON CONFLICT (fingerprint) DO UPDATE
        SET revoked_at = coalesce(c.revoked_at, :now), revoked_by = coalesce(c.revoked_by, :by)
        WHERE c.charger_id = :chargerId
      RETURNING ${COLUMNS}`,
  ),
  ofCharger: statement<Row>(
    'certificates-of-charger',
    `
      SELECT ${COLUMNS} FROM charger_certificate WHERE charger_id = :chargerId ORDER BY not_before DESC NULLS LAST, fingerprint LIMIT 100`,
  ),
};

const toCertificate = (row: Row) => present(row) as unknown as ChargerCertificate;

export type CertificateRepository = ReturnType<typeof certificateRepository>;

export function certificateRepository(database: Database) {
  return {
    /** Records that the charger presented the certificate; false if it is revoked, or recorded for another charger. */
    async admit(chargerId: string, certificate: ClientCertificate, now: Date): Promise<boolean> {
      return (await database.query(statements.admit, { ...certificate, chargerId, now })).length > 0;
    },

    async recordIssue(chargerId: string, certificate: ClientCertificate): Promise<void> {
      await database.query(statements.issue, { ...certificate, chargerId });
    },

    /**
     * Revokes a certificate, even one that was never seen. One that is already revoked keeps its first revocation.
     * Undefined if it belongs to another charger.
     */
    async revoke(
      chargerId: string,
      fingerprint: string,
      now: Date,
      by: string,
    ): Promise<ChargerCertificate | undefined> {
      const [row] = await database.query(statements.revoke, { chargerId, fingerprint, now, by });
      return row && toCertificate(row);
    },

    /** The newest hundred certificates, newest first. */
    async ofCharger(chargerId: string): Promise<ChargerCertificate[]> {
      return (await database.query(statements.ofCharger, { chargerId })).map(toCertificate);
    },
  };
}
