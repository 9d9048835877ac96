// One subscription of one client: sends the present state if the client asked for it, then the events it missed, then
// each event as it comes. It must not know the protocol that carries its messages.
//
// A subscription is a sequence of legs, one at a time, each under one caller's rights.
//
// - Opening (open): the resolver gives the interest; the start is the present state, a cursor, or the end of the
//   log. An error here is returned, and there is no subscription.
// - Leg, presenting: sends the present state (or nothing), waiting for room after each message -> following.
// - Leg, following: the feed gives events after at. Missed ones are shown one by one, waiting for room; live ones
//   go through the shared projection, in order, waiting for turn only. at moves with each message that is sent.
// - Leg -> ended by stop: it leaves the feed, and messages still on their way are dropped.
// - renew (new rights): waits until the present state is sent, ends the leg and begins the next at resumeAt,
//   without a present state; what the old leg had taken but not sent is read again. If the new caller may not
//   subscribe, the subscription fails.
// - Ended: by stop (client completed or gone), silently; or by a failure of the feed, a message or a renewal, which
//   the sink gets (CursorExpired as CURSOR_EXPIRED).
import { createSourceEventStream, GraphQLError, type GraphQLSchema } from 'graphql';
import type { Feed, Following } from '../../event-log/feed.ts';
import { NoCursor, resumeAt } from '../../event-log/resume.ts';
import type { Caller } from '../../model/access/caller.ts';
import { type Cursor, isBehind, type Position, type Start, toCursor } from '../../model/events/cursor.ts';
import { CursorExpired, type Entry } from '../../storage/events/event-log.repository.ts';
import type { ApiContext } from './context.ts';
import type { Operation } from './documents.ts';
import { badInput } from './errors.ts';
import type { Message, Projections } from './projection.ts';
import { Watch } from './watch.ts';

/** Where the messages of a subscription go: the client's connection. */
export interface Sink {
  send(message: Message): void;
  /**
   * Back-pressure on missed events: resolves when the client has taken most of what was sent; undefined if it already
   * has.
   */
  room(): Promise<void> | undefined;
  /**
   * Back-pressure on live events: resolves when the connection has had its turn to be written; undefined if little
   * waits, or the client itself is slow.
   */
  turn(): Promise<void> | undefined;
  /** The subscription has failed; no message follows. */
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

  /** Returns the errors of a request for which the subscription could not start. */
  static async open(
    ports: SubscriptionPorts,
    operation: Operation,
    caller: Caller,
    sink: Sink,
  ): Promise<Subscription | readonly GraphQLError[]> {
    const source = await sourceOf(ports, operation, caller);
    if (!(source instanceof Watch)) return source;
    try {
      const { start, present } = await beginning(ports.feed, source);
      const subscription = new Subscription(ports, operation, sink);
      subscription.#begin(source, caller, start, present);
      return subscription;
    } catch (error) {
      return [error instanceof GraphQLError ? error : new GraphQLError('', { originalError: error as Error })];
    }
  }

  /** From the next event on, messages are made with the rights of `caller`; no event is missed or sent twice. */
  async renew(caller: Caller): Promise<void> {
    const source = await sourceOf(this.ports, this.operation, caller);
    // A snapshot can be resumed only after its last message, so the whole of it is sent before the rights change.
    await this.#leg?.presented;
    if (this.#isEnded || !this.#leg) return;
    const at = this.#leg.resumeAt;
    this.#leg.stop();
    if (source instanceof Watch) this.#begin(source, caller, at, []);
    else this.#fail(source[0]);
  }

  stop(): void {
    this.#isEnded = true;
    this.#leg?.stop();
  }

  #begin(source: Watch, caller: Caller, start: Start, present: readonly object[]): void {
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

/** The part of a subscription that runs under one caller’s rights; `renew` begins the next. */
class Leg {
  readonly #taken: ReturnType<Projections['take']>;
  /** Resolves when the present state, if the client asked for it, has been sent. */
  presented: Promise<void> = Promise.resolve();
  #following: Following | undefined;
  /** Live events taken whose messages have not come back from the projection. */
  #waiting = 0;
  #stopWaiting: () => void = () => {};
  #isEnded = false;

  constructor(
    private readonly ports: SubscriptionPorts,
    operation: Operation,
    caller: Caller,
    private readonly sink: Sink,
    /** Every message up to this position was sent. */
    private at: Start,
    private readonly onFailure: (error: unknown) => void,
  ) {
    this.#taken = ports.projections.take(operation, caller);
  }

  /** The position from which the next leg may continue. */
  get resumeAt(): Start {
    const reached = this.#waiting === 0 ? this.#following?.reached : undefined;
    return reached && isBehind(reached, this.at.position) ? this.#past(reached) : this.at;
  }

  run({ interest }: Watch, present: readonly object[]): void {
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
      // Only the last message has a cursor: a client that did not get all of the present state has to start again.
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
    // Whichever comes first, room or `stop`: a stopped leg must not wait for room, which would keep its missed events
    // in memory.
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

  /** Keeps filtering events that the snapshot already contained, until the position has passed the snapshot's end. */
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
): Promise<Watch | readonly GraphQLError[]> {
  const args = { schema, document, operationName, variableValues: variables, contextValue: contextOf(caller) };
  const source = await createSourceEventStream(args);
  if (source instanceof Watch) return source;
  return 'errors' in source && source.errors ? source.errors : [new GraphQLError('')];
}

/**
 * Where the subscription starts, and the present state if it asked for that. Throws a GraphQLError if it cannot resume
 * from the cursor.
 */
async function beginning(feed: Feed, { from }: Watch): Promise<{ start: Start; present: readonly object[] }> {
  const { after, present } = from;
  if (after != null && present) throw badInput('snapshot', 'Give either `after` or `snapshot: true`, not both.');
  if (present) {
    const { start, events } = await present();
    return { start, present: events };
  }
  if (after == null) return { start: { position: (await feed.bounds()).end }, present: [] };
  return { start: await resumeFrom(feed, after), present: [] };
}

/** Throws BAD_USER_INPUT if the text is no cursor of this log, CURSOR_EXPIRED if events after it have been deleted. */
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
    'after: The event log no longer reaches back to that cursor, so events were missed. Start again: subscribe with `snapshot: true`, or read `eventCursor`, then the present state, and subscribe after that cursor.',
    { extensions: { code: 'CURSOR_EXPIRED', argument: 'after', oldestCursor: toCursor({ position: horizon }) } },
  );
