// The metrics of the process, for Prometheus. Each app has its own registry, so that two apps in one process do not
// mix.
import { Counter, collectDefaultMetrics, Gauge, Histogram, Registry } from 'prom-client';

export type Metrics = ReturnType<typeof createMetrics>;

export function createMetrics() {
  const registry = new Registry();
  const registers = [registry];
  collectDefaultMetrics({ register: registry });
  const counter = <Label extends string = never>(name: string, help: string, labelNames: Label[] = []) =>
    new Counter({ name: `ev_reservation_${name}`, help, labelNames, registers });
  /** `read` is called each time the metrics are collected. */
  const gauge = (name: string, help: string, read: () => number) =>
    new Gauge({
      name: `ev_reservation_${name}`,
      help,
      registers,
      collect() {
        this.set(read());
      },
    });
  return {
    registry,
    gauge,
    eventDelay: new Histogram({
      name: 'ev_reservation_event_delay_seconds',
      help: 'Time from an event until it was handed to subscribers',
      buckets: [0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.25, 1, 5, 30],
      registers,
    }),
    slowConsumers: counter('slow_consumers_total', 'Subscribers that were closed because they did not keep up'),
    expired: counter('expired_total', 'Reservations that ended at their expiry date or as a no-show'),
    settled: counter('settled_total', 'Due reservations that the settler worked on', ['duty', 'progress']),
    calls: counter('charger_calls_total', 'Calls to chargers by outcome', ['action', 'outcome']),
    refusedFrames: counter(
      'charger_frames_refused_total',
      'Frames of chargers that were dropped, were unreadable or had reading slowed down',
      ['reason'],
    ),
    chargerLogins: counter('charger_logins_total', 'Logins of chargers by verdict', ['verdict']),
    webhookDeliveries: counter('webhook_deliveries_total', 'Attempts to deliver messages to webhooks by result', [
      'result',
    ]),
    badCredentials: counter('credentials_refused_total', 'Tokens and API keys that were refused'),
    refusedRequests: counter(
      'requests_refused_total',
      'Requests, sockets and subscriptions of clients refused because of a limit',
      ['limit'],
    ),
  };
}
