import type { MigrationInterface, QueryRunner } from 'typeorm';

export class Usage1764000000007 implements MigrationInterface {
  async up(runner: QueryRunner): Promise<void> {
    await runner.query(`
      -- A refused request is an event without a reservation.
      ALTER TABLE event DROP CONSTRAINT event_kind_check;
      ALTER TABLE event ADD CONSTRAINT event_kind_check CHECK (kind IN ('RESERVATION', 'CONNECTOR', 'REFUSAL'));
      ALTER TABLE event
        ADD id_tag         text,
        -- held_seconds: how long the charger held the reservation; waited_seconds: from its start to its use.
        ADD held_seconds   integer,
        ADD waited_seconds integer,
        ADD is_late        boolean;
      -- Covers every column from which the usage of a site is counted.
      CREATE INDEX event_usage ON event (site_id, at)
        INCLUDE (type, from_status, reason, id_tag, held_seconds, waited_seconds, is_late)
        WHERE type IN ('REQUESTED', 'SCHEDULED', 'USED', 'CANCELLED', 'EXPIRED', 'REMOVED', 'REJECTED', 'FAILED', 'REFUSED');
    `);
  }

  async down(runner: QueryRunner): Promise<void> {
    await runner.query(`
      DROP INDEX event_usage;
      DELETE FROM event WHERE kind = 'REFUSAL';
      ALTER TABLE event DROP CONSTRAINT event_kind_check, DROP id_tag, DROP held_seconds, DROP waited_seconds,
        DROP is_late;
      ALTER TABLE event ADD CONSTRAINT event_kind_check CHECK (kind IN ('RESERVATION', 'CONNECTOR'));
    `);
  }
}
