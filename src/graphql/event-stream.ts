// The feed as an async iterator for one subscriber, with a bound: a reader that does not keep up is told to come back.
import { GraphQLError } from 'graphql';
import type { LogEvent } from '../event-log/event.ts';
import type { Feed } from '../event-log/feed.ts';

/** Events that wait for a subscriber to read. */
const MAX_WAITING = 1000;

/** Resolves once nothing committed afterwards will be missed. `onSlow` ends the connection of a reader that fell behind. */
export async function eventStream<E extends LogEvent>(
  feed: Feed,
  matches: (event: LogEvent) => event is E,
  onSlow: () => void,
): Promise<AsyncIterableIterator<E, undefined>> {
  const waiting: E[] = [];
  let reader: { resolve: (result: IteratorResult<E, undefined>) => void; reject: (error: Error) => void } | undefined;
  let ended: 'no' | 'done' | 'slow' = 'no';

  const unlisten = await feed.listen((event) => {
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
  });

  const finish = (how: 'done' | 'slow') => {
    ended = how;
    waiting.length = 0;
    unlisten();
    reader?.resolve({ done: true, value: undefined });
    reader = undefined;
  };
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
