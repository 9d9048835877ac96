// Counts the usage of a site from the event log and from past_usage (deleted events), and appends refused requests
// to the log.
import type { Actor } from '../../model/reservation/reservation.ts';
import type { Database } from '../database.ts';
import { statement } from '../statement.ts';

export interface NotedRefusal {
  readonly chargerId?: string;
  readonly siteId?: string;
  readonly connectorId: number;
  readonly idTag?: string;
  readonly parentIdTag?: string;
  readonly at: Date;
  readonly actor: Actor;
  readonly code: string;
  /** If a policy refused: the rules that forbade the request. */
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
  /** When the bucket begins. */
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

/** The view `usage` unites the events with past_usage, which keeps the counted columns of deleted events. */
const COUNTED = `
  FROM usage WHERE site_id = :siteId AND at >= :from AND at < :until`;

const statements = {
  noteRefusal: statement(
    'usage-note-refusal',
    `
      INSERT INTO event (at, kind, type, site_id, charger_id, connector_id, reason, actor, snapshot, id_tag)
      SELECT :at, 'REFUSAL', 'REFUSED', place.site_id, coalesce(:chargerId, ''), :connectorId, :reason, :actor, :snapshot, :idTag
      FROM (SELECT site_id FROM charger WHERE id = :chargerId UNION ALL SELECT id FROM site WHERE :chargerId::text IS NULL AND id = :siteId) place`,
  ),
  // One pass that returns few rows, from which toCounts() derives the counts.
  tallies: statement<Tally>(
    'usage-tallies',
    `
      SELECT date_trunc(:bucket, at, :timeZone) AS "from", type, from_status AS "fromStatus", reason, is_late AS "isLate",
             count(*)::integer AS count, coalesce(sum(held_seconds), 0)::double precision AS "heldSeconds" ${COUNTED}
      GROUP BY 1, 2, 3, 4, 5 ORDER BY 1`,
  ),
  // One row for each bucket, and one with a null bucket for the whole time.
  waits: statement<{ from: Date | null; minutes: number | null }>(
    'usage-waits',
    `
      SELECT bucket AS "from", percentile_cont(0.5) WITHIN GROUP (ORDER BY waited_seconds) / 60 AS minutes
      FROM (SELECT date_trunc(:bucket, at, :timeZone) AS bucket, waited_seconds ${COUNTED} AND type = 'USED' AND waited_seconds IS NOT NULL) e
      GROUP BY GROUPING SETS ((bucket), ())`,
  ),
  offenders: statement<Offender>(
    'usage-offenders',
    `
      SELECT * FROM (
        SELECT min(id_tag) AS "idTag",
               greatest(0, count(*) FILTER (WHERE type = 'EXPIRED') - count(*) FILTER (WHERE type = 'USED'))::integer AS "noShows",
               count(*) FILTER (WHERE type = 'CANCELLED')::integer AS "lateCancels",
               count(*) FILTER (WHERE type = 'REFUSED')::integer AS refused ${COUNTED} AND id_tag IS NOT NULL
          AND (type IN ('EXPIRED', 'REFUSED') OR (type = 'CANCELLED' AND is_late) OR (type = 'USED' AND from_status = 'EXPIRED'))
        GROUP BY lower(id_tag)) o
      WHERE "noShows" + "lateCancels" + refused > 0
      ORDER BY "noShows" + "lateCancels" DESC, refused DESC, "idTag" LIMIT 10`,
  ),
};

export type UsageRepository = ReturnType<typeof usageRepository>;

export function usageRepository(database: Database) {
  return {
    async noteRefusal({ at, chargerId, siteId, connectorId, actor, code, rules, ...who }: NotedRefusal): Promise<void> {
      const snapshot = JSON.stringify({ code, rules });
      const reason = rules[0] ?? code;
      const idTag = who.idTag ?? who.parentIdTag;
      const place = { chargerId, siteId, connectorId };
      await database.query(statements.noteRefusal, { at, ...place, reason, actor, snapshot, idTag });
    },

    /** Buckets begin and end by the clocks of the time zone; a bucket in which nothing happened is left out. */
    async usage({ siteId, from, until, bucket, timeZone }: Query): Promise<Usage> {
      const where = { siteId, from, until };
      const inBuckets = { ...where, bucket: bucket.toLowerCase(), timeZone };
      const [tallies, waits, topOffenders] = await Promise.all([
        database.query(statements.tallies, inBuckets),
        database.query(statements.waits, inBuckets),
        database.query(statements.offenders, where),
      ]);
      const medians = new Map(waits.map(({ from: start, minutes }) => [start?.getTime(), minutes ?? undefined]));
      const groups = new Map<number, Tally[]>();
      for (const tally of tallies) {
        const of = groups.get(tally.from.getTime()) ?? [];
        groups.set(tally.from.getTime(), of);
        of.push(tally);
      }
      return {
        ...toCounts(tallies, medians.get(undefined)),
        buckets: [...groups].map(([start, of]) => ({ from: new Date(start), ...toCounts(of, medians.get(start)) })),
        topOffenders,
      };
    },
  };
}

/** The number of events of one kind in one bucket. */
interface Tally {
  readonly from: Date;
  readonly type: string;
  readonly fromStatus: string | null;
  readonly reason: string | null;
  readonly isLate: boolean | null;
  readonly count: number;
  readonly heldSeconds: number;
}

function toCounts(tallies: readonly Tally[], medianWaitMinutes: number | undefined): UsageCounts {
  const sum = (which: (tally: Tally) => boolean) => tallies.filter(which).reduce((all, { count }) => all + count, 0);
  const moved = sum(({ type, reason }) => type === 'CANCELLED' && reason === 'MOVED');
  /**
   * Subtracts the ends that a late report of a use corrected. Such an end may lie in an earlier bucket: hence the floor
   * of 0.
   */
  const ended = (status: string) =>
    Math.max(0, sum(({ type }) => type === status) - sum((one) => one.type === 'USED' && one.fromStatus === status));
  const isRefusal = ({ type }: Tally) => type === 'REFUSED' || type === 'REJECTED';
  return {
    made: Math.max(
      0,
      sum(({ type, fromStatus }) => /^(REQUESTED|SCHEDULED)$/.test(type) && fromStatus === null) - moved,
    ),
    used: sum(({ type }) => type === 'USED'),
    noShows: ended('EXPIRED'),
    cancelled: Math.max(0, ended('CANCELLED') - moved),
    lateCancels: sum(({ type, isLate }) => type === 'CANCELLED' && isLate === true),
    removed: ended('REMOVED'),
    failed: ended('FAILED'),
    refused: sum(isRefusal),
    reservedHours: tallies.reduce((all, { heldSeconds }) => all + heldSeconds, 0) / 3600,
    ...(medianWaitMinutes !== undefined && { medianWaitMinutes }),
    refusedBy: byFrequency(tallies.filter(isRefusal)),
  };
}

/** The refusals by reason, most frequent first. */
function byFrequency(rows: readonly Tally[]) {
  const counts = new Map<string, number>();
  for (const { reason, count } of rows) {
    const name = reason ?? 'REJECTED';
    counts.set(name, (counts.get(name) ?? 0) + count);
  }
  return [...counts]
    .map(([reason, count]) => ({ reason, count }))
    .toSorted((a, b) => b.count - a.count || a.reason.localeCompare(b.reason));
}
