import type { MigrationInterface, QueryRunner } from 'typeorm';

export class SitesChargersAndIdTags1763800000001 implements MigrationInterface {
  async up(runner: QueryRunner): Promise<void> {
    await runner.query(`
      CREATE TABLE site (
        id                       text PRIMARY KEY,
        name                     text NOT NULL,
        time_zone                text NOT NULL,
        enabled                  boolean NOT NULL,
        min_duration_minutes     integer NOT NULL CHECK (min_duration_minutes >= 0),
        max_duration_minutes     integer NOT NULL CHECK (max_duration_minutes >= min_duration_minutes),
        default_duration_minutes integer NOT NULL
          CHECK (default_duration_minutes BETWEEN greatest(min_duration_minutes, 1) AND max_duration_minutes)
      );

      -- A running server. Its connection takes an advisory lock on its id before the row is there; a node without the lock is dead.
      CREATE TABLE node (
        id         integer PRIMARY KEY,
        started_at timestamptz NOT NULL
      );
      CREATE SEQUENCE node_id AS integer;

      CREATE TABLE charger (
        id                      text PRIMARY KEY,
        site_id                 text NOT NULL CONSTRAINT charger_site REFERENCES site (id),
        name                    text NOT NULL,
        password_hash           text NOT NULL,
        ocpp_version            text CHECK (ocpp_version IN ('1.6', '2.0.1', '2.1')),
        vendor                  text,
        model                   text,
        serial_number           text,
        firmware_version        text,
        supports_reservation    boolean,
        supports_connector_zero boolean,
        booted_at               timestamptz,
        last_seen_at            timestamptz,
        -- The node that holds the socket, and the connection: a stale node cannot change the state of a newer one.
        connected_node          integer REFERENCES node (id) ON DELETE SET NULL,
        connection_epoch        integer NOT NULL DEFAULT 0,
        -- Grows with every hold of this charger, so that a hold decided on older facts is not stored.
        hold_version            integer NOT NULL DEFAULT 0,
        removed_at              timestamptz
      );
      CREATE INDEX charger_of_site ON charger (site_id, id);
      CREATE INDEX charger_of_node ON charger (connected_node) WHERE connected_node IS NOT NULL;

      CREATE TABLE connector (
        charger_id   text NOT NULL REFERENCES charger (id) ON DELETE CASCADE,
        connector_id integer NOT NULL CHECK (connector_id >= 1),
        state        text NOT NULL,
        error_code   text,
        plug_types   text[] NOT NULL DEFAULT '{}',
        -- OCPP 2.x reports each plug of an EVSE: {"1": "AVAILABLE"}
        plug_states  jsonb NOT NULL DEFAULT '{}',
        state_at     timestamptz,
        PRIMARY KEY (charger_id, connector_id)
      );

      CREATE TABLE id_tag (
        id_tag        text PRIMARY KEY,
        token_type    text NOT NULL,
        parent_id_tag text,
        status        text NOT NULL CHECK (status IN ('ACCEPTED', 'BLOCKED')),
        expiry_date   timestamptz
      );
      CREATE UNIQUE INDEX id_tag_ignoring_case ON id_tag (lower(id_tag));
    `);
  }

  async down(runner: QueryRunner): Promise<void> {
    await runner.query('DROP TABLE id_tag, connector, charger, node, site; DROP SEQUENCE node_id');
  }
}
