// Stores the layers of the sites' policies, and every version of them, in PostgreSQL.
import { isRefusal, type Refusal } from '../../model/refusals/refusal.ts';
import type { PolicyFields, PolicyOverride, PolicyScope, SitePolicies } from '../../model/site/policy.ts';
import { POLICY_LOCKS } from '../advisory-locks.ts';
import type { Database, Sql } from '../database.ts';
import { statement } from '../statement.ts';

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

type PolicyChangeRow = Omit<PolicyChange, 'fields'> & { fields: PolicyFields | null };

const statements = {
  ofSites: statement<PoliciesRow>('policies-of-sites', `${POLICIES} WHERE s.id = ANY(:siteIds::text[])`),
  ofCharger: statement<PoliciesRow>(
    'policies-of-charger',
    `${POLICIES} WHERE s.id = (SELECT site_id FROM charger WHERE id = :chargerId AND removed_at IS NULL)`,
  ),
  version: statement<{ version: number }>(
    'policy-version',
    'SELECT policy_version AS version FROM site WHERE id = :siteId',
  ),
  saveSite: statement(
    'policy-save-site',
    `
      INSERT INTO site (id, name, time_zone, policy_version) VALUES (:siteId, :name, :timeZone, 0)
      ON CONFLICT (id) DO UPDATE SET name = excluded.name, time_zone = excluded.time_zone`,
  ),
  // An advisory lock, because a new site has no row to lock yet.
  lock: statement('policy-lock', `SELECT pg_advisory_xact_lock(${POLICY_LOCKS}, hashtext(:siteId))`),
  grow: statement<{ version: number; timeZone: string }>(
    'policy-grow',
    `UPDATE site SET policy_version = policy_version + 1 WHERE id = :siteId RETURNING policy_version AS version, time_zone AS "timeZone"`,
  ),
  note: statement(
    'policy-note',
    'INSERT INTO policy_change VALUES (:siteId, :version, :scope, :key, :fields, :timeZone, :by, :at)',
  ),
  drop: statement<{ key: string }>(
    'policy-drop',
    `
      DELETE FROM policy WHERE site_id = :siteId AND scope = :scope AND (key = :key OR (scope = 'GROUP' AND lower(key) = lower(:key)))
      RETURNING key`,
  ),
  put: statement('policy-put', 'INSERT INTO policy VALUES (:siteId, :scope, :key, :fields)'),
  changes: statement<PolicyChangeRow>(
    'policy-changes',
    `
      SELECT version, scope, key, fields, time_zone AS "timeZone", changed_by AS "changedBy", changed_at AS "changedAt"
      FROM policy_change WHERE site_id = :siteId AND version < :before ORDER BY version DESC LIMIT :first`,
  ),
};

function toPolicies({ siteId, timeZone, version, layers }: PoliciesRow): SitePolicies {
  const overrides = layers.filter((layer): layer is PolicyOverride => layer.scope !== 'SITE');
  return { siteId, timeZone, version, fields: layers.find(({ scope }) => scope === 'SITE')?.fields ?? {}, overrides };
}

export type PolicyRepository = ReturnType<typeof policyRepository>;

export function policyRepository(database: Database) {
  const policiesOf = async (sql: Sql, siteIds: readonly string[]) =>
    (await sql.query(statements.ofSites, { siteIds: [...siteIds] })).map(toPolicies);

  return {
    ofSites: (siteIds: readonly string[]) => policiesOf(database, siteIds),

    /** Undefined if there is no such charger. */
    async ofCharger(chargerId: string, sql: Sql = database): Promise<SitePolicies | undefined> {
      const [row] = await sql.query(statements.ofCharger, { chargerId });
      return row && toPolicies(row);
    },

    /** Undefined if there is no such site. */
    async version(siteId: string): Promise<number | undefined> {
      const [row] = await database.query(statements.version, { siteId });
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
        await sql.query(statements.lock, { siteId });
        const layer = edit((await policiesOf(sql, [siteId]))[0]);
        if (isRefusal(layer)) return layer;
        const { scope, key, fields } = layer;
        if (site) await sql.query(statements.saveSite, { siteId, name: site.name, timeZone: site.timeZone });
        const [dropped] = await sql.query(statements.drop, { siteId, scope, key });
        if (!fields && !dropped) return undefined;
        const json = fields && JSON.stringify(fields);
        if (json) await sql.query(statements.put, { siteId, scope, key, fields: json });
        const [grown] = await sql.query(statements.grow, { siteId });
        await sql.query(statements.note, {
          siteId,
          version: grown?.version,
          scope,
          key,
          fields: json,
          timeZone: grown?.timeZone,
          by,
          at,
        });
        return undefined;
      });
    },

    /** The versions older than `before`, newest first. */
    async changes(siteId: string, first: number, before: number): Promise<PolicyChange[]> {
      const rows = await database.query(statements.changes, { siteId, before, first });
      return rows.map(({ fields, ...change }) => ({ ...change, ...(fields && { fields }) }));
    },
  };
}
