import type { MigrationInterface, QueryRunner } from 'typeorm';

export class ReservationsAndTransactions1763800000002 implements MigrationInterface {
  async up(runner: QueryRunner): Promise<void> {
    await runner.query(`
      CREATE EXTENSION IF NOT EXISTS btree_gist;

      -- Ids sent to chargers: positive int32, reused only after the whole range.
      CREATE SEQUENCE reservation_wire_id AS integer MINVALUE 1 CYCLE;
      CREATE SEQUENCE transaction_wire_id AS integer MINVALUE 1 CYCLE;

      CREATE TABLE transaction (
        id           uuid PRIMARY KEY,
        charger_id   text NOT NULL REFERENCES charger (id),
        connector_id integer,
        wire_id      text NOT NULL,
        id_tag       text,
        token_type   text,
        meter_start  integer,
        started_at   timestamptz NOT NULL,
        stopped_at   timestamptz,
        -- Whether the idTag was accepted. A refused transaction that still delivers energy is a breach.
        is_accepted  boolean,
        CONSTRAINT transaction_of_charger UNIQUE (charger_id, wire_id)
      );
      -- OCPP 1.6: the same start sent again with another message id is the same transaction.
      CREATE UNIQUE INDEX transaction_start
        ON transaction (charger_id, connector_id, lower(id_tag), started_at, meter_start) WHERE meter_start IS NOT NULL;

      CREATE TABLE reservation (
        id                uuid PRIMARY KEY,
        reservation_id    integer NOT NULL CHECK (reservation_id > 0),
        site_id           text NOT NULL REFERENCES site (id),
        charger_id        text NOT NULL REFERENCES charger (id),
        connector_id      integer NOT NULL CHECK (connector_id >= 0),
        id_tag            text NOT NULL,
        token_type        text NOT NULL,
        parent_id_tag     text,
        status            text NOT NULL CHECK (status IN ('PENDING', 'UNKNOWN', 'ACCEPTED', 'CANCELLING',
                            'USED', 'CANCELLED', 'EXPIRED', 'REMOVED', 'REJECTED', 'FAILED')),
        version           integer NOT NULL,
        starts_at         timestamptz NOT NULL,
        expiry_date       timestamptz NOT NULL CHECK (expiry_date > starts_at),
        created_at        timestamptz NOT NULL,
        created_by        text NOT NULL,
        reason            text,
        ended_at          timestamptz,
        used_connector_id integer,
        transaction_id    uuid REFERENCES transaction (id),
        is_breached       boolean NOT NULL DEFAULT false,
        idempotency_key   text,
        request_digest    text,
        -- When the settler must check the row again, and how often it has tried.
        due_at            timestamptz,
        attempts          integer NOT NULL DEFAULT 0,
        -- The reservation has ended here, and the charger may still hold it: a CancelReservation is owed.
        is_release_owed   boolean NOT NULL DEFAULT false,
        CONSTRAINT reservation_connector_held EXCLUDE USING gist
          (charger_id WITH =, connector_id WITH =, tstzrange(starts_at, expiry_date) WITH &&)
          WHERE (connector_id > 0 AND status IN ('PENDING', 'UNKNOWN', 'ACCEPTED', 'CANCELLING'))
      );
      CREATE UNIQUE INDEX reservation_live_wire_id ON reservation (charger_id, reservation_id)
        WHERE status IN ('PENDING', 'UNKNOWN', 'ACCEPTED', 'CANCELLING');
      CREATE UNIQUE INDEX reservation_idempotency ON reservation (created_by, idempotency_key)
        WHERE idempotency_key IS NOT NULL;
      -- A transaction uses at most one reservation.
      CREATE UNIQUE INDEX reservation_transaction ON reservation (transaction_id) WHERE transaction_id IS NOT NULL;
      CREATE INDEX reservation_expiry ON reservation (expiry_date)
        WHERE status IN ('PENDING', 'UNKNOWN', 'ACCEPTED', 'CANCELLING');
      CREATE INDEX reservation_due ON reservation (due_at) WHERE due_at IS NOT NULL;
      CREATE INDEX reservation_page ON reservation (created_at DESC, id DESC);
      CREATE INDEX reservation_of_charger ON reservation (charger_id, created_at DESC, id DESC);
      CREATE INDEX reservation_of_id_tag ON reservation (lower(id_tag), created_at DESC, id DESC);
    `);
  }

  async down(runner: QueryRunner): Promise<void> {
    await runner.query(`
      DROP TABLE reservation, transaction;
      DROP SEQUENCE reservation_wire_id, transaction_wire_id;
    `);
  }
}
