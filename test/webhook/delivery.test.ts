// The lease on a webhook: which process may send. Database, log and receiver are fakes.
import { expect, it, vi } from 'vitest';
import type { Clock } from '../../src/common/clock.ts';
import { createMetrics } from '../../src/common/metrics.ts';
import type { Feed } from '../../src/event-log/feed.ts';
import type { EventLog } from '../../src/storage/events/event-log.repository.ts';
import type { WebhookRepository } from '../../src/storage/events/webhook.repository.ts';
import { Deliveries } from '../../src/webhook/delivery.ts';
import type { Target } from '../../src/webhook/target.ts';
import { faultLog } from '../support/fault-log.ts';

const NOON = new Date('2026-11-27T12:00:00Z').getTime();
const PLACE = { xid: 1n, id: 0n };

/** One webhook with twenty messages to come, each of which takes ten seconds to deliver. */
function sender(renewals: 'stored' | 'lost') {
  let passed = 0;
  const timers = new Set<{ readonly dueAt: number; readonly task: () => void }>();
  const clock: Clock = {
    now: () => new Date(NOON + passed),
    after: (ms, task) => {
      const timer = { dueAt: passed + ms, task };
      timers.add(timer);
      return () => void timers.delete(timer);
    },
  };
  const pass = async (ms: number) => {
    passed += ms;
    for (const timer of [...timers].filter(({ dueAt }) => dueAt <= passed)) {
      timers.delete(timer);
      timer.task();
    }
    await new Promise(setImmediate);
  };
  const event = (n: number) => ({
    kind: 'CONNECTOR',
    type: 'CONNECTED',
    cursor: `cursor ${n}`,
    at: clock.now(),
    siteId: 'site',
    chargerId: 'CH1',
    connectorId: 0,
  });
  const entries = Array.from({ length: 20 }, (_, n) => ({ event: event(n), position: { xid: 1n, id: BigInt(n + 1) } }));
  const webhook = {
    id: 'one',
    name: 'one',
    url: 'https://receiver.example',
    secretVersion: 1,
    position: PLACE,
    attempts: 0,
    nextAttemptAt: clock.now(),
    createdAt: clock.now(),
    createdBy: 'olga',
  };
  const waiting = [webhook];
  const webhooks = {
    claim: async () => waiting.splice(0),
    renew: async () => {
      if (renewals === 'lost') throw new Error('The database is away');
      return new Set(['one']);
    },
    release: async () => {},
    advance: vi.fn(async () => true),
  };
  const target = {
    post: vi.fn(async () => {
      for (let n = 0; n < 10; n += 1) await pass(1000);
      return { status: 200 };
    }),
    close: () => {},
  };
  const events = {
    of: async (_: unknown, { id }: typeof PLACE) => ({
      entries: entries.slice(Number(id)),
      end: { xid: 1n, id: 20n },
      isEnd: true,
    }),
  };
  const feed = { bounds: async () => ({ end: PLACE }), follow: () => ({ stop: () => {} }) };
  const deliveries = new Deliveries({
    webhooks: webhooks as unknown as WebhookRepository,
    events: events as unknown as EventLog,
    feed: feed as unknown as Feed,
    target: target as unknown as Target,
    secretKey: 'key',
    clock,
    log: faultLog().log,
    metrics: createMetrics(),
    random: () => 0.5,
  });
  return { deliveries, target, webhooks };
}

it('a sender that can renew its lease sends every message', async () => {
  const { deliveries, target, webhooks } = sender('stored');
  deliveries.start();
  await vi.waitFor(() => expect(webhooks.advance).toHaveBeenCalled());
  expect(target.post).toHaveBeenCalledTimes(20);
  await deliveries.stop();
});

it('a sender that cannot renew its lease stops before another sender may begin, and stores its position', async () => {
  const { deliveries, target, webhooks } = sender('lost');
  deliveries.start();
  await vi.waitFor(() => expect(webhooks.advance).toHaveBeenCalled());
  // The lease lasts 30 s and a message may take 15 s, so no third one starts after two of 10 s each.
  expect(target.post).toHaveBeenCalledTimes(2);
  expect(webhooks.advance.mock.calls[0]?.slice(2, 4)).toEqual([PLACE, { xid: 1n, id: 2n }]);
  await deliveries.stop();
});
