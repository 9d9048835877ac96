// Reads the strikes of a site's idTags and groups, and stores pardons, in PostgreSQL.
import type { Strike } from '../../model/site/strikes.ts';
import type { Database } from '../database.ts';
import { statement } from '../statement.ts';
import { type RawStrike, STRIKE, STRIKE_COLUMNS, toStrikes } from './hold-facts.repository.ts';

/** The strikes of an idTag, or, if `idTag` is absent, of a group. */
export interface StrikesOf {
  readonly idTag?: string;
  readonly parentIdTag?: string;
  /** The parentIdTag in lower case. */
  readonly group?: string;
  readonly strikes: readonly Strike[];
}

type Row = RawStrike & { idTag: string | null; parentIdTag: string | null; group: string | null };

const statements = {
  ofSite: statement<Omit<Row, 'pardonedAt'>>(
    'strikes-of-site',
    `
      SELECT r.id_tag AS "idTag", r.parent_id_tag AS "parentIdTag", r.holder_group AS "group", ${STRIKE_COLUMNS}
      FROM reservation r WHERE r.site_id = :siteId AND ${STRIKE} AND coalesce(r.ended_at, r.created_at) >= :since`,
  ),
  pardons: statement<{ scope: string; key: string; pardonedAt: Date }>(
    'strikes-pardons',
    'SELECT scope, key, pardoned_at AS "pardonedAt" FROM pardon WHERE site_id = :siteId',
  ),
  pardon: statement(
    'strikes-pardon',
    `
      INSERT INTO pardon VALUES (:siteId, :scope, lower(:key), :at, :by)
      ON CONFLICT (site_id, scope, key) DO UPDATE SET pardoned_at = excluded.pardoned_at, pardoned_by = excluded.pardoned_by`,
  ),
};

export type StrikeRepository = ReturnType<typeof strikeRepository>;

export function strikeRepository(database: Database) {
  return {
    /** The strikes since that time that were not pardoned, by idTag and by group. */
    async ofSite(siteId: string, since: Date): Promise<StrikesOf[]> {
      const [rows, pardons] = await Promise.all([
        database.query(statements.ofSite, { siteId, since }),
        database.query(statements.pardons, { siteId }),
      ]);
      const pardonedAt = new Map(pardons.map((one) => [`${one.scope} ${one.key}`, one.pardonedAt]));
      const groups = new Map<string, { who: Omit<StrikesOf, 'strikes'>; rows: Row[] }>();
      const put = (key: string, who: Omit<StrikesOf, 'strikes'>, row: Row) => {
        const of = groups.get(key) ?? { who, rows: [] };
        groups.set(key, of);
        of.rows.push({ ...row, pardonedAt: pardonedAt.get(key) ?? null });
      };
      for (const row of rows) {
        const group = row.group === null ? {} : { group: row.group };
        if (row.idTag !== null) put(`ID_TAG ${row.idTag.toLowerCase()}`, { idTag: row.idTag, ...group }, row);
        if (row.group === null) continue;
        put(`GROUP ${row.group}`, { parentIdTag: row.parentIdTag ?? row.group, ...group }, row);
      }
      return [...groups.values()].map((of) => ({ ...of.who, strikes: toStrikes(of.rows) }));
    },

    async pardon(siteId: string, { scope, key }: { scope: 'ID_TAG' | 'GROUP'; key: string }, at: Date, by: string) {
      await database.query(statements.pardon, { siteId, scope, key, at, by });
    },
  };
}
