// Sets a deadline for each request. At the deadline an unanswered request is answered with an error; work for a request
// stops at its deadline or when its client disconnects.
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

  /** Starts the deadline; `tell` answers the request if it is still unanswered by then. */
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

  /** Aborted at the deadline, or when the client disconnects before it has the whole answer. */
  signalOf(request: FastifyRequest): AbortSignal {
    return this.#leaving.get(request)?.signal ?? new AbortController().signal;
  }
}
