import type { MigrationInterface, QueryRunner } from 'typeorm';

export class ChargerSecurity1764100000011 implements MigrationInterface {
  async up(runner: QueryRunner): Promise<void> {
    await runner.query(`
      ALTER TABLE charger
        -- The lowest OCPP security profile with which the charger may log in.
        ADD COLUMN security_profile integer NOT NULL DEFAULT 1 CHECK (security_profile BETWEEN 1 AND 3),
        -- Hashes of passwords sent to the charger with which it has not logged in yet; all stay valid until it does.
        ADD COLUMN offered_hashes text[] NOT NULL DEFAULT '{}';

      CREATE TABLE charger_certificate (
        -- SHA-256 of the certificate.
        fingerprint   text PRIMARY KEY,
        charger_id    text NOT NULL REFERENCES charger (id) ON DELETE CASCADE,
        -- Null if the certificate was revoked before the charger used it.
        serial_number text,
        not_before    timestamptz,
        not_after     timestamptz,
        first_seen_at timestamptz,
        last_seen_at  timestamptz,
        revoked_at    timestamptz,
        revoked_by    text
      );
      CREATE INDEX charger_certificate_of_charger ON charger_certificate (charger_id, not_before DESC);
    `);
  }

  async down(runner: QueryRunner): Promise<void> {
    await runner.query(`
      DROP TABLE charger_certificate;
      ALTER TABLE charger DROP COLUMN security_profile, DROP COLUMN offered_hashes;
    `);
  }
}
