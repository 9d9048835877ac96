// Reads the log in the one order that has no holes: by (xid, id), below the oldest transaction still running.
import { present } from '../common/present.ts';
import type { Database, Statement } from '../database/database.ts';
import { type ReservationRow, toReservation } from '../reservation/reservation-row.repository.ts';
import type { ConnectorEvent, Cursor, LogEvent, RefusalEvent, ReservationEvent } from './event.ts';

export interface Position {
  readonly xid: string;
  readonly id: string;
}

export const toCursor = ({ xid, id }: Position): Cursor => Buffer.from(`${xid}.${id}`).toString('base64url');

/** Undefined where the text is no cursor of ours. */
export function fromCursor(cursor: Cursor): Position | undefined {
  const [, xid, id] = /^(\d{1,20})\.(\d{1,19})$/.exec(Buffer.from(cursor, 'base64url').toString()) ?? [];
  const isPosition = xid && id && BigInt(xid) < 2n ** 64n && BigInt(id) < 2n ** 63n;
  return isPosition ? { xid, id } : undefined;
}

export function isBehind(one: Position, other: Position): boolean {
  const [xid, otherXid] = [BigInt(one.xid), BigInt(other.xid)];
  return xid > otherXid || (xid === otherXid && BigInt(one.id) > BigInt(other.id));
}

export type Snapshot = (xid: string) => boolean;

/** `xmin:xmax:xip,xip`: committed are those below xmax, but for the ones that were still running. */
function parseSnapshot(text: string): Snapshot {
  const [, xmax = '0', running = ''] = text.split(':');
  const end = BigInt(xmax);
  const open = new Set(running.split(','));
  return (xid) => BigInt(xid) < end && !open.has(xid);
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

const statements = {
  snapshot: { name: 'event-snapshot', text: 'SELECT pg_current_snapshot()::text AS snapshot' },
  end: {
    name: 'event-end',
    text: `SELECT pg_snapshot_xmin(pg_current_snapshot())::text AS xid, '0' AS id`,
  },
  after: {
    name: 'event-after',
    text: `
      SELECT xid::text, id::text, at, kind, type, site_id AS "siteId", charger_id AS "chargerId",
             connector_id AS "connectorId", from_status AS "from", to_status AS "to", reason, actor, snapshot
      FROM event
      WHERE (xid, id) > ($1::text::xid8, $2::bigint) AND xid < pg_snapshot_xmin(pg_current_snapshot())
      ORDER BY event.xid, event.id LIMIT $3 -- not by the text of the same names above`,
  },
  isAnyAfter: {
    name: 'event-any-after',
    text: 'SELECT EXISTS (SELECT FROM event WHERE (xid, id) > ($1::text::xid8, $2::bigint)) AS "isAny"',
  },
} as const satisfies Record<string, Statement>;

export type EventLog = ReturnType<typeof eventLog>;

export function eventLog(database: Database) {
  return {
    /** Everything committed from now on lies behind this position; so may a little that was committed before. */
    async end(): Promise<Position> {
      const [position] = await database.query<{ xid: string; id: string }>(statements.end, []);
      if (!position) throw new Error('PostgreSQL gave no snapshot');
      return position;
    },

    /** Tells of each transaction whether it had committed by now. */
    async snapshot(): Promise<Snapshot> {
      const [row] = await database.query<{ snapshot: string }>(statements.snapshot, []);
      return parseSnapshot(row?.snapshot ?? '');
    },

    async after(position: Position, limit: number): Promise<{ event: LogEvent; position: Position }[]> {
      const rows = await database.query<EventRow>(statements.after, [position.xid, position.id, limit]);
      return rows.map((row) => ({ event: toEvent(row), position: { xid: row.xid, id: row.id } }));
    },

    /** Whether there are committed events behind the position, though an older running transaction may still keep them from being read. */
    async isAnyAfter({ xid, id }: Position): Promise<boolean> {
      const [answer] = await database.query<{ isAny: boolean }>(statements.isAnyAfter, [xid, id]);
      return answer?.isAny ?? false;
    },
  };
}

function toEvent(row: EventRow): LogEvent {
  const { at, siteId, chargerId, connectorId, type } = row;
  const place = { cursor: toCursor(row), at, siteId, chargerId, connectorId, type };
  const change = present({ from: row.from, to: row.to, reason: row.reason });
  if (row.kind === 'CONNECTOR') {
    const { errorCode } = row.snapshot as { errorCode?: string };
    return { kind: 'CONNECTOR', ...place, ...change, ...present({ errorCode }) } as ConnectorEvent;
  }
  if (row.kind === 'REFUSAL') return { kind: 'REFUSAL', ...place, ...change, actor: row.actor } as RefusalEvent;
  const reservation = toReservation(row.snapshot as ReservationRow);
  return { kind: 'RESERVATION', ...place, ...change, actor: row.actor, reservation } as ReservationEvent;
}
