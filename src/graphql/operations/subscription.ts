// One subscription of one client: the present state if it asked for it, then what it missed, then what comes. It must not
// know the protocol that carries its messages.
import { createSourceEventStream, GraphQLError, type GraphQLSchema } from 'graphql';
import type { Feed, Following } from '../../event-log/feed.ts';
import { NoCursor, resumeAt } from '../../event-log/resume.ts';
import type { Caller } from '../../model/access/caller.ts';
import { type Cursor, isBehind, type Position, type Start, toCursor } from '../../model/events/cursor.ts';
import { CursorExpired, type Entry } from '../../storage/events/event-log.repository.ts';
import type { ApiContext } from './context.ts';
import type { Operation } from './documents.ts';
import { badInput } from './errors.ts';
import { EventSource } from './event-source.ts';
import type { Message, Projections } from './projection.ts';

/** Where the messages go. */
export interface Sink {
  send(message: Message): void;
  /** Resolves when the client has taken most of what was sent; undefined: it has. */
  room(): Promise<void> | undefined;
  /** Resolves when what was sent has had its chance to be written; undefined: there is little of it. */
  turn(): Promise<void> | undefined;
  /** Nothing more comes. */
  fail(error: unknown): void;
}

export interface SubscriptionPorts {
  readonly schema: GraphQLSchema;
  readonly feed: Feed;
  readonly projections: Projections;
  readonly contextOf: (caller: Caller) => ApiContext;
}

export class Subscription {
  #leg: Leg | undefined;
  #isEnded = false;

  private constructor(
    private readonly ports: SubscriptionPorts,
    private readonly operation: Operation,
    private readonly sink: Sink,
  ) {}

  /** The errors are those of the request: it never began. */
  static async open(
    ports: SubscriptionPorts,
    operation: Operation,
    caller: Caller,
    sink: Sink,
  ): Promise<Subscription | readonly GraphQLError[]> {
    const source = await sourceOf(ports, operation, caller);
    if (!(source instanceof EventSource)) return source;
    try {
      const { start, present } = await beginning(ports.feed, source);
      const subscription = new Subscription(ports, operation, sink);
      subscription.#begin(source, caller, start, present);
      return subscription;
    } catch (error) {
      return [error instanceof GraphQLError ? error : new GraphQLError('', { originalError: error as Error })];
    }
  }

  /** From the next event on with the rights of `caller`; none is missed or doubled. */
  async renew(caller: Caller): Promise<void> {
    const source = await sourceOf(this.ports, this.operation, caller);
    // A present state that was read is told to its end.
    await this.#leg?.presented;
    if (this.#isEnded || !this.#leg) return;
    const at = this.#leg.resumeAt;
    this.#leg.stop();
    if (source instanceof EventSource) this.#begin(source, caller, at, []);
    else this.#fail(source[0]);
  }

  stop(): void {
    this.#isEnded = true;
    this.#leg?.stop();
  }

  #begin(source: EventSource, caller: Caller, start: Start, present: readonly object[]): void {
    const leg = new Leg(this.ports, this.operation, caller, this.sink, start, (error) => this.#fail(error));
    this.#leg = leg;
    leg.run(source, present);
  }

  #fail(error: unknown): void {
    if (this.#isEnded) return;
    this.stop();
    this.sink.fail(error instanceof CursorExpired ? cursorExpired(error.horizon) : error);
  }
}

/** A subscription under one caller’s rights. */
class Leg {
  readonly #taken: ReturnType<Projections['take']>;
  /** Resolves when the present state was sent, where it was asked for. */
  presented: Promise<void> = Promise.resolve();
  #following: Following | undefined;
  /** Taken, and not shown yet. */
  #waiting = 0;
  #stopWaiting: () => void = () => {};
  #isEnded = false;

  constructor(
    private readonly ports: SubscriptionPorts,
    operation: Operation,
    caller: Caller,
    private readonly sink: Sink,
    /** Everything up to here was sent. */
    private at: Start,
    private readonly onFailure: (error: unknown) => void,
  ) {
    this.#taken = ports.projections.take(operation, caller);
  }

  /** Where another one may take over. */
  get resumeAt(): Start {
    const reached = this.#waiting === 0 ? this.#following?.reached : undefined;
    return reached && isBehind(reached, this.at.position) ? this.#past(reached) : this.at;
  }

  run({ interest }: EventSource, present: readonly object[]): void {
    this.presented = this.#present(present).then(
      () => {
        if (!this.#isEnded) this.#following = this.ports.feed.follow(interest, this.at, this);
      },
      (error) => this.fail(error),
    );
  }

  async #present(events: readonly object[]): Promise<void> {
    for (const [index, event] of events.entries()) {
      if (this.#isEnded) return;
      // Whoever has not got all of it has to begin anew.
      await this.#show(event, index === events.length - 1 ? this.at : undefined);
    }
  }

  take({ event, position }: Entry, isMissed: boolean): Promise<void> | undefined {
    const at = { position };
    if (isMissed) return this.#show(event, at);
    this.#waiting += 1;
    return this.#taken.projection.post(event, at, this);
  }

  async #show(event: object, at: Start | undefined): Promise<void> {
    const message = this.#taken.projection.show(event, at);
    this.#send(message instanceof Promise ? await message : message);
    const room = this.#isEnded ? undefined : this.sink.room();
    if (!room) return;
    // Whichever comes first: who has gone must not be kept waiting, with all that it would have been shown.
    await new Promise<void>((resolve) => {
      this.#stopWaiting = resolve;
      void room.then(resolve);
    });
  }

  receive(message: Message): Promise<void> | undefined {
    this.#waiting -= 1;
    this.#send(message);
    return this.#isEnded ? undefined : this.sink.turn();
  }

  #send(message: Message): void {
    if (this.#isEnded) return;
    if (message.at) this.at = this.#past(message.at.position);
    this.sink.send(message);
  }

  /** What had committed before it began stays out, until nothing of that can come any more. */
  #past(position: Position): Start {
    const { seen } = this.at;
    return seen && position.xid < seen.end ? { position, seen } : { position };
  }

  fail(error: unknown): void {
    if (!this.#isEnded) this.onFailure(error);
  }

  stop(): void {
    this.#isEnded = true;
    this.#stopWaiting();
    this.#following?.stop();
    this.#taken.release();
  }
}

async function sourceOf(
  { schema, contextOf }: SubscriptionPorts,
  { document, operationName, variables }: Operation,
  caller: Caller,
): Promise<EventSource | readonly GraphQLError[]> {
  const args = { schema, document, operationName, variableValues: variables, contextValue: contextOf(caller) };
  const source = await createSourceEventStream(args);
  if (source instanceof EventSource) return source;
  return 'errors' in source && source.errors ? source.errors : [new GraphQLError('')];
}

/** Throws a GraphQLError where the cursor cannot be resumed from. */
async function beginning(feed: Feed, { from }: EventSource): Promise<{ start: Start; present: readonly object[] }> {
  const { after, present } = from;
  if (after != null && present) throw badInput('snapshot', 'Give either `after` or `snapshot: true`, not both.');
  if (present) {
    const { start, events } = await present();
    return { start, present: events };
  }
  if (after == null) return { start: { position: (await feed.bounds()).end }, present: [] };
  return { start: await resumeFrom(feed, after), present: [] };
}

/** Throws BAD_USER_INPUT where the text is no cursor of this log, CURSOR_EXPIRED where the log begins behind it. */
export async function resumeFrom(feed: Pick<Feed, 'bounds'>, after: Cursor): Promise<Start> {
  try {
    return await resumeAt(feed, after);
  } catch (error) {
    if (error instanceof NoCursor) throw badInput('after', error.message);
    throw error instanceof CursorExpired ? cursorExpired(error.horizon) : error;
  }
}

const cursorExpired = (horizon: Position): GraphQLError =>
  new GraphQLError(
    'after: The event log does not reach back to that cursor any more, so events were missed. Start anew: subscribe with `snapshot: true`, or read the present state and subscribe after `eventCursor`.',
    { extensions: { code: 'CURSOR_EXPIRED', argument: 'after', oldestCursor: toCursor({ position: horizon }) } },
  );
