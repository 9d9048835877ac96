// The SQL of the event log. Pages are read in the order (xid, id) and only below the oldest running transaction, so
// that no event can commit at a position already passed. Also deletes events after their retention.
import { present } from '../../common/present.ts';
import { isBehind, type Position, startAt, toCursor } from '../../model/events/cursor.ts';
import type { ConnectorEvent, LogEvent, RefusalEvent, ReservationEvent } from '../../model/events/event.ts';
import type { Interest } from '../../model/events/interest.ts';
import type { Database } from '../database.ts';
import { type ReservationRow, toReservation } from '../reservations/reservation-row.repository.ts';
import { statement } from '../statement.ts';

/** An event and its position in the log. */
export interface Entry {
  readonly position: Position;
  readonly event: LogEvent;
}

export interface Bounds {
  /** Position of the last deleted event: a reader that has reached it misses nothing. */
  readonly horizon: Position;
  /** End of the readable log: every event that commits later lies after it. */
  readonly end: Position;
  /** Every committed transaction has a lower number, so a cursor beyond it comes from another log. */
  readonly newest: bigint;
}

/** Events after the requested position have been deleted. */
export class CursorExpired extends Error {
  override readonly name = 'CursorExpired';
  constructor(
    /** After this position the log is complete. */
    readonly horizon: Position,
  ) {
    super('The event log does not reach back to that position');
  }
}

interface EventRow {
  xid: string;
  id: string;
  at: Date;
  kind: LogEvent['kind'];
  type: string;
  siteId: string;
  chargerId: string;
  connectorId: number;
  from: string | null;
  to: string | null;
  reason: string | null;
  actor: string | null;
  snapshot: unknown;
}

/**
 * A row of a page: the columns of an event (an empty page has one row with `xid` null), and columns that every row
 * repeats.
 */
type PageRow<Told> = Told & (EventRow | { xid: null });

const COLUMNS = `e.xid::text, e.id::text, e.at, e.kind, e.type, e.site_id AS "siteId", e.charger_id AS "chargerId",
  e.connector_id AS "connectorId", e.from_status AS "from", e.to_status AS "to", e.reason, e.actor, e.snapshot`;
const HORIZON = 'h.xid::text AS "horizonXid", h.id::text AS "horizonId"';
/** Events that one statement searches for a page of a narrow interest, so that no statement reads the whole log. */
const SPAN = 5000;

/**
 * Columns of the view `usage`, from which a site's usage is counted; they are copied to past_usage when the event is
 * deleted.
 */
const USAGE = 'site_id, at, type, from_status, reason, id_tag, held_seconds, waited_seconds, is_late';
const USAGE_TYPES = `'REQUESTED', 'SCHEDULED', 'USED', 'CANCELLED', 'EXPIRED', 'REMOVED', 'REJECTED', 'FAILED', 'REFUSED'`;

/** Events deleted in one transaction. A literal in the SQL: with a parameter the plan would read the whole log. */
export const TRIM_STEP = 1000;

const statements = {
  bounds: statement<Horizon & { snapshot: string }>(
    'event-bounds',
    `SELECT ${HORIZON}, pg_current_snapshot()::text AS snapshot FROM event_horizon h`,
  ),
  // Also returns the events that an older running transaction keeps back, marked as not readable, so that the caller
  // knows of them.
  after: statement<PageRow<Horizon & { isReadable: boolean | null }>>(
    'event-after',
    `
      SELECT ${HORIZON}, e.xid < pg_snapshot_xmin(pg_current_snapshot()) AS "isReadable", ${COLUMNS}
      FROM event_horizon h LEFT JOIN LATERAL (
        SELECT * FROM event WHERE (xid, id) > (:xid::text::xid8, :id::bigint) ORDER BY event.xid, event.id LIMIT :limit
      ) e ON true ORDER BY e.xid, e.id`,
  ),
  of: statement<PageRow<Horizon & { spanXid: string; spanId: string; isEnd: boolean }>>(
    'event-of-interest',
    `
      WITH span AS MATERIALIZED (
        SELECT * FROM (
          (SELECT event.xid, event.id FROM event
           WHERE (event.xid, event.id) > (:xid::text::xid8, :id::bigint) AND event.xid < pg_snapshot_xmin(pg_current_snapshot())
           ORDER BY event.xid, event.id OFFSET ${SPAN - 1} LIMIT 1)
          UNION ALL SELECT pg_snapshot_xmin(pg_current_snapshot()), 0
        ) ends ORDER BY ends.xid, ends.id LIMIT 1
      )
      SELECT ${HORIZON}, span.xid::text AS "spanXid", span.id::text AS "spanId",
             span.xid = pg_snapshot_xmin(pg_current_snapshot()) AS "isEnd", ${COLUMNS}
      FROM event_horizon h CROSS JOIN span LEFT JOIN LATERAL (
        SELECT * FROM event
        WHERE (event.xid, event.id) > (:xid::text::xid8, :id::bigint) AND (event.xid, event.id) <= (span.xid, span.id)
          AND kind = ANY (:kinds::text[])
          AND (:siteIds::text[] IS NULL OR site_id = ANY (:siteIds)) AND (:chargerId::text IS NULL OR charger_id = :chargerId)
          AND (:connectorId::integer IS NULL OR connector_id = :connectorId)
          AND (kind <> 'RESERVATION' OR (
            (:reservationId::uuid IS NULL OR reservation_id = :reservationId)
            AND (:idTags::text[] IS NULL OR lower(snapshot ->> 'idTag') = ANY (:idTags)
                 OR (snapshot ->> 'idTag' IS NULL AND lower(snapshot ->> 'parentIdTag') = ANY (:groups::text[])))))
        ORDER BY event.xid, event.id LIMIT :limit
      ) e ON true ORDER BY e.xid, e.id`,
  ),
  // One node trims at a time, in small transactions: readers cannot pass one that is running. Only a prefix of the log
  // is deleted, so that the horizon describes all that is missing. Rows are deleted by ctid, which saves looking them
  // up again.
  trim: statement<{ dropped: number }>(
    'event-trim',
    `
      WITH turn AS (SELECT FROM event_horizon FOR UPDATE SKIP LOCKED),
      head AS MATERIALIZED (
        SELECT e.place, bool_and(e.at < :before) OVER (ORDER BY e.xid, e.id) AS "isStale"
        FROM (SELECT ctid AS place, xid, id, at FROM event
              WHERE xid < pg_snapshot_xmin(pg_current_snapshot()) ORDER BY xid, id LIMIT ${TRIM_STEP}) e
      ), dropped AS (
        DELETE FROM event WHERE ctid = ANY (ARRAY(SELECT head.place FROM head, turn WHERE "isStale"))
        RETURNING xid, id, ${USAGE}
      ), kept AS (
        INSERT INTO past_usage (${USAGE}) SELECT ${USAGE} FROM dropped WHERE type IN (${USAGE_TYPES})
      ), moved AS (
        UPDATE event_horizon h SET xid = last.xid, id = last.id
        FROM (SELECT xid, id FROM dropped ORDER BY xid DESC, id DESC LIMIT 1) last
      )
      SELECT count(*)::integer AS dropped FROM dropped`,
  ),
};

export type EventLog = ReturnType<typeof eventLog>;

export function eventLog(database: Database) {
  return {
    /** Where the log begins and ends now. */
    async bounds(): Promise<Bounds> {
      const [row] = await database.query(statements.bounds);
      if (!row) throw new Error('The event log has no row for its oldest position');
      const { position: end, seen } = startAt(row.snapshot);
      return { horizon: toHorizon(row), end, newest: seen?.end ?? end.xid };
    },

    /** The next events of every kind, and whether older transactions keep back others. Throws CursorExpired. */
    async after({ xid, id }: Position, limit: number): Promise<{ entries: Entry[]; isHeldBack: boolean }> {
      const rows = await database.query(statements.after, { xid: `${xid}`, id: `${id}`, limit });
      checkHorizon(rows[0], { xid, id });
      const readable = rows.filter(({ isReadable }) => isReadable);
      return { entries: toEntries(readable), isHeldBack: rows.some(({ isReadable }) => isReadable === false) };
    },

    /**
     * The next events of the interest, at most `limit`. `end` is the position up to which the log was searched, `isEnd`
     * whether that is as far as it can be read now. Throws CursorExpired.
     */
    async of(interest: Interest, { xid, id }: Position, limit: number) {
      const { kinds, siteIds, chargerId, connectorId, reservationId, holders } = interest;
      const rows = await database.query(statements.of, {
        xid: `${xid}`,
        id: `${id}`,
        limit,
        kinds,
        siteIds,
        chargerId,
        connectorId,
        reservationId,
        idTags: holders?.idTags.map((one) => one.toLowerCase()),
        groups: holders?.groups.map((one) => one.toLowerCase()),
      });
      checkHorizon(rows[0], { xid, id });
      const entries = toEntries(rows);
      const last = entries.at(-1);
      const [first] = rows;
      if (!first) throw new Error('The event log has no row for its oldest position');
      if (last && entries.length === limit) return { entries, end: last.position, isEnd: false };
      return { entries, end: { xid: BigInt(first.spanXid), id: BigInt(first.spanId) }, isEnd: first.isEnd };
    },

    /**
     * Deletes at most TRIM_STEP of the oldest events, only those older than `before`; past_usage keeps the columns that
     * usage is counted from.
     */
    async trim(before: Date): Promise<number> {
      const [answer] = await database.query(statements.trim, { before });
      return answer?.dropped ?? 0;
    },
  };
}

interface Horizon {
  readonly horizonXid: string;
  readonly horizonId: string;
}

const toHorizon = ({ horizonXid, horizonId }: Horizon) => ({ xid: BigInt(horizonXid), id: BigInt(horizonId) });

function checkHorizon(row: Horizon | undefined, position: Position): void {
  if (!row) throw new Error('The event log has no row for its oldest position');
  const horizon = toHorizon(row);
  if (isBehind(horizon, position)) throw new CursorExpired(horizon);
}

const toEntries = (rows: readonly PageRow<unknown>[]): Entry[] =>
  rows.flatMap((row) => {
    if (row.xid === null) return [];
    const position = { xid: BigInt(row.xid), id: BigInt(row.id) };
    return [{ position, event: toEvent(row, position) }];
  });

function toEvent(row: EventRow, position: Position): LogEvent {
  const { at, siteId, chargerId, connectorId, type } = row;
  const place = { cursor: toCursor({ position }), at, siteId, chargerId, connectorId, type };
  const change = present({ from: row.from, to: row.to, reason: row.reason });
  if (row.kind === 'CONNECTOR') {
    const { errorCode } = row.snapshot as { errorCode?: string };
    return { kind: 'CONNECTOR', ...place, ...change, ...present({ errorCode }) } as ConnectorEvent;
  }
  if (row.kind === 'REFUSAL') return { kind: 'REFUSAL', ...place, ...change, actor: row.actor } as RefusalEvent;
  const reservation = toReservation(row.snapshot as ReservationRow);
  return { kind: 'RESERVATION', ...place, ...change, actor: row.actor, reservation } as ReservationEvent;
}
