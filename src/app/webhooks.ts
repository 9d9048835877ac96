// Makes the webhooks: the allowed targets, and the couriers that deliver.
import type { Clock } from '../common/clock.ts';
import type { Log } from '../common/log.ts';
import type { Metrics } from '../common/metrics.ts';
import type { Feed } from '../event-log/feed.ts';
import { Deliveries } from '../webhook/delivery.ts';
import type { WebhookPorts } from '../webhook/manage-webhooks.ts';
import { webhookTarget } from '../webhook/target.ts';
import type { Config } from './config.ts';
import type { Storage } from './storage.ts';

interface Ports {
  readonly storage: Storage;
  readonly feed: Feed;
  readonly clock: Clock;
  readonly log: Log;
  readonly metrics: Metrics;
}

interface Webhooks {
  readonly webhookPorts: WebhookPorts;
  /** Absent if webhooks are off. */
  readonly deliveries?: Deliveries;
}

export function makeWebhooks({ webhooks: settings }: Config, ports: Ports): Webhooks {
  const { storage, feed, clock, log, metrics } = ports;
  const { webhooks, events } = storage;
  if (!settings) return { webhookPorts: { webhooks, feed, clock } };
  const { secretKey } = settings;
  const target = webhookTarget({ ...settings, clock });
  const deliveries = new Deliveries({
    webhooks,
    feed,
    target,
    clock,
    secretKey,
    events,
    log,
    metrics,
    random: Math.random,
  });
  const delivery = { target, secretKey, look: () => deliveries.look() };
  return { webhookPorts: { webhooks, feed, delivery, clock }, deliveries };
}
