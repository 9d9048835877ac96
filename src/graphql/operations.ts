// What clients ask for over a connection that stays open, whatever its protocol: checked, counted, begun and ended.
import { type ExecutionResult, execute, type GraphQLError, type GraphQLFormattedError } from 'graphql';
import type { Caller } from '../auth/caller.ts';
import { once } from '../common/once.ts';
import { CallerQuota } from './caller-quota.ts';
import { Documents, type Operation, type Request } from './documents.ts';
import { maskError } from './errors.ts';
import { type Progress, Writer } from './outbox.ts';
import { Projections } from './projection.ts';
import { contextOf, type GraphQLPorts } from './request-context.ts';
import { type Sink, Subscription, type SubscriptionPorts } from './subscription.ts';

export class Operations {
  readonly quota: CallerQuota;
  /** Writes for all connections, so that each has its turn. */
  readonly writer: Writer;
  readonly #documents: Documents;
  readonly #subscribing: SubscriptionPorts;

  constructor(readonly ports: GraphQLPorts) {
    const { schema, log, clock, feed } = ports;
    this.quota = new CallerQuota(ports);
    this.writer = new Writer(clock, log);
    this.#documents = new Documents(schema);
    const contextOfMany = (caller: Caller) => contextOf(ports, caller, false);
    const projections = new Projections({ schema, documents: this.#documents, contextOf: contextOfMany, log });
    this.#subscribing = { schema, feed, projections, contextOf: contextOfMany };
  }

  /** The operation, or why it cannot be run. A subscription counts from here on: `open` it. */
  prepare(request: Request, caller: Caller): Operation | readonly GraphQLError[] {
    const operation = this.#documents.prepare(request);
    if (!('kind' in operation)) return operation;
    const error = operation.kind === 'subscription' ? this.quota.subscribe(caller) : undefined;
    return error ? [error] : operation;
  }

  /** Its messages, and its failure, go to the sink until it is stopped; or the errors for which it never began. */
  async open(operation: Operation, caller: Caller, sink: Sink): Promise<OpenSubscription | readonly GraphQLError[]> {
    const end = once(() => this.quota.unsubscribe(caller));
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

  /** Of a query or a mutation. */
  async execute({ document, operationName, variables }: Operation, caller: Caller): Promise<ExecutionResult> {
    const contextValue = contextOf(this.ports, caller, true);
    const args = { schema: this.ports.schema, document, operationName, variableValues: variables, contextValue };
    return execute(args);
  }

  /** As clients may read it. */
  mask(error: unknown): GraphQLFormattedError {
    const formatted = error instanceof Error && 'toJSON' in error ? (error as GraphQLError).toJSON() : { message: '' };
    return maskError(formatted, error, this.ports.log);
  }
}

/** An operation of a connection; a subscription once it has begun. */
export interface Running {
  readonly progress: Progress;
  subscription?: OpenSubscription;
}

export interface OpenSubscription {
  stop(): void;
  renew(caller: Caller): Promise<void>;
}
