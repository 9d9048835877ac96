import type { MigrationInterface, QueryRunner } from 'typeorm';

export class Settling1763900000004 implements MigrationInterface {
  async up(runner: QueryRunner): Promise<void> {
    await runner.query(`
      ALTER TABLE site
        ADD precheck_status          boolean NOT NULL DEFAULT false,
        ADD server_side_hold_allowed boolean NOT NULL DEFAULT false,
        ADD extension_allowed        boolean NOT NULL DEFAULT true,
        ADD extension_may_replace    boolean NOT NULL DEFAULT false;

      -- Seconds by which the charger's clock is ahead (negative: behind), measured from its messages.
      ALTER TABLE charger ADD clock_skew_seconds integer;

      -- A due row that is ACCEPTED is verified with the charger, which may have dropped it.
      ALTER TABLE reservation
        ADD enforcement  text NOT NULL DEFAULT 'CHARGER' CHECK (enforcement IN ('CHARGER', 'SERVER')),
        ADD charger_said text CHECK (charger_said IN ('EXPIRED', 'REMOVED', 'NO_TRANSACTION')),
        -- When the charger last confirmed the hold, and since when the hold is in doubt.
        ADD confirmed_at timestamptz,
        ADD doubted_at   timestamptz,
        -- Until this time only the process with the claim works on the row.
        ADD claimed_until timestamptz;
      CREATE INDEX reservation_of_wire_id ON reservation (charger_id, reservation_id);
    `);
  }

  async down(runner: QueryRunner): Promise<void> {
    await runner.query(`
      DROP INDEX reservation_of_wire_id;
      ALTER TABLE reservation DROP enforcement, DROP charger_said, DROP confirmed_at, DROP doubted_at,
        DROP claimed_until;
      ALTER TABLE charger DROP clock_skew_seconds;
      ALTER TABLE site DROP precheck_status, DROP server_side_hold_allowed, DROP extension_allowed,
        DROP extension_may_replace;
    `);
  }
}
