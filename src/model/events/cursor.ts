// Places in the log. Its one order without holes is (xid, id): the transaction that wrote an event, then the event.

/** A place in the log as clients know it; opaque to them. */
export type Cursor = string;

export interface Position {
  readonly xid: bigint;
  readonly id: bigint;
}

/** Which transactions had committed at a moment: those before `end` that were not `running`. */
export interface Snapshot {
  readonly oldest: bigint;
  readonly end: bigint;
  readonly running: ReadonlySet<bigint>;
}

/** Where to begin: behind `position`, without what had committed by `seen`. */
export interface Start {
  readonly position: Position;
  readonly seen?: Snapshot;
}

export const isBehind = (one: Position, other: Position): boolean =>
  one.xid > other.xid || (one.xid === other.xid && one.id > other.id);

/** Whether somebody who began at `start` is meant to have what stands at `position`. */
export function isWantedFrom({ position: first, seen }: Start, position: Position): boolean {
  if (!isBehind(position, first)) return false;
  return seen === undefined || position.xid >= seen.end || seen.running.has(position.xid);
}

/** From PostgreSQL's own words for a snapshot: `xmin:xmax:xip,xip`. */
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
  // Where nothing before the end was running, nothing behind the position had committed.
  return seen.running.size === 0 ? { position: { xid: seen.end, id: 0n } } : { position, seen };
}

/** Of what PostgreSQL itself said. Throws where it said nothing. */
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
/** More than any database has transactions at once. */
const MAX_LENGTH = 10_000;

/** Undefined where the text is no cursor of ours. */
export function fromCursor(cursor: Cursor): Start | undefined {
  if (cursor.length > MAX_LENGTH) return undefined;
  const text = Buffer.from(cursor, 'base64url').toString();
  const [, xid, id] = /^(\d{1,20})\.(\d{1,19})$/.exec(text) ?? [];
  if (xid === undefined || id === undefined) return fromSnapshot(text);
  const position = { xid: BigInt(xid), id: BigInt(id) };
  return position.xid < MAX_XID && position.id < MAX_ID ? { position } : undefined;
}
