// What subscribers are shown of each event. Those who ask for the same, with the same rights where these matter, share one
// projection: it executes an event once and serializes the result once, however many are to have it.
import { type ExecutionResult, execute, type GraphQLSchema } from 'graphql';
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
  /** Where whoever has it may resume; of the present state there is no such place before it is complete. */
  readonly at: Start | undefined;
}

export interface Recipient {
  /** A promise where there should be no more before it is kept. */
  receive(message: Message): Promise<void> | undefined;
  fail(error: unknown): void;
}

interface Execution {
  readonly event: object;
  done: Message | Promise<Message>;
  /** Who gets the message once it, and every one before it, is there. */
  readonly recipients: Recipient[];
}

/** Results kept for others who come to the same events a little later, as after a break that many had. */
const MAX_KEPT_BYTES = 256 * 1024;
/** Events that may be executing before the feed has to wait. */
const MAX_EXECUTING = 500;

export class Projection {
  users = 0;
  readonly #kept = new Map<object, Message>();
  #keptBytes = 0;
  /** Those not handed over yet, in the order of their events. */
  #executing: Execution[] = [];
  #last: Execution | undefined;
  #handedOver: Promise<void> = Promise.resolve();

  constructor(
    private readonly schema: GraphQLSchema,
    private readonly operation: Operation,
    private readonly contextValue: ApiContext | undefined,
    private readonly log: Log,
  ) {}

  /** The message of an event; a promise only where a field has to be looked up. */
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
    this.#keptBytes += message.json.length;
    for (const [oldest, { json }] of this.#kept) {
      if (this.#keptBytes <= MAX_KEPT_BYTES) break;
      this.#kept.delete(oldest);
      this.#keptBytes -= json.length;
    }
    return message;
  }

  /** Gives the recipient the event’s message, in the order of the events; a promise where there should be no more before. */
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

  /** The one that shows the same; it is given back with `release`. */
  take(operation: Operation, caller: Caller): { readonly projection: Projection; release(): void } {
    const { schema, documents, contextOf, log } = this.ports;
    const { key: shape, dependsOnCaller } = documents.shapeOf(operation);
    const key = dependsOnCaller ? `${rightsOf(caller)} ${shape}` : shape;
    // A field that is not given the context cannot depend on the caller: there it gets none at all.
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
