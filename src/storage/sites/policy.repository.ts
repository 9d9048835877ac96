// Stores the layers of the sites' policies, and every version of them, in PostgreSQL.
import { isRefusal, type Refusal } from '../../model/refusals/refusal.ts';
import type { PolicyFields, PolicyOverride, PolicyScope, SitePolicies } from '../../model/site/policy.ts';
import { POLICY_LOCKS } from '../advisory-locks.ts';
import type { Database, Sql, Statement } from '../database.ts';

/** Names a layer of a site: `key` is '' for the site's own, else the charger's id or the parentIdTag. */
export interface Layer {
  readonly scope: PolicyScope;
  readonly key: string;
}

export interface PolicyChange extends Layer {
  readonly version: number;
  /** All fields of the layer after the change; absent: the override was removed. */
  readonly fields?: PolicyFields;
  readonly timeZone: string;
  readonly changedBy: string;
  readonly changedAt: Date;
}

/** The new content of a layer; without `fields` the override is removed. */
export interface LayerEdit extends Layer {
  readonly fields?: PolicyFields;
}

interface PoliciesRow {
  siteId: string;
  timeZone: string;
  version: number;
  layers: { scope: PolicyScope; key: string; fields: PolicyFields }[];
}

const POLICIES = `
  SELECT s.id AS "siteId", s.time_zone AS "timeZone", s.policy_version AS version,
         (SELECT coalesce(json_agg(json_build_object('scope', p.scope, 'key', p.key, 'fields', p.fields)
            ORDER BY p.scope, p.key), '[]') FROM policy p WHERE p.site_id = s.id) AS layers
  FROM site s`;

const statements = {
  ofSites: { name: 'policies-of-sites', text: `${POLICIES} WHERE s.id = ANY($1::text[])` },
  ofCharger: {
    name: 'policies-of-charger',
    text: `${POLICIES} WHERE s.id = (SELECT site_id FROM charger WHERE id = $1 AND removed_at IS NULL)`,
  },
  version: { name: 'policy-version', text: 'SELECT policy_version AS version FROM site WHERE id = $1' },
  saveSite: {
    name: 'policy-save-site',
    text: `
      INSERT INTO site (id, name, time_zone, policy_version) VALUES ($1, $2, $3, 0)
      ON CONFLICT (id) DO UPDATE SET name = excluded.name, time_zone = excluded.time_zone`,
  },
  // An advisory lock, because a new site has no row to lock yet.
  lock: { name: 'policy-lock', text: `SELECT pg_advisory_xact_lock(${POLICY_LOCKS}, hashtext($1))` },
  grow: {
    name: 'policy-grow',
    text: `UPDATE site SET policy_version = policy_version + 1 WHERE id = $1 RETURNING policy_version AS version, time_zone AS "timeZone"`,
  },
  note: { name: 'policy-note', text: 'INSERT INTO policy_change VALUES ($1, $2, $3, $4, $5, $6, $7, $8)' },
  drop: {
    name: 'policy-drop',
    text: `
      DELETE FROM policy WHERE site_id = $1 AND scope = $2 AND (key = $3 OR (scope = 'GROUP' AND lower(key) = lower($3)))
      RETURNING key`,
  },
  put: { name: 'policy-put', text: 'INSERT INTO policy VALUES ($1, $2, $3, $4)' },
  changes: {
    name: 'policy-changes',
    text: `
      SELECT version, scope, key, fields, time_zone AS "timeZone", changed_by AS "changedBy", changed_at AS "changedAt"
      FROM policy_change WHERE site_id = $1 AND version < $2 ORDER BY version DESC LIMIT $3`,
  },
} as const satisfies Record<string, Statement>;

function toPolicies({ siteId, timeZone, version, layers }: PoliciesRow): SitePolicies {
  const overrides = layers.filter((layer): layer is PolicyOverride => layer.scope !== 'SITE');
  return { siteId, timeZone, version, fields: layers.find(({ scope }) => scope === 'SITE')?.fields ?? {}, overrides };
}

export type PolicyRepository = ReturnType<typeof policyRepository>;

export function policyRepository(database: Database) {
  const policiesOf = async (sql: Sql, siteIds: readonly string[]) =>
    (await sql.query<PoliciesRow>(statements.ofSites, [[...siteIds]])).map(toPolicies);

  return {
    ofSites: (siteIds: readonly string[]) => policiesOf(database, siteIds),

    /** Undefined if there is no such charger. */
    async ofCharger(chargerId: string, sql: Sql = database): Promise<SitePolicies | undefined> {
      const [row] = await sql.query<PoliciesRow>(statements.ofCharger, [chargerId]);
      return row && toPolicies(row);
    },

    /** Undefined if there is no such site. */
    async version(siteId: string): Promise<number | undefined> {
      const [row] = await database.query<{ version: number }>(statements.version, [siteId]);
      return row?.version;
    },

    /**
     * Makes one change and raises the version by one. `edit` gets the current policies under a lock, so that no other
     * change comes in between; if it returns a refusal, nothing is changed and the refusal is returned. `site`, if
     * given, is saved as well.
     */
    change(
      siteId: string,
      edit: (before: SitePolicies | undefined) => LayerEdit | Refusal,
      { by, at, site }: { by: string; at: Date; site?: { readonly name: string; readonly timeZone: string } },
    ): Promise<Refusal | undefined> {
      return database.transaction(async (sql) => {
        await sql.query(statements.lock, [siteId]);
        const layer = edit((await policiesOf(sql, [siteId]))[0]);
        if (isRefusal(layer)) return layer;
        const { scope, key, fields } = layer;
        if (site) await sql.query(statements.saveSite, [siteId, site.name, site.timeZone]);
        const [dropped] = await sql.query<{ key: string }>(statements.drop, [siteId, scope, key]);
        if (!fields && !dropped) return undefined;
        const json = fields && JSON.stringify(fields);
        if (json) await sql.query(statements.put, [siteId, scope, key, json]);
        const [grown] = await sql.query<{ version: number; timeZone: string }>(statements.grow, [siteId]);
        await sql.query(statements.note, [siteId, grown?.version, scope, key, json, grown?.timeZone, by, at]);
        return undefined;
      });
    },

    /** The versions older than `before`, newest first. */
    async changes(siteId: string, first: number, before: number): Promise<PolicyChange[]> {
      type Row = Omit<PolicyChange, 'fields'> & { fields: PolicyFields | null };
      const rows = await database.query<Row>(statements.changes, [siteId, before, first]);
      return rows.map(({ fields, ...change }) => ({ ...change, ...(fields && { fields }) }));
    },
  };
}
