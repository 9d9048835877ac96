// How many sockets and subscriptions one caller has open, and how many it may have.
import { GraphQLError } from 'graphql';
import type { WebSocket } from 'ws';
import type { Caller } from '../auth/caller.ts';
import type { GraphQLPorts } from './request-context.ts';

/** A dashboard's backend subscribes for many people; still it must not take the server's memory. */
const MAX_SOCKETS = 20_000;
const MAX_SUBSCRIPTIONS = 50_000;
const TRY_AGAIN_LATER = 1013;

type Limits = Pick<GraphQLPorts, 'maxSocketsPerDriver' | 'maxSubscriptionsPerDriver' | 'metrics'>;

export class CallerSockets {
  /** By caller: each open socket, and the operations open on it when it last began one. */
  readonly #open = new Map<string, Map<WebSocket, number>>();

  constructor(private readonly limits: Limits) {}

  /** False where the caller has as many as it may; its new socket is closed with 1013. */
  admit(caller: Caller, socket: WebSocket): boolean {
    const sockets = this.#open.get(caller.subject) ?? new Map<WebSocket, number>();
    const limit = caller.role === 'DRIVER' ? this.limits.maxSocketsPerDriver : MAX_SOCKETS;
    if (sockets.size >= limit) {
      this.limits.metrics.refusedRequests.inc({ limit: 'sockets' });
      socket.close(TRY_AGAIN_LATER, `A caller may have ${limit} sockets open`);
      return false;
    }
    this.#open.set(caller.subject, sockets.set(socket, 0));
    return true;
  }

  leave(caller: Caller | undefined, socket: WebSocket): void {
    const sockets = caller && this.#open.get(caller.subject);
    if (!sockets) return;
    sockets.delete(socket);
    if (sockets.size === 0) this.#open.delete(caller.subject);
  }

  /** The error of one operation too many on the caller's sockets; `open` are those of this socket, the new one included. */
  tooMany(caller: Caller | undefined, socket: WebSocket, open: number): GraphQLError[] | undefined {
    const sockets = caller && this.#open.get(caller.subject);
    if (!sockets) return undefined;
    const limit = caller.role === 'DRIVER' ? this.limits.maxSubscriptionsPerDriver : MAX_SUBSCRIPTIONS;
    sockets.set(socket, open);
    let sum = 0;
    for (const count of sockets.values()) sum += count;
    if (sum <= limit) return undefined;
    this.limits.metrics.refusedRequests.inc({ limit: 'subscriptions' });
    const message = `A caller may have ${limit} subscriptions open.`;
    return [new GraphQLError(message, { extensions: { code: 'TOO_MANY_SUBSCRIPTIONS', limit } })];
  }
}
