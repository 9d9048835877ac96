// Positions in the event log, and the cursors that clients get for them. The log's order is (xid, id): first the
// transaction that wrote an event, then the event. Below the oldest running transaction that order has no gaps.

/** A position in the log as clients know it; opaque to them. */
export type Cursor = string;

export interface Position {
  readonly xid: bigint;
  readonly id: bigint;
}

/** The transactions that had ended at one moment: all before `end`, except those `running`. */
export interface Snapshot {
  readonly oldest: bigint;
  readonly end: bigint;
  readonly running: ReadonlySet<bigint>;
}

/** Where a reader starts: after `position`, without the events that `seen` already contains. */
export interface Start {
  readonly position: Position;
  readonly seen?: Snapshot;
}

export const isBehind = (one: Position, other: Position): boolean =>
  one.xid > other.xid || (one.xid === other.xid && one.id > other.id);

/** Whether a reader that started at `start` gets the event at `position`. */
export function isWantedFrom({ position: first, seen }: Start, position: Position): boolean {
  if (!isBehind(position, first)) return false;
  return seen === undefined || position.xid >= seen.end || seen.running.has(position.xid);
}

/** Parses PostgreSQL's text of a snapshot, `xmin:xmax:xip,xip`; undefined if the text is not a snapshot. */
export function fromSnapshot(text: string): Start | undefined {
  const [, oldest, end, running] = /^(\d{1,20}):(\d{1,20}):((?:\d{1,20}(?:,\d{1,20})*)?)$/.exec(text) ?? [];
  if (oldest === undefined || end === undefined || running === undefined) return undefined;
  const position = { xid: BigInt(oldest), id: 0n };
  const seen = {
    oldest: position.xid,
    end: BigInt(end),
    running: new Set(running.split(',').filter(Boolean).map(BigInt)),
  };
  if (seen.end >= MAX_XID || seen.oldest > seen.end) return undefined;
  // With no transaction running, the snapshot contains exactly the events before `end`: no filter is needed.
  return seen.running.size === 0 ? { position: { xid: seen.end, id: 0n } } : { position, seen };
}

/** The start after a snapshot that PostgreSQL returned. Throws if the text is no snapshot. */
export function startAt(snapshot: string | undefined): Start {
  const start = fromSnapshot(snapshot ?? '');
  if (!start) throw new Error('PostgreSQL gave no snapshot');
  return start;
}

export function toCursor({ position, seen }: Start): Cursor {
  const text = seen ? `${seen.oldest}:${seen.end}:${[...seen.running].join(',')}` : `${position.xid}.${position.id}`;
  return Buffer.from(text).toString('base64url');
}

const MAX_XID = 2n ** 64n;
const MAX_ID = 2n ** 63n;
/** In characters. A cursor may list running transactions; no database runs enough at once to reach this length. */
const MAX_LENGTH = 10_000;

/** Undefined if the text is not a cursor of this server. */
export function fromCursor(cursor: Cursor): Start | undefined {
  if (cursor.length > MAX_LENGTH) return undefined;
  const text = Buffer.from(cursor, 'base64url').toString();
  const [, xid, id] = /^(\d{1,20})\.(\d{1,19})$/.exec(text) ?? [];
  if (xid === undefined || id === undefined) return fromSnapshot(text);
  const position = { xid: BigInt(xid), id: BigInt(id) };
  return position.xid < MAX_XID && position.id < MAX_ID ? { position } : undefined;
}
