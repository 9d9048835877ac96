// How a site is used, counted from the log of events, and the refusals that are noted in it.
import type { Database, Statement } from '../database/database.ts';
import type { Actor } from '../event-log/event.ts';

export interface NotedRefusal {
  readonly chargerId?: string;
  readonly siteId?: string;
  readonly connectorId: number;
  readonly idTag?: string;
  readonly parentIdTag?: string;
  readonly at: Date;
  readonly actor: Actor;
  readonly code: string;
  /** Of a policy's refusal: the rules that forbade it. */
  readonly rules: readonly string[];
}

export type UsageBucket = 'HOUR' | 'DAY' | 'WEEK' | 'MONTH';

export interface UsageCounts {
  readonly made: number;
  readonly used: number;
  readonly noShows: number;
  readonly cancelled: number;
  readonly lateCancels: number;
  readonly removed: number;
  readonly failed: number;
  readonly refused: number;
  readonly reservedHours: number;
  readonly medianWaitMinutes?: number;
  readonly refusedBy: readonly { readonly reason: string; readonly count: number }[];
}
export interface UsageInBucket extends UsageCounts {
  /** Its start. */
  readonly from: Date;
}
export interface Offender {
  readonly idTag: string;
  readonly noShows: number;
  readonly lateCancels: number;
  readonly refused: number;
}
export interface Usage extends UsageCounts {
  readonly buckets: readonly UsageInBucket[];
  readonly topOffenders: readonly Offender[];
}

interface Query {
  readonly siteId: string;
  readonly from: Date;
  readonly until: Date;
  readonly bucket: UsageBucket;
  readonly timeZone: string;
}

/** The rows that count, each once: an end that was corrected by a late use counts no more, nor what was moved. */
const COUNTED = `
  FROM event WHERE site_id = $1 AND at >= $2 AND at < $3
    AND type IN ('REQUESTED', 'SCHEDULED', 'USED', 'CANCELLED', 'EXPIRED', 'REMOVED', 'REJECTED', 'FAILED', 'REFUSED')`;

const ends = (type: string) =>
  `greatest(0, count(*) FILTER (WHERE type = '${type}' AND reason IS DISTINCT FROM 'MOVED')
    - count(*) FILTER (WHERE type = 'USED' AND from_status = '${type}'))::integer`;

const COUNTS = `
  (count(*) FILTER (WHERE type IN ('REQUESTED', 'SCHEDULED') AND from_status IS NULL)
    - count(*) FILTER (WHERE type = 'CANCELLED' AND reason = 'MOVED'))::integer AS made,
  count(*) FILTER (WHERE type = 'USED')::integer AS used,
  ${ends('EXPIRED')} AS "noShows", ${ends('CANCELLED')} AS cancelled, ${ends('REMOVED')} AS removed,
  ${ends('FAILED')} AS failed,
  count(*) FILTER (WHERE type = 'CANCELLED' AND is_late)::integer AS "lateCancels",
  count(*) FILTER (WHERE type IN ('REFUSED', 'REJECTED'))::integer AS refused,
  coalesce(sum(held_seconds), 0)::double precision / 3600 AS "reservedHours",
  percentile_cont(0.5) WITHIN GROUP (ORDER BY waited_seconds) / 60 AS "medianWaitMinutes"`;

const statements = {
  noteRefusal: {
    name: 'usage-note-refusal',
    text: `
      INSERT INTO event (at, kind, type, site_id, charger_id, connector_id, reason, actor, snapshot, id_tag)
      SELECT $1, 'REFUSAL', 'REFUSED', place.site_id, coalesce($2, ''), $4, $5, $6, $7, $8
      FROM (SELECT site_id FROM charger WHERE id = $2 UNION ALL SELECT id FROM site WHERE $2::text IS NULL AND id = $3) place`,
  },
  // One pass: a row for each bucket, and one without bucket for the whole.
  counts: {
    name: 'usage-counts',
    text: `
      SELECT bucket AS "from", GROUPING(bucket) = 1 AS "isWhole", ${COUNTS}
      FROM (SELECT date_trunc($4, at, $5) AS bucket, type, from_status, reason, is_late, held_seconds, waited_seconds ${COUNTED}) e
      GROUP BY GROUPING SETS ((bucket), ()) ORDER BY bucket NULLS LAST`,
  },
  refusals: {
    name: 'usage-refusals',
    text: `
      SELECT date_trunc($4, at, $5) AS "from", coalesce(reason, 'REJECTED') AS reason, count(*)::integer AS count ${COUNTED}
        AND type IN ('REFUSED', 'REJECTED')
      GROUP BY 1, 2 ORDER BY 1, 3 DESC, 2`,
  },
  offenders: {
    name: 'usage-offenders',
    text: `
      SELECT * FROM (
        SELECT min(id_tag) AS "idTag", ${ends('EXPIRED')} AS "noShows",
               count(*) FILTER (WHERE type = 'CANCELLED' AND is_late)::integer AS "lateCancels",
               count(*) FILTER (WHERE type = 'REFUSED')::integer AS refused ${COUNTED} AND id_tag IS NOT NULL
        GROUP BY lower(id_tag)) o
      WHERE "noShows" + "lateCancels" + refused > 0
      ORDER BY "noShows" + "lateCancels" DESC, refused DESC, "idTag" LIMIT 10`,
  },
} as const satisfies Record<string, Statement>;

export type UsageRepository = ReturnType<typeof usageRepository>;

export function usageRepository(database: Database) {
  return {
    async noteRefusal({ at, chargerId, siteId, connectorId, actor, code, rules, ...who }: NotedRefusal): Promise<void> {
      const snapshot = JSON.stringify({ code, rules });
      const values = [at, chargerId, siteId, connectorId, rules[0] ?? code, actor, snapshot];
      await database.query(statements.noteRefusal, [...values, who.idTag ?? who.parentIdTag]);
    },

    /** Buckets begin and end by the clocks of the time zone; one in which nothing happened is left out. */
    async usage({ siteId, from, until, bucket, timeZone }: Query): Promise<Usage> {
      type CountsRow = Omit<UsageCounts, 'medianWaitMinutes' | 'refusedBy'> & {
        from: Date | null;
        isWhole: boolean;
        medianWaitMinutes: number | null;
      };
      type RefusalRow = { from: Date; reason: string; count: number };
      const where = [siteId, from, until];
      const inBuckets = [...where, bucket.toLowerCase(), timeZone];
      const [counts, refusals, topOffenders] = await Promise.all([
        database.query<CountsRow>(statements.counts, inBuckets),
        database.query<RefusalRow>(statements.refusals, inBuckets),
        database.query<Offender & Record<string, unknown>>(statements.offenders, where),
      ]);
      const toCounts = ({ medianWaitMinutes, isWhole: _, from: __, ...row }: CountsRow, of: readonly RefusalRow[]) => ({
        ...row,
        ...(medianWaitMinutes !== null && { medianWaitMinutes }),
        refusedBy: sum(of),
      });
      const buckets = counts.flatMap((row) => {
        if (row.isWhole || !row.from) return [];
        const start = row.from;
        const here = refusals.filter((one) => one.from.getTime() === start.getTime());
        return [{ from: start, ...toCounts(row, here) }];
      });
      const whole = counts.find(({ isWhole }) => isWhole);
      if (!whole) throw new Error('PostgreSQL gave no counts');
      return { ...toCounts(whole, refusals), buckets, topOffenders };
    },
  };
}

/** The most frequent first. */
function sum(rows: readonly { readonly reason: string; readonly count: number }[]) {
  const counts = new Map<string, number>();
  for (const { reason, count } of rows) counts.set(reason, (counts.get(reason) ?? 0) + count);
  return [...counts]
    .map(([reason, count]) => ({ reason, count }))
    .toSorted((a, b) => b.count - a.count || a.reason.localeCompare(b.reason));
}
