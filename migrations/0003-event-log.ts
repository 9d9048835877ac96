import type { MigrationInterface, QueryRunner } from 'typeorm';

export class EventLog1763800000003 implements MigrationInterface {
  async up(runner: QueryRunner): Promise<void> {
    await runner.query(`
      -- One log with one order. Ids are not taken in the order of the commits, so the log is read by
      -- (xid, id), and only below the oldest transaction still running.
      CREATE TABLE event (
        xid            xid8 NOT NULL DEFAULT pg_current_xact_id(),
        id             bigint GENERATED ALWAYS AS IDENTITY,
        at             timestamptz NOT NULL,
        kind           text NOT NULL CHECK (kind IN ('RESERVATION', 'CONNECTOR')),
        type           text NOT NULL,
        site_id        text NOT NULL,
        charger_id     text NOT NULL,
        connector_id   integer NOT NULL,
        from_status    text,
        to_status      text,
        reason         text,
        actor          text,
        reservation_id uuid,
        version        integer,
        snapshot       jsonb NOT NULL,
        PRIMARY KEY (xid, id)
      );
      CREATE UNIQUE INDEX event_of_reservation ON event (reservation_id, version) WHERE reservation_id IS NOT NULL;
    `);
  }

  async down(runner: QueryRunner): Promise<void> {
    await runner.query('DROP TABLE event');
  }
}
