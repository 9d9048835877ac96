// What the process counts, in Prometheus' words. One registry an app, so that two apps in one process do not mix.
import { Counter, collectDefaultMetrics, Gauge, Histogram, Registry } from 'prom-client';

export type Metrics = ReturnType<typeof createMetrics>;

export function createMetrics() {
  const registry = new Registry();
  const registers = [registry];
  collectDefaultMetrics({ register: registry });
  const counter = <Label extends string = never>(name: string, help: string, labelNames: Label[] = []) =>
    new Counter({ name: `ev_reservation_${name}`, help, labelNames, registers });
  /** Read when it is asked for. */
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
      help: 'From when an event happened until it was handed to subscribers',
      buckets: [0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.25, 1, 5, 30],
      registers,
    }),
    slowConsumers: counter('slow_consumers_total', 'Subscribers that were closed because they did not keep up'),
    expired: counter('expired_total', 'Reservations that the clock ended'),
    settled: counter('settled_total', 'Due reservations the settler looked at', ['duty', 'progress']),
    calls: counter('charger_calls_total', 'Calls to chargers by how they ended', ['action', 'outcome']),
    refusedFrames: counter('charger_frames_refused_total', 'Frames of chargers that were not carried out', ['reason']),
    chargerLogins: counter('charger_logins_total', 'Logins of chargers by what came of them', ['verdict']),
    webhookDeliveries: counter('webhook_deliveries_total', 'Messages to webhooks by how they were answered', [
      'result',
    ]),
    badCredentials: counter('credentials_refused_total', 'Tokens and API keys that were not good'),
    refusedRequests: counter('requests_refused_total', 'Requests and sockets of clients beyond a limit', ['limit']),
  };
}
