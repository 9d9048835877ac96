import type { MigrationInterface, QueryRunner } from 'typeorm';

const LIVE = `status IN ('SCHEDULED', 'PENDING', 'UNKNOWN', 'ACCEPTED', 'CANCELLING')`;
const HOLDING = `status IN ('PENDING', 'UNKNOWN', 'ACCEPTED', 'CANCELLING')`;
const STRIKE = `(status = 'EXPIRED' OR (status = 'CANCELLED' AND is_late_cancel)
  OR (is_re_reservation AND status NOT IN ('REJECTED', 'FAILED')))`;

export class Bookings1764000000006 implements MigrationInterface {
  async up(runner: QueryRunner): Promise<void> {
    await runner.query(`
      ALTER TABLE reservation
        DROP CONSTRAINT reservation_status_check,
        ADD CONSTRAINT reservation_status_check CHECK (status IN ('SCHEDULED', 'PENDING', 'UNKNOWN', 'ACCEPTED',
          'CANCELLING', 'USED', 'CANCELLED', 'EXPIRED', 'REMOVED', 'REJECTED', 'FAILED')),
        -- Null: a reservation for the group alone.
        ALTER id_tag DROP NOT NULL,
        ADD CONSTRAINT reservation_holder CHECK (id_tag IS NOT NULL OR parent_id_tag IS NOT NULL),
        -- The group whose limits the reservation counts for, in lower case: the requested one, or else the holder's own.
        ADD holder_group      text,
        -- For a hold without a connector: the wanted plug.
        ADD plug_type         text,
        -- The version of the site's policy that allowed the reservation.
        ADD policy_version    integer NOT NULL DEFAULT 1,
        ADD extensions        integer NOT NULL DEFAULT 0,
        -- The expiry date of an extension that the charger has not answered yet.
        ADD extending_to      timestamptz,
        ADD held_until        timestamptz GENERATED ALWAYS AS (greatest(expiry_date, extending_to)) STORED,
        -- When the charger first accepted the reservation.
        ADD accepted_at       timestamptz,
        -- For a booking: the end of its activation attempts.
        ADD activate_until    timestamptz,
        -- Whether the reservation was made for later.
        ADD is_booking        boolean NOT NULL DEFAULT false,
        -- The minutes until a no-show, and the no-show time, set once the charger holds the reservation.
        ADD no_show_minutes   integer,
        ADD no_show_at        timestamptz,
        ADD notice_at         timestamptz,
        ADD notice_minutes    integer,
        ADD is_late_cancel    boolean NOT NULL DEFAULT false,
        ADD is_re_reservation boolean NOT NULL DEFAULT false,
        -- The reservation that this one replaces; the replaced one ends once this one is held.
        ADD moved_from        uuid REFERENCES reservation (id),
        ADD alternative       jsonb;
      UPDATE reservation SET accepted_at = confirmed_at WHERE confirmed_at IS NOT NULL;
      UPDATE reservation r SET holder_group = lower(coalesce(r.parent_id_tag,
        (SELECT t.parent_id_tag FROM id_tag t WHERE lower(t.id_tag) = lower(r.id_tag))));

      ALTER TABLE reservation
        DROP CONSTRAINT reservation_connector_held,
        ADD CONSTRAINT reservation_connector_held EXCLUDE USING gist
          (charger_id WITH =, connector_id WITH =, tstzrange(starts_at, held_until) WITH &&)
          WHERE (connector_id > 0 AND ${LIVE});
      -- Live reservations by their start; the few that last longer than a day have an index of their own.
      CREATE INDEX reservation_window ON reservation (charger_id, starts_at)
        INCLUDE (connector_id, held_until, plug_type) WHERE ${LIVE};
      CREATE INDEX reservation_long_window ON reservation (charger_id, held_until)
        WHERE held_until - starts_at >= interval '1 day' AND ${LIVE};
      DROP INDEX reservation_live_wire_id;
      CREATE UNIQUE INDEX reservation_live_wire_id ON reservation (charger_id, reservation_id) WHERE ${LIVE};
      DROP INDEX reservation_expiry;
      CREATE INDEX reservation_end ON reservation (least(expiry_date, no_show_at)) WHERE ${LIVE};
      CREATE INDEX reservation_notice ON reservation (notice_at) WHERE notice_at IS NOT NULL AND ${HOLDING};
      CREATE INDEX reservation_live_of_id_tag ON reservation (site_id, lower(id_tag), held_until) WHERE ${LIVE};
      CREATE INDEX reservation_live_of_group ON reservation (site_id, holder_group, held_until)
        WHERE holder_group IS NOT NULL AND ${LIVE};
      CREATE INDEX reservation_day_of_id_tag ON reservation (site_id, lower(id_tag), starts_at);
      CREATE INDEX reservation_ended_of_id_tag ON reservation (site_id, lower(id_tag), ended_at)
        WHERE status IN ('USED', 'CANCELLED', 'EXPIRED');
      CREATE INDEX reservation_strike_of_id_tag ON reservation (site_id, lower(id_tag)) WHERE ${STRIKE};
      CREATE INDEX reservation_strike_of_group ON reservation (site_id, holder_group)
        WHERE holder_group IS NOT NULL AND ${STRIKE};
      CREATE INDEX reservation_holding ON reservation (charger_id) WHERE ${HOLDING};
      CREATE INDEX reservation_release ON reservation (charger_id) WHERE is_release_owed;
      CREATE INDEX reservation_correctable ON reservation (charger_id, expiry_date)
        WHERE status IN ('EXPIRED', 'CANCELLED', 'REMOVED', 'FAILED');
      CREATE UNIQUE INDEX reservation_moved_from ON reservation (moved_from)
        WHERE moved_from IS NOT NULL AND status NOT IN ('REJECTED', 'FAILED', 'CANCELLED', 'REMOVED', 'EXPIRED');

      CREATE INDEX transaction_running ON transaction (charger_id, connector_id) WHERE stopped_at IS NULL;

      -- Strikes before this time do not count: an operator lifted the block.
      CREATE TABLE pardon (
        site_id     text NOT NULL REFERENCES site (id) ON DELETE CASCADE,
        scope       text NOT NULL CHECK (scope IN ('ID_TAG', 'GROUP')),
        key         text NOT NULL,
        pardoned_at timestamptz NOT NULL,
        pardoned_by text NOT NULL,
        PRIMARY KEY (site_id, scope, key)
      );
    `);
  }

  async down(runner: QueryRunner): Promise<void> {
    await runner.query(`
      DROP TABLE pardon;
      DROP INDEX transaction_running;
      UPDATE reservation SET moved_from = NULL;
      DELETE FROM event WHERE reservation_id IN (SELECT id FROM reservation WHERE status = 'SCHEDULED' OR id_tag IS NULL);
      DELETE FROM reservation WHERE status = 'SCHEDULED' OR id_tag IS NULL;
      DROP INDEX reservation_live_of_id_tag, reservation_live_of_group, reservation_day_of_id_tag,
        reservation_ended_of_id_tag, reservation_strike_of_id_tag, reservation_strike_of_group, reservation_moved_from,
        reservation_holding, reservation_release, reservation_correctable, reservation_notice, reservation_end,
        reservation_window, reservation_long_window, reservation_live_wire_id;
      ALTER TABLE reservation
        DROP CONSTRAINT reservation_connector_held,
        DROP CONSTRAINT reservation_status_check,
        DROP CONSTRAINT reservation_holder,
        DROP holder_group, DROP plug_type, DROP policy_version, DROP extensions, DROP held_until, DROP extending_to,
        DROP accepted_at, DROP activate_until, DROP is_booking, DROP no_show_minutes, DROP no_show_at, DROP notice_at, DROP notice_minutes, DROP is_late_cancel,
        DROP is_re_reservation, DROP moved_from, DROP alternative,
        ALTER id_tag SET NOT NULL,
        ADD CONSTRAINT reservation_status_check CHECK (status IN ('PENDING', 'UNKNOWN', 'ACCEPTED', 'CANCELLING',
          'USED', 'CANCELLED', 'EXPIRED', 'REMOVED', 'REJECTED', 'FAILED')),
        ADD CONSTRAINT reservation_connector_held EXCLUDE USING gist
          (charger_id WITH =, connector_id WITH =, tstzrange(starts_at, expiry_date) WITH &&)
          WHERE (connector_id > 0 AND ${HOLDING});
      CREATE UNIQUE INDEX reservation_live_wire_id ON reservation (charger_id, reservation_id) WHERE ${HOLDING};
      CREATE INDEX reservation_expiry ON reservation (expiry_date) WHERE ${HOLDING};
    `);
  }
}
