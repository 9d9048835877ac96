import type { MigrationInterface, QueryRunner } from 'typeorm';

/** The policy fields that were columns of `site`, as one JSON object. */
const FIELDS = `jsonb_build_object(
  'enabled', enabled, 'minDurationMinutes', min_duration_minutes, 'maxDurationMinutes', max_duration_minutes,
  'defaultDurationMinutes', default_duration_minutes, 'precheckStatus', precheck_status,
  'serverSideHoldAllowed', server_side_hold_allowed, 'extensionAllowed', extension_allowed,
  'extensionMayReplace', extension_may_replace)`;

export class Policies1764000000005 implements MigrationInterface {
  async up(runner: QueryRunner): Promise<void> {
    await runner.query(`
      -- The present fields of each layer of a site's policy. Key: the charger, the parentIdTag, or '' for the site.
      CREATE TABLE policy (
        site_id text NOT NULL REFERENCES site (id) ON DELETE CASCADE,
        scope   text NOT NULL CHECK (scope IN ('SITE', 'CHARGER', 'GROUP')),
        key     text NOT NULL,
        fields  jsonb NOT NULL,
        PRIMARY KEY (site_id, scope, key)
      );
      CREATE UNIQUE INDEX policy_of_group ON policy (site_id, lower(key)) WHERE scope = 'GROUP';

      -- Every change of any layer is a version of the site's policy. Null fields: the layer was removed.
      CREATE TABLE policy_change (
        site_id    text NOT NULL REFERENCES site (id) ON DELETE CASCADE,
        version    integer NOT NULL,
        scope      text NOT NULL,
        key        text NOT NULL,
        fields     jsonb,
        time_zone  text NOT NULL,
        changed_by text NOT NULL,
        changed_at timestamptz NOT NULL,
        PRIMARY KEY (site_id, version)
      );

      ALTER TABLE site ADD policy_version integer NOT NULL DEFAULT 1;
      INSERT INTO policy SELECT id, 'SITE', '', ${FIELDS} FROM site;
      INSERT INTO policy_change SELECT id, 1, 'SITE', '', ${FIELDS}, time_zone, 'migration', now() FROM site;
      ALTER TABLE site DROP enabled, DROP min_duration_minutes, DROP max_duration_minutes,
        DROP default_duration_minutes, DROP precheck_status, DROP server_side_hold_allowed, DROP extension_allowed,
        DROP extension_may_replace;

      -- Grows with every hold that counts for the key (a charger, an idTag, a group, a site), so that a hold that was
      -- decided on older facts is not stored.
      CREATE TABLE hold_guard (
        key     text PRIMARY KEY,
        version bigint NOT NULL
      ) WITH (fillfactor = 70);
      ALTER TABLE charger DROP hold_version;
    `);
  }

  async down(runner: QueryRunner): Promise<void> {
    await runner.query(`
      ALTER TABLE charger ADD hold_version integer NOT NULL DEFAULT 0;
      DROP TABLE hold_guard;
      ALTER TABLE site
        ADD enabled                  boolean NOT NULL DEFAULT true,
        ADD min_duration_minutes     integer NOT NULL DEFAULT 0 CHECK (min_duration_minutes >= 0),
        ADD max_duration_minutes     integer NOT NULL DEFAULT 180,
        ADD default_duration_minutes integer NOT NULL DEFAULT 30,
        ADD precheck_status          boolean NOT NULL DEFAULT false,
        ADD server_side_hold_allowed boolean NOT NULL DEFAULT false,
        ADD extension_allowed        boolean NOT NULL DEFAULT true,
        ADD extension_may_replace    boolean NOT NULL DEFAULT false;
      UPDATE site s SET
        enabled = coalesce((p.fields->>'enabled')::boolean, true),
        min_duration_minutes = coalesce((p.fields->>'minDurationMinutes')::integer, 0),
        max_duration_minutes = coalesce((p.fields->>'maxDurationMinutes')::integer, 180),
        default_duration_minutes = coalesce((p.fields->>'defaultDurationMinutes')::integer, 30),
        precheck_status = coalesce((p.fields->>'precheckStatus')::boolean, false),
        server_side_hold_allowed = coalesce((p.fields->>'serverSideHoldAllowed')::boolean, false),
        extension_allowed = coalesce((p.fields->>'extensionAllowed')::boolean, true),
        extension_may_replace = coalesce((p.fields->>'extensionMayReplace')::boolean, false)
      FROM policy p WHERE p.site_id = s.id AND p.scope = 'SITE';
      ALTER TABLE site
        ALTER enabled DROP DEFAULT, ALTER min_duration_minutes DROP DEFAULT, ALTER max_duration_minutes DROP DEFAULT,
        ALTER default_duration_minutes DROP DEFAULT,
        ADD CHECK (max_duration_minutes >= min_duration_minutes),
        ADD CHECK (default_duration_minutes BETWEEN greatest(min_duration_minutes, 1) AND max_duration_minutes);
      ALTER TABLE site DROP policy_version;
      DROP TABLE policy_change, policy;
    `);
  }
}
