// Runs the operations of clients whose connection stays open, whatever its protocol: checks, charges, starts and ends
// them.
import { type ExecutionResult, execute, GraphQLError, type GraphQLFormattedError } from 'graphql';
import type { Budget } from '../../auth/request-limits.ts';
import { withDeadline } from '../../common/clock.ts';
import { once } from '../../common/once.ts';
import type { Source } from '../../model/access/audit-entry.ts';
import type { Caller } from '../../model/access/caller.ts';
import type { LiveConnection, Running } from '../../streams/live-connection.ts';
import { Documents, type Operation, type Request } from './documents.ts';
import { maskError, timedOut, toGraphQLError } from './errors.ts';
import { costOfFailure } from './limits.ts';
import { Projections } from './projection.ts';
import { contextOf, type GraphQLPorts } from './request-context.ts';
import { type Sink, Subscription, type SubscriptionPorts } from './subscription.ts';

export class Operations {
  readonly #documents: Documents;
  readonly #subscribing: SubscriptionPorts;

  constructor(readonly ports: GraphQLPorts) {
    const { schema, log, feed } = ports;
    this.#documents = new Documents(schema, ports);
    const contextOfMany = (caller: Caller) => contextOf(ports, caller);
    const projections = new Projections({ schema, documents: this.#documents, contextOf: contextOfMany, log });
    this.#subscribing = { schema, feed, projections, contextOf: contextOfMany };
  }

  /**
   * The operation, or the errors for which it cannot be run. A subscription counts against the caller's quota from here
   * on, so `subscribe` must follow.
   */
  prepare(request: Request, caller: Caller): Charged | readonly GraphQLError[] {
    try {
      const { limits } = this.ports;
      limits.countBy(caller);
      const operation = this.#documents.prepare(request);
      if (!('kind' in operation)) {
        limits.charge(caller, costOfFailure(request.query, request.variables));
        return operation;
      }
      const budget = limits.spend(caller, operation.cost);
      const limit = operation.kind === 'subscription' ? this.ports.quota.subscribe(caller) : undefined;
      return limit === undefined ? { ...operation, budget } : [tooManySubscriptions(limit)];
    } catch (error) {
      const shown = toGraphQLError(error);
      if (shown instanceof GraphQLError) return [shown];
      throw error;
    }
  }

  /**
   * Starts a subscription on a connection: each message goes out between `head` and `tail`, a failure to `fail`.
   * Returns the errors if it could not start.
   */
  async subscribe(
    live: LiveConnection,
    id: string | undefined,
    running: Running,
    operation: Operation,
    caller: Caller,
    { head, tail, fail }: { readonly head: Buffer; readonly tail: Buffer; fail(error: unknown): void },
  ): Promise<readonly GraphQLError[] | undefined> {
    const { buffer } = live;
    const uncount = once(() => this.ports.quota.unsubscribe(caller));
    const sink: Sink = {
      send: (message) => buffer.put([head, message.json, tail], message.at, running.progress),
      room: () => buffer.room(),
      turn: () => buffer.turn(),
      fail: (error) => {
        uncount();
        fail(error);
      },
    };
    let opened: Subscription | readonly GraphQLError[];
    try {
      opened = await Subscription.open(this.#subscribing, operation, caller, sink);
    } catch (error) {
      uncount();
      throw error;
    }
    if (!(opened instanceof Subscription)) {
      uncount();
      return opened;
    }
    const subscription = opened;
    const stop = () => {
      uncount();
      subscription.stop();
    };
    if (!live.isRunning(id, running)) {
      // The client stopped the operation, or is gone.
      stop();
      return undefined;
    }
    running.subscription = { stop, renew: (renewed) => subscription.renew(renewed) };
    if (live.caller && live.caller !== caller) await subscription.renew(live.caller);
    return undefined;
  }

  /**
   * Runs a query or a mutation. After requestTimeoutMs it returns TIMED_OUT and aborts `leaving`; once that is aborted,
   * what has begun goes on, but resolvers read nothing more.
   */
  async execute(
    operation: Charged,
    caller: Caller,
    source: Source,
    leaving: AbortController,
  ): Promise<ExecutionResult> {
    const { document, operationName, variables, budget } = operation;
    const { schema, clock, requestTimeoutMs } = this.ports;
    const contextValue = contextOf(this.ports, caller, { ...source, signal: leaving.signal });
    const executing = execute({ schema, document, operationName, variableValues: variables, contextValue });
    const result = await withDeadline(clock, Promise.resolve(executing), requestTimeoutMs);
    if (!result) leaving.abort();
    const { message, extensions } = timedOut;
    const told = result ?? { errors: [new GraphQLError(message, { extensions })] };
    return { ...told, extensions: { cost: budget } };
  }

  /** The error as clients may read it; faults are logged. */
  mask(error: unknown): GraphQLFormattedError {
    const formatted = error instanceof Error && 'toJSON' in error ? (error as GraphQLError).toJSON() : { message: '' };
    return maskError(formatted, error, this.ports.log);
  }
}

const tooManySubscriptions = (limit: number): GraphQLError =>
  new GraphQLError(`You have ${limit} subscriptions open, which is the limit: end one first.`, {
    extensions: { code: 'TOO_MANY_SUBSCRIPTIONS', limit },
  });

/** An operation whose cost has been taken from the caller's budget. */
export interface Charged extends Operation {
  readonly budget: Budget;
}
