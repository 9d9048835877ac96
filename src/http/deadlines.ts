// How long a request may take: whoever waits longer is told so, and nothing more is read for whoever waits no longer.
import type { FastifyReply, FastifyRequest } from 'fastify';
import type { Clock } from '../common/clock.ts';
import type { Metrics } from '../common/metrics.ts';

interface Ports {
  readonly requestTimeoutMs: number;
  readonly clock: Clock;
  readonly metrics: Metrics;
}

export class Deadlines {
  readonly #leaving = new WeakMap<FastifyRequest, AbortController>();

  constructor(private readonly ports: Ports) {}

  /** From here on; `tell` answers for a request whose time is over. */
  begin(request: FastifyRequest, reply: FastifyReply, tell: () => void): void {
    const { requestTimeoutMs, clock, metrics } = this.ports;
    const controller = new AbortController();
    this.#leaving.set(request, controller);
    const callOff = clock.after(requestTimeoutMs, () => {
      controller.abort();
      if (reply.sent) return;
      metrics.refusedRequests.inc({ limit: 'time' });
      tell();
    });
    reply.raw.once('close', () => {
      callOff();
      if (!reply.raw.writableFinished) controller.abort();
    });
  }

  /** Aborted when nobody waits for the answer any more, which has not come. */
  signalOf(request: FastifyRequest): AbortSignal {
    return this.#leaving.get(request)?.signal ?? new AbortController().signal;
  }
}
