// Turns the cursor that a client gives into a start position in this log.
import { type Cursor, fromCursor, isBehind, type Start } from '../model/events/cursor.ts';
import { CursorExpired } from '../storage/events/event-log.repository.ts';
import type { Feed } from './feed.ts';

/** The text is no cursor of this log; the message says why. */
export class NoCursor extends Error {
  override readonly name = 'NoCursor';
}

/** Throws NoCursor; CursorExpired if events after the cursor have been deleted. */
export async function resumeAt(feed: Pick<Feed, 'bounds'>, after: Cursor): Promise<Start> {
  const start = fromCursor(after);
  if (!start) throw new NoCursor('It is not a cursor of the event log; use the `cursor` of an event as it was given.');
  const { horizon, newest } = await feed.bounds();
  if (isBehind(horizon, start.position)) throw new CursorExpired(horizon);
  if (start.position.xid > newest)
    throw new NoCursor('It lies beyond the end of this event log: it comes from another one.');
  return start;
}
