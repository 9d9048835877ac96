// Makes the message that subscribers get for an event. Subscriptions that select the same share one projection (with
// the same rights, if a selected field depends on the caller): it executes each event and serializes the result once
// for all of them.

import { type ExecutionResult, execute, type GraphQLSchema } from 'graphql';
import { LRUCache } from 'lru-cache';
import type { Log } from '../../common/log.ts';
import { once } from '../../common/once.ts';
import type { Caller } from '../../model/access/caller.ts';
import { rightsOf } from '../../model/access/rights.ts';
import type { Start } from '../../model/events/cursor.ts';
import type { ApiContext } from './context.ts';
import type { Documents, Operation } from './documents.ts';
import { maskError } from './errors.ts';

/** The result of one event, as JSON. */
export interface Message {
  readonly json: Buffer;
  /**
   * Where a subscriber that has this message may resume; of the present state only the last message has such a place.
   */
  readonly at: Start | undefined;
}

export interface Recipient {
  /** A returned promise is back-pressure: send no more before it resolves. */
  receive(message: Message): Promise<void> | undefined;
  fail(error: unknown): void;
}

interface Execution {
  readonly event: object;
  done: Message | Promise<Message>;
  /** The recipients of the message; they get it after every earlier message. */
  readonly recipients: Recipient[];
}

/** Messages kept for subscribers that reach the same events a little later, for example after a break that many had. */
const MAX_KEPT_BYTES = 256 * 1024;
/** Events that may be executing at once; above this the feed has to wait. */
const MAX_EXECUTING = 500;

export class Projection {
  users = 0;
  readonly #kept = new LRUCache<object, Message>({
    maxSize: MAX_KEPT_BYTES,
    sizeCalculation: ({ json }) => Math.max(1, json.length),
  });
  /** Executions not handed over yet, in the order of their events. */
  #executing: Execution[] = [];
  #last: Execution | undefined;
  #handedOver: Promise<void> = Promise.resolve();

  constructor(
    private readonly schema: GraphQLSchema,
    private readonly operation: Operation,
    private readonly contextValue: ApiContext | undefined,
    private readonly log: Log,
  ) {}

  /** The message of an event; a promise only if a selected field is resolved asynchronously. */
  show(event: object, at: Start | undefined): Message | Promise<Message> {
    const kept = this.#kept.get(event);
    if (kept) return kept;
    const { document, operationName, variables } = this.operation;
    const { schema, contextValue } = this;
    const args = { schema, document, operationName, variableValues: variables, contextValue, rootValue: event };
    const result = execute(args);
    if (result instanceof Promise) return result.then((one) => this.#keep(event, this.#toMessage(one, at)));
    return this.#keep(event, this.#toMessage(result as ExecutionResult, at));
  }

  #keep(event: object, message: Message): Message {
    if (this.users < 2 || message.at === undefined || this.#kept.has(event)) return message;
    this.#kept.set(event, message);
    return message;
  }

  /**
   * Gives the recipient the event’s message, in the order of the events. A returned promise is back-pressure: post no
   * more before it resolves.
   */
  post(event: object, at: Start, recipient: Recipient): Promise<void> | undefined {
    if (this.#last?.event !== event) this.#last = this.#execute(event, at);
    const { done, recipients } = this.#last;
    if (this.#executing.length === 0 && !(done instanceof Promise)) return recipient.receive(done);
    recipients.push(recipient);
    return this.#executing.length > MAX_EXECUTING ? this.#handedOver : undefined;
  }

  #execute(event: object, at: Start): Execution {
    const execution: Execution = { event, done: this.show(event, at), recipients: [] };
    if (this.#executing.length > 0 || execution.done instanceof Promise) {
      this.#executing.push(execution);
      this.#handedOver = this.#handedOver.then(() => this.#handOver(execution));
    }
    return execution;
  }

  async #handOver(execution: Execution): Promise<void> {
    try {
      const message = await execution.done;
      execution.done = message;
      await Promise.all(execution.recipients.map((recipient) => recipient.receive(message)));
    } catch (error) {
      for (const recipient of execution.recipients) recipient.fail(error);
    } finally {
      this.#executing.shift();
    }
  }

  #toMessage({ data, errors }: ExecutionResult, at: Start | undefined): Message {
    const shown = errors?.map((error) => maskError(error.toJSON(), error, this.log));
    return { json: Buffer.from(JSON.stringify(shown ? { errors: shown, data } : { data })), at };
  }
}

interface Ports {
  readonly schema: GraphQLSchema;
  readonly documents: Documents;
  readonly contextOf: (caller: Caller) => ApiContext;
  readonly log: Log;
}

export class Projections {
  readonly #shared = new Map<string, Projection>();

  constructor(private readonly ports: Ports) {}

  /** The projection shared by all operations that show the same; `release` gives it back. */
  take(operation: Operation, caller: Caller): { readonly projection: Projection; release(): void } {
    const { schema, documents, contextOf, log } = this.ports;
    const { key: shape, dependsOnCaller } = documents.shapeOf(operation);
    const key = dependsOnCaller ? `${rightsOf(caller)} ${shape}` : shape;
    // If no selected field reads the context, the result cannot depend on the caller: the execution gets no context at
    // all.
    const projection =
      this.#shared.get(key) ?? new Projection(schema, operation, dependsOnCaller ? contextOf(caller) : undefined, log);
    this.#shared.set(key, projection);
    projection.users += 1;
    const release = once(() => {
      projection.users -= 1;
      if (projection.users === 0) this.#shared.delete(key);
    });
    return { projection, release };
  }
}
