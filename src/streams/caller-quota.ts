// Counts the open connections and subscriptions of each caller against that caller's limits.
import type { Metrics } from '../common/metrics.ts';
import type { Caller } from '../model/access/caller.ts';

/**
 * Limits of operators and admins: their backends subscribe for many people, but must not exhaust the server's memory.
 */
const MAX_CONNECTIONS = 20_000;
const MAX_SUBSCRIPTIONS = 50_000;

interface Open {
  /** Sockets and event streams. */
  connections: number;
  subscriptions: number;
}

interface Limits {
  readonly maxSocketsPerDriver: number;
  readonly maxSubscriptionsPerDriver: number;
  readonly metrics: Metrics;
}

export class CallerQuota {
  readonly #open = new Map<string, Open>();

  constructor(private readonly limits: Limits) {}

  /** Counts one more connection until `disconnect`; at the limit it counts nothing and returns why, as a message. */
  connect(caller: Caller): string | undefined {
    const limit = caller.role === 'DRIVER' ? this.limits.maxSocketsPerDriver : MAX_CONNECTIONS;
    if (this.#take(caller, 'connections', limit)) return undefined;
    this.limits.metrics.refusedRequests.inc({ limit: 'sockets' });
    return `A caller may have ${limit} connections open`;
  }

  disconnect(caller: Caller): void {
    this.#giveBack(caller, 'connections');
  }

  /** Counts one more subscription until `unsubscribe`; at the limit it counts nothing and returns the limit. */
  subscribe(caller: Caller): number | undefined {
    const limit = caller.role === 'DRIVER' ? this.limits.maxSubscriptionsPerDriver : MAX_SUBSCRIPTIONS;
    if (this.#take(caller, 'subscriptions', limit)) return undefined;
    this.limits.metrics.refusedRequests.inc({ limit: 'subscriptions' });
    return limit;
  }

  unsubscribe(caller: Caller): void {
    this.#giveBack(caller, 'subscriptions');
  }

  #take({ subject }: Caller, what: keyof Open, limit: number): boolean {
    const open = this.#open.get(subject) ?? { connections: 0, subscriptions: 0 };
    if (open[what] >= limit) return false;
    open[what] += 1;
    this.#open.set(subject, open);
    return true;
  }

  #giveBack({ subject }: Caller, what: keyof Open): void {
    const open = this.#open.get(subject);
    if (!open) return;
    open[what] -= 1;
    if (open.connections === 0 && open.subscriptions === 0) this.#open.delete(subject);
  }
}
