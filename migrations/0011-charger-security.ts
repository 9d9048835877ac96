import type { MigrationInterface, QueryRunner } from 'typeorm';

export class ChargerSecurity1764100000011 implements MigrationInterface {
  async up(runner: QueryRunner): Promise<void> {
    await runner.query(`
      ALTER TABLE charger
        -- The lowest OCPP security profile by which it may come in.
        ADD COLUMN security_profile integer NOT NULL DEFAULT 1 CHECK (security_profile BETWEEN 1 AND 3),
        -- One that it was told to take and has not come with yet: until it does, both are good.
        ADD COLUMN next_password_hash text;
      -- The hash tells its own cost from now on.
      UPDATE charger SET password_hash = 'scrypt$4096$' || substr(password_hash, 8) WHERE password_hash LIKE 'scrypt$%$%';

      CREATE TABLE charger_certificate (
        -- SHA-256 of the certificate.
        fingerprint   text PRIMARY KEY,
        charger_id    text NOT NULL REFERENCES charger (id) ON DELETE CASCADE,
        serial_number text NOT NULL,
        not_before    timestamptz NOT NULL,
        not_after     timestamptz NOT NULL,
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
      UPDATE charger SET password_hash = replace(password_hash, 'scrypt$4096$', 'scrypt$');
      ALTER TABLE charger DROP COLUMN security_profile, DROP COLUMN next_password_hash;
    `);
  }
}
