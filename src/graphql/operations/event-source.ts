// What the resolver of a subscription answers with: which events, and from where on. It holds no events itself: they are
// read, executed and written once for all who are to have them (projection.ts, subscription.ts).
import type { Cursor, Start } from '../../model/events/cursor.ts';
import type { Interest } from '../../model/events/interest.ts';

/** The present state as messages of the subscription, and where the log stood then. */
export interface Present {
  readonly start: Start;
  readonly events: readonly object[];
}

interface From {
  /** The last event the subscriber saw. */
  readonly after?: Cursor | null | undefined;
  /** Reads the present state, where the subscriber asked for it first. */
  readonly present?: (() => Promise<Present>) | undefined;
}

export class EventSource implements AsyncIterable<never> {
  constructor(
    readonly interest: Interest,
    readonly from: From,
  ) {}

  /** GraphQL.js asks that a source be iterable; nobody iterates this one. */
  [Symbol.asyncIterator](): never {
    throw new Error('The events of a subscription are handed out by the feed');
  }
}
