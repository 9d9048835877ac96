// A subscriber that does not read is told to come back, and costs no memory.
import { expect, it, vi } from 'vitest';
import type { LogEvent } from '../../src/event-log/event.ts';
import type { Feed, Listener } from '../../src/event-log/feed.ts';
import { eventStream } from '../../src/graphql/event-stream.ts';

/** Hands events to its listeners and nothing else. */
function feedOf() {
  const listeners = new Set<Listener>();
  const feed = {
    async listen(listener: Listener) {
      listeners.add(listener);
      return () => void listeners.delete(listener);
    },
  } as unknown as Feed;
  const tell = (connectorId: number) => {
    for (const listener of listeners) listener({ kind: 'CONNECTOR', connectorId } as LogEvent);
  };
  return { feed, tell, listeners };
}
const all = (event: LogEvent): event is LogEvent => event.kind === 'CONNECTOR';

it('gives events in their order, those that waited and those that come', async () => {
  const { feed, tell } = feedOf();
  const stream = await eventStream(feed, all, { onSlow: () => {} });
  tell(1);
  tell(2);
  expect([(await stream.next()).value?.connectorId, (await stream.next()).value?.connectorId]).toEqual([1, 2]);
  const coming = stream.next();
  tell(3);
  expect((await coming).value?.connectorId).toBe(3);
});

it('ends a reader that falls behind, with an error that says so, and stops listening', async () => {
  const { feed, tell, listeners } = feedOf();
  const onSlow = vi.fn();
  const stream = await eventStream(feed, all, { onSlow });
  for (let index = 0; index < 1001; index += 1) tell(index);
  expect(onSlow).toHaveBeenCalledOnce();
  expect(listeners.size).toBe(0);
  await expect(stream.next()).rejects.toMatchObject({ extensions: { code: 'SLOW_CONSUMER' } });
});

it('stops listening when the subscriber goes, and lets a waiting read go with it', async () => {
  const { feed, listeners } = feedOf();
  const stream = await eventStream(feed, all, { onSlow: () => {} });
  const waiting = stream.next();
  await stream.return?.();
  expect(await waiting).toEqual({ done: true, value: undefined });
  expect(listeners.size).toBe(0);
});
