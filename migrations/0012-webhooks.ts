import type { MigrationInterface, QueryRunner } from 'typeorm';

export class Webhooks1764100000012 implements MigrationInterface {
  async up(runner: QueryRunner): Promise<void> {
    await runner.query(`
      CREATE TABLE webhook (
        id                uuid PRIMARY KEY,
        name              text NOT NULL,
        url               text NOT NULL,
        -- The sites and the types of the delivered events (null: all).
        site_ids          text[],
        types             text[],
        -- The secret is derived from the server's key, this id and this number; it is not stored.
        secret_version    integer NOT NULL DEFAULT 1,
        -- Until this time messages are also signed with the previous secret.
        old_secret_until  timestamptz,
        -- Why the webhook is paused; null if it is not.
        paused_for        text CHECK (paused_for IN ('REQUESTED', 'UNREACHABLE', 'GONE', 'CURSOR_EXPIRED')),
        -- Everything in the log up to here was delivered.
        xid               xid8 NOT NULL,
        event_id          bigint NOT NULL,
        delivered_at      timestamptz,
        failing_since     timestamptz,
        attempts          integer NOT NULL DEFAULT 0,
        next_attempt_at   timestamptz NOT NULL,
        last_error        text,
        -- The process that holds the lease; is_changed makes it stop and release the lease.
        claim             uuid,
        claimed_until     timestamptz,
        is_changed        boolean NOT NULL DEFAULT false,
        created_at        timestamptz NOT NULL,
        created_by        text NOT NULL
      );
      CREATE INDEX webhook_newest ON webhook (created_at DESC, id DESC);
      CREATE INDEX webhook_to_deliver ON webhook (next_attempt_at) WHERE paused_for IS NULL;
    `);
  }

  async down(runner: QueryRunner): Promise<void> {
    await runner.query('DROP TABLE webhook');
  }
}
