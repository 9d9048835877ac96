// Stores in PostgreSQL the certificates that chargers have presented or were issued.
import { present } from '../../common/present.ts';
import type { ChargerCertificate, ClientCertificate } from '../../model/charger/certificate.ts';
import type { Database, Statement } from '../database.ts';

type Row = { [K in keyof ChargerCertificate]-?: ChargerCertificate[K] | null };

const COLUMNS = `charger_id AS "chargerId", fingerprint, serial_number AS "serialNumber", not_before AS "notBefore",
  not_after AS "notAfter", first_seen_at AS "firstSeenAt", last_seen_at AS "lastSeenAt", revoked_at AS "revokedAt",
  revoked_by AS "revokedBy"`;

const statements = {
  admit: {
    name: 'certificate-admit',
    text: `
      INSERT INTO charger_certificate AS c
        (fingerprint, charger_id, serial_number, not_before, not_after, first_seen_at, last_seen_at)
      VALUES ($1, $2, $3, $4, $5, $6, $6)
      ON CONFLICT (fingerprint) DO UPDATE SET last_seen_at = $6, first_seen_at = coalesce(c.first_seen_at, $6)
        WHERE c.charger_id = $2 AND c.revoked_at IS NULL
      RETURNING fingerprint`,
  },
  issue: {
    name: 'certificate-issue',
    text: `
      INSERT INTO charger_certificate (fingerprint, charger_id, serial_number, not_before, not_after)
      VALUES ($1, $2, $3, $4, $5) ON CONFLICT DO NOTHING`,
  },
  revoke: {
    name: 'certificate-revoke',
    text: `
      INSERT INTO charger_certificate AS c (charger_id, fingerprint, revoked_at, revoked_by) VALUES ($1, $2, $3, $4)
      ON CONFLICT (fingerprint) DO UPDATE
        SET revoked_at = coalesce(c.revoked_at, $3), revoked_by = coalesce(c.revoked_by, $4)
        WHERE c.charger_id = $1
      RETURNING ${COLUMNS}`,
  },
  ofCharger: {
    name: 'certificates-of-charger',
    text: `
      SELECT ${COLUMNS} FROM charger_certificate WHERE charger_id = $1 ORDER BY not_before DESC NULLS LAST, fingerprint LIMIT 100`,
  },
} as const satisfies Record<string, Statement>;

const toCertificate = (row: Row) => present(row) as unknown as ChargerCertificate;

export type CertificateRepository = ReturnType<typeof certificateRepository>;

export function certificateRepository(database: Database) {
  const valuesOf = (chargerId: string, { fingerprint, serialNumber, notBefore, notAfter }: ClientCertificate) => [
    fingerprint,
    chargerId,
    serialNumber,
    notBefore,
    notAfter,
  ];
  return {
    /** Records that the charger presented the certificate; false if it is revoked, or recorded for another charger. */
    async admit(chargerId: string, certificate: ClientCertificate, now: Date): Promise<boolean> {
      return (await database.query(statements.admit, [...valuesOf(chargerId, certificate), now])).length > 0;
    },

    async recordIssue(chargerId: string, certificate: ClientCertificate): Promise<void> {
      await database.query(statements.issue, valuesOf(chargerId, certificate));
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
      const [row] = await database.query<Row>(statements.revoke, [chargerId, fingerprint, now, by]);
      return row && toCertificate(row);
    },

    /** The newest hundred certificates, newest first. */
    async ofCharger(chargerId: string): Promise<ChargerCertificate[]> {
      return (await database.query<Row>(statements.ofCharger, [chargerId])).map(toCertificate);
    },
  };
}
