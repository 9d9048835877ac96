// The events of the REST API: a page of the log, or a stream of Server-Sent Events that a cursor resumes.
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify';
import type { ZodTypeProvider } from 'fastify-type-provider-zod';
import { present } from '../common/present.ts';
import type { Feed } from '../event-log/feed.ts';
import { NoCursor, resumeAt } from '../event-log/resume.ts';
import { type Problem, ProblemError } from '../http/problem.ts';
import type { Caller } from '../model/access/caller.ts';
import { eventInterest } from '../model/access/caller-interest.ts';
import { type Start, toCursor } from '../model/events/cursor.ts';
import type { LogEvent } from '../model/events/event.ts';
import { eventBody } from '../model/events/event-body.ts';
import type { Interest } from '../model/events/interest.ts';
import { CursorExpired, type Entry } from '../storage/events/event-log.repository.ts';
import type { LivePorts } from '../streams/live-connection.ts';
import { COMMENT, LiveResponse } from '../streams/live-response.ts';
import { eventStream, eventsQuery } from './schemas.ts';

export interface EventPorts extends LivePorts {
  readonly feed: Feed;
}

export function addEvents(
  http: FastifyInstance,
  ports: EventPorts,
  admit: (request: FastifyRequest) => Promise<Caller>,
): { close(): Promise<void> } {
  const streams = new Set<Stream>();
  let isClosing = false;
  const scope = http.withTypeProvider<ZodTypeProvider>();
  scope.get(
    '/events',
    {
      schema: {
        tags: ['Events'],
        security: [{ bearer: [] }],
        operationId: 'events',
        summary: 'Watch events',
        description:
          'The events that match and that the caller may see, as Server-Sent Events: `id` is the cursor, `event` the kind, `data` the event as JSON. A client that comes back sends the last id as Last-Event-ID and misses nothing.',
        querystring: eventsQuery,
        response: {
          200: {
            description: 'A stream that does not end.',
            content: { 'text/event-stream': { schema: eventStream } },
          },
        },
      },
    },
    async (request, reply) => {
      const caller = await admit(request);
      const { kind, after, reservationId, ...rest } = request.query;
      const filter = present({ ...rest, reservationId: reservationId?.toLowerCase() });
      const interest = eventInterest(caller, kind ?? ['RESERVATION', 'CONNECTOR'], filter);
      const { 'last-event-id': last } = request.headers;
      const start = await startOf(ports.feed, typeof last === 'string' && last !== '' ? last : after);
      if (isClosing) throw new ProblemError(stopping);
      const stream = new Stream(ports, () => streams.delete(stream));
      const refused = stream.enter(caller);
      if (refused) throw new ProblemError({ status: 429, code: 'TOO_MANY_STREAMS', detail: `${refused}.` });
      streams.add(stream);
      reply.hijack();
      stream.open(reply, interest, start);
      return reply;
    },
  );
  return {
    async close() {
      isClosing = true;
      await Promise.all([...streams].map((stream) => stream.close()));
    },
  };
}

const stopping: Problem = {
  status: 503,
  code: 'SERVICE_UNAVAILABLE',
  detail: 'The server is stopping; reconnect, perhaps to another server.',
  headers: { 'retry-after': '1' },
};

/** Starts at the end of the log, or after the last event that the client saw. */
async function startOf(feed: Feed, after: string | undefined): Promise<Start> {
  if (after === undefined) return { position: (await feed.bounds()).end };
  try {
    return await resumeAt(feed, after);
  } catch (error) {
    if (error instanceof NoCursor)
      throw new ProblemError({ status: 400, code: 'INVALID_INPUT', detail: `after: ${error.message}`, field: 'after' });
    if (!(error instanceof CursorExpired)) throw error;
    const oldestCursor = toCursor({ position: error.horizon });
    const detail =
      'The event log no longer reaches back to that cursor, so events were missed. Read the current state and start again, or continue from oldestCursor.';
    throw new ProblemError({ status: 410, code: 'CURSOR_EXPIRED', detail, oldestCursor });
  }
}

/** Each event is serialized once, for all streams that send it. */
const written = new WeakMap<LogEvent, Buffer>();

function textOf(event: LogEvent): Buffer {
  const known = written.get(event);
  if (known || event.kind === 'REFUSAL') return known ?? COMMENT;
  const text = `id: ${event.cursor}\nevent: ${event.kind}\ndata: ${JSON.stringify(eventBody(event))}\n\n`;
  const buffer = Buffer.from(text);
  written.set(event, buffer);
  return buffer;
}

class Stream {
  readonly #live: LiveResponse;

  constructor(
    private readonly ports: EventPorts,
    onEnd: () => void,
  ) {
    // A slow client is disconnected; it resumes with the id of the last event it received.
    const close = () => void this.close();
    this.#live = new LiveResponse(ports, { expire: close, overflow: close, ended: onEnd });
  }

  /** Counts the stream for the caller; returns a message if the caller already has as many as it may. */
  enter(caller: Caller): string | undefined {
    return this.#live.enter(caller);
  }

  open(reply: FastifyReply, interest: Interest, start: Start): void {
    if (!this.#live.attach(reply)) return;
    const running = this.#live.begin(undefined);
    const following = this.ports.feed.follow(interest, start, {
      take: (entry, isMissed) => this.#take(entry, isMissed),
      fail: (error) => {
        this.ports.log.warn({ error }, 'a stream of events ended');
        void this.close();
      },
    });
    // A stream has one credential: a request with another one opens another stream.
    running.subscription = { stop: following.stop, renew: async () => {} };
  }

  close(): Promise<void> {
    return this.#live.close();
  }

  #take({ event }: Entry, isMissed: boolean): Promise<void> | undefined {
    const { buffer } = this.#live;
    buffer.put([textOf(event)]);
    if (this.#live.isEnded) return undefined;
    return isMissed ? buffer.room() : buffer.turn();
  }
}
