// The result of a subscription's resolver: which events, and where they start. It holds no events: the feed reads each
// one once, and it is executed once for all subscriptions that show the same (projection.ts, subscription.ts).
import type { Cursor, Start } from '../../model/events/cursor.ts';
import type { Interest } from '../../model/events/interest.ts';

/** The present state as messages of the subscription, and the position in the log that it corresponds to. */
export interface Present {
  readonly start: Start;
  readonly events: readonly object[];
}

interface From {
  /** Cursor of the last event that the subscriber saw. */
  readonly after?: Cursor | null | undefined;
  /** Reads the present state; absent if the subscriber did not ask for it. */
  readonly present?: (() => Promise<Present>) | undefined;
}

export class Watch implements AsyncIterable<never> {
  constructor(
    readonly interest: Interest,
    readonly from: From,
  ) {}

  /** GraphQL.js requires a source to be iterable; nothing iterates this one. */
  [Symbol.asyncIterator](): never {
    throw new Error('A Watch cannot be iterated: the feed delivers its events');
  }
}
