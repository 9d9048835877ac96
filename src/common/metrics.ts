// What the process counts, in Prometheus' words. One registry an app, so that two apps in one process do not mix.
import { Counter, collectDefaultMetrics, Gauge, Registry } from 'prom-client';

export type Metrics = ReturnType<typeof createMetrics>;

export function createMetrics() {
  const registry = new Registry();
  const registers = [registry];
  collectDefaultMetrics({ register: registry });
  const counter = <Label extends string = never>(name: string, help: string, labelNames: Label[] = []) =>
    new Counter({ name: `ev_reservation_${name}`, help, labelNames, registers });
  const gauge = (name: string, help: string, collect: (this: Gauge) => void | Promise<void>) =>
    new Gauge({ name: `ev_reservation_${name}`, help, collect, registers });
  return {
    registry,
    gauge,
    expired: counter('expired_total', 'Reservations that the clock ended'),
    settled: counter('settled_total', 'Due reservations the settler looked at', ['duty', 'progress']),
    calls: counter('charger_calls_total', 'Calls to chargers by how they ended', ['action', 'outcome']),
    refusedFrames: counter('charger_frames_refused_total', 'Frames of chargers that were not carried out', ['reason']),
    refusedRequests: counter('requests_refused_total', 'Requests and sockets of clients beyond a limit', ['limit']),
    unavailable: counter('database_unavailable_total', 'Requests that failed because the database was away'),
  };
}
