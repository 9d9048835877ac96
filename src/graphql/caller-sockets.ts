// How many sockets and subscriptions one caller has open, and how many it may have.
import { GraphQLError } from 'graphql';
import type { WebSocket } from 'ws';
import type { Caller } from '../auth/caller.ts';
import type { GraphQLPorts } from './request-context.ts';

/** A dashboard's backend subscribes for many people; still it must not take the server's memory. */
const MAX_SOCKETS = 20_000;
const MAX_SUBSCRIPTIONS = 50_000;
const TRY_AGAIN_LATER = 1013;

/** By their ids, as the protocol's library keeps them. */
type Operations = Readonly<Record<string, unknown>>;
type Limits = Pick<GraphQLPorts, 'maxSocketsPerDriver' | 'maxSubscriptionsPerDriver' | 'metrics'>;

export class CallerSockets {
  /** By caller: each open socket, and the operations open on it. */
  readonly #open = new Map<string, Map<WebSocket, Operations>>();

  constructor(private readonly limits: Limits) {}

  /** False where the socket has gone meanwhile, or the caller has as many as it may: the new one is closed with 1013. */
  admit(caller: Caller, socket: WebSocket, operations: Operations): boolean {
    if (socket.readyState !== socket.OPEN) return false;
    const sockets = this.#open.get(caller.subject) ?? new Map<WebSocket, Operations>();
    const limit = caller.role === 'DRIVER' ? this.limits.maxSocketsPerDriver : MAX_SOCKETS;
    if (sockets.size >= limit) {
      this.limits.metrics.refusedRequests.inc({ limit: 'sockets' });
      socket.close(TRY_AGAIN_LATER, `A caller may have ${limit} sockets open`);
      return false;
    }
    this.#open.set(caller.subject, sockets.set(socket, operations));
    socket.once('close', () => this.#leave(caller, socket));
    return true;
  }

  #leave(caller: Caller, socket: WebSocket): void {
    const sockets = this.#open.get(caller.subject);
    if (!sockets) return;
    sockets.delete(socket);
    if (sockets.size === 0) this.#open.delete(caller.subject);
  }

  /** The error of one operation too many on the caller's sockets; the new one is open already. */
  tooMany(caller: Caller | undefined): GraphQLError[] | undefined {
    const sockets = caller && this.#open.get(caller.subject);
    if (!sockets) return undefined;
    const limit = caller.role === 'DRIVER' ? this.limits.maxSubscriptionsPerDriver : MAX_SUBSCRIPTIONS;
    let sum = 0;
    for (const operations of sockets.values()) sum += Object.keys(operations).length;
    if (sum <= limit) return undefined;
    this.limits.metrics.refusedRequests.inc({ limit: 'subscriptions' });
    const message = `A caller may have ${limit} subscriptions open.`;
    return [new GraphQLError(message, { extensions: { code: 'TOO_MANY_SUBSCRIPTIONS', limit } })];
  }
}
