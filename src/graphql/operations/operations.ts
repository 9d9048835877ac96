// Runs the operations of clients whose connection stays open, whatever its protocol: checks, charges, starts and ends
// them.
import { type ExecutionResult, execute, GraphQLError, type GraphQLFormattedError } from 'graphql';
import type { Budget } from '../../auth/request-limits.ts';
import { withDeadline } from '../../common/clock.ts';
import { once } from '../../common/once.ts';
import type { Source } from '../../model/access/audit-entry.ts';
import type { Caller } from '../../model/access/caller.ts';
import type { Progress } from '../../streams/outbox.ts';
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
   * on, so `open` must follow.
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
   * Starts a subscription: its messages and its failure go to the sink until it is stopped. Returns the errors if it
   * could not start.
   */
  async open(operation: Operation, caller: Caller, sink: Sink): Promise<OpenSubscription | readonly GraphQLError[]> {
    const end = once(() => this.ports.quota.unsubscribe(caller));
    const failing = {
      send: (message) => sink.send(message),
      room: () => sink.room(),
      turn: () => sink.turn(),
      fail: (error) => {
        end();
        sink.fail(error);
      },
    } satisfies Sink;
    try {
      const opened = await Subscription.open(this.#subscribing, operation, caller, failing);
      if (!(opened instanceof Subscription)) {
        end();
        return opened;
      }
      const stop = () => {
        end();
        opened.stop();
      };
      return { stop, renew: (renewed) => opened.renew(renewed) };
    } catch (error) {
      end();
      throw error;
    }
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
  new GraphQLError(`A caller may have ${limit} subscriptions open.`, {
    extensions: { code: 'TOO_MANY_SUBSCRIPTIONS', limit },
  });

/** An operation whose cost has been taken from the caller's budget. */
export interface Charged extends Operation {
  readonly budget: Budget;
}

/** An operation of a connection; `subscription` is set once a subscription has started. */
export interface Running {
  readonly progress: Progress;
  /** Aborted when nobody waits for the query or mutation any longer. */
  readonly leaving: AbortController;
  subscription?: OpenSubscription;
}

export const newRunning = (): Running => ({ progress: {}, leaving: new AbortController() });

/** Stops an operation whose client has completed it or is gone. */
export function leave(running: Running | undefined): void {
  running?.leaving.abort();
  running?.subscription?.stop();
}

export interface OpenSubscription {
  stop(): void;
  renew(caller: Caller): Promise<void>;
}
