import type { MigrationInterface, QueryRunner } from 'typeorm';

const USAGE = 'site_id, at, type, from_status, reason, id_tag, held_seconds, waited_seconds, is_late';
const COUNTED = `type IN ('REQUESTED', 'SCHEDULED', 'USED', 'CANCELLED', 'EXPIRED', 'REMOVED', 'REJECTED', 'FAILED', 'REFUSED')`;

export class Retention1764100000008 implements MigrationInterface {
  async up(runner: QueryRunner): Promise<void> {
    await runner.query(`
      -- The last dropped event; a cursor before it is refused as expired.
      CREATE TABLE event_horizon (
        is_one boolean PRIMARY KEY DEFAULT true CHECK (is_one),
        xid    xid8 NOT NULL,
        id     bigint NOT NULL
      );
      INSERT INTO event_horizon (xid, id) VALUES ('0', 0);
      ANALYZE event_horizon;

      -- The columns of dropped events from which the usage of a site is counted.
      CREATE TABLE past_usage (
        site_id        text NOT NULL,
        at             timestamptz NOT NULL,
        type           text NOT NULL,
        from_status    text,
        reason         text,
        id_tag         text,
        held_seconds   integer,
        waited_seconds integer,
        is_late        boolean
      );
      CREATE INDEX past_usage_of_site ON past_usage (site_id, at)
        INCLUDE (type, from_status, reason, id_tag, held_seconds, waited_seconds, is_late);
      CREATE VIEW usage AS
        SELECT ${USAGE} FROM event WHERE ${COUNTED} UNION ALL SELECT ${USAGE} FROM past_usage;
    `);
  }

  async down(runner: QueryRunner): Promise<void> {
    await runner.query('DROP VIEW usage; DROP TABLE past_usage; DROP TABLE event_horizon');
  }
}
