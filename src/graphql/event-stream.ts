// The feed as an async iterator for one subscriber, with a bound: a reader that does not keep up is told to come back.
import { GraphQLError } from 'graphql';
import type { Cursor, LogEvent } from '../event-log/event.ts';
import { fromCursor, type Position } from '../event-log/event-log.repository.ts';
import type { Feed } from '../event-log/feed.ts';
import { badInput } from './errors.ts';

/** Events that wait for a subscriber to read. */
const MAX_WAITING = 1000;

/** Missed events read at a time, as fast as the subscriber takes them. */
const PAGE = 500;

interface Options {
  /** The last event the subscriber saw: it first gets all it missed. */
  readonly after?: Cursor;
  /** Ends the connection of a reader that fell behind. */
  readonly onSlow: () => void;
}

/** Resolves once nothing committed afterwards will be missed; with `after`, nothing behind that cursor. */
export async function eventStream<E extends LogEvent>(
  feed: Feed,
  matches: (event: LogEvent) => event is E,
  { after, onSlow }: Options,
): Promise<AsyncIterableIterator<E, undefined>> {
  if (after === undefined) return liveStream(feed, matches, onSlow);
  const position = fromCursor(after);
  if (!position)
    throw badInput('after', 'It is not a cursor of the event log; use the `cursor` of an event as it was given.');
  return missedThenLive(feed, matches, onSlow, position);
}

/** Not a generator: its `return` would wait for the event that a pending `next` waits for. */
function missedThenLive<E extends LogEvent>(
  feed: Feed,
  matches: (event: LogEvent) => event is E,
  onSlow: () => void,
  after: Position,
): AsyncIterableIterator<E, undefined> {
  let position = after;
  const missed: E[] = [];
  let live: AsyncIterableIterator<E, undefined> | undefined;
  let isEnded = false;
  const readOn = async () => {
    const { events, last } = await feed.read(position, PAGE);
    position = last;
    missed.push(...events.filter(matches));
    if (events.length === PAGE || isEnded) return;
    live = await liveStream(feed, matches, onSlow, position);
    if (isEnded) await live.return?.();
  };
  const stream: AsyncIterableIterator<E, undefined> = {
    async next() {
      for (;;) {
        const event = missed.shift();
        if (isEnded) return { done: true, value: undefined };
        if (event) return { done: false, value: event };
        if (live) return live.next();
        await readOn();
      }
    },
    async return() {
      isEnded = true;
      await live?.return?.();
      return { done: true, value: undefined };
    },
    async throw(error) {
      await stream.return?.();
      throw error;
    },
    [Symbol.asyncIterator]: () => stream,
  };
  return stream;
}

async function liveStream<E extends LogEvent>(
  feed: Feed,
  matches: (event: LogEvent) => event is E,
  onSlow: () => void,
  after?: Position,
): Promise<AsyncIterableIterator<E, undefined>> {
  const waiting: E[] = [];
  let reader: { resolve: (result: IteratorResult<E, undefined>) => void; reject: (error: Error) => void } | undefined;
  let ended: 'no' | 'done' | 'slow' = 'no';

  let unlisten = () => {};
  const finish = (how: 'done' | 'slow') => {
    ended = how;
    waiting.length = 0;
    unlisten();
    reader?.resolve({ done: true, value: undefined });
    reader = undefined;
  };
  unlisten = await feed.listen((event) => {
    if (ended !== 'no' || !matches(event)) return;
    if (reader) {
      reader.resolve({ done: false, value: event });
      reader = undefined;
    } else if (waiting.length < MAX_WAITING) {
      waiting.push(event);
    } else {
      finish('slow');
      onSlow();
    }
  }, after);

  if (ended !== 'no') unlisten();
  const stream: AsyncIterableIterator<E, undefined> = {
    next() {
      const event = waiting.shift();
      if (event) return Promise.resolve({ done: false, value: event });
      if (ended === 'slow') return Promise.reject(slowConsumer());
      if (ended === 'done') return Promise.resolve({ done: true, value: undefined });
      return new Promise((resolve, reject) => {
        reader = { resolve, reject };
      });
    },
    return() {
      if (ended === 'no') finish('done');
      return Promise.resolve({ done: true, value: undefined });
    },
    throw(error) {
      if (ended === 'no') finish('done');
      return Promise.reject(error);
    },
    [Symbol.asyncIterator]: () => stream,
  };
  return stream;
}

const slowConsumer = () =>
  new GraphQLError('Events came faster than they were read; subscribe again.', {
    extensions: { code: 'SLOW_CONSUMER' },
  });
