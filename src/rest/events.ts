// GET /events: the event log as Server-Sent Events. The id of each is its cursor, so that a browser's EventSource (or
// any client that sends Last-Event-ID) resumes without a gap.
import type { OutgoingHttpHeaders } from 'node:http';
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify';
import type { Clock } from '../common/clock.ts';
import type { Log } from '../common/log.ts';
import type { Metrics } from '../common/metrics.ts';
import { present } from '../common/present.ts';
import type { Feed, Following } from '../event-log/feed.ts';
import { NoCursor, resumeAt } from '../event-log/resume.ts';
import { type Problem, ProblemError } from '../http/problem.ts';
import type { Caller } from '../model/access/caller.ts';
import { eventInterest } from '../model/access/caller-interest.ts';
import { type Start, toCursor } from '../model/events/cursor.ts';
import type { LogEvent } from '../model/events/event.ts';
import { eventBody } from '../model/events/event-body.ts';
import type { Interest } from '../model/events/interest.ts';
import { CursorExpired, type Entry } from '../storage/events/event-log.repository.ts';
import type { CallerQuota } from '../streams/caller-quota.ts';
import { onExpiry } from '../streams/expiry.ts';
import { Outbox, type Writer } from '../streams/outbox.ts';
import {
  COMMENT,
  EVENT_STREAM_HEADERS,
  KEEP_ALIVE_MS,
  MAX_CLOSING_MS,
  ResponseChannel,
} from '../streams/response-channel.ts';
import { eventsQuery } from './schemas.ts';

export interface EventPorts {
  readonly feed: Feed;
  readonly quota: CallerQuota;
  readonly writer: Writer;
  readonly isKeyGood: (apiKeyId: string) => Promise<boolean>;
  readonly clock: Clock;
  readonly log: Log;
  readonly metrics: Metrics;
}

interface Query {
  readonly kind?: ('RESERVATION' | 'CONNECTOR')[];
  readonly siteId?: string;
  readonly chargerId?: string;
  readonly connectorId?: number;
  readonly reservationId?: string;
  readonly idTag?: string;
  readonly after?: string;
}

export function addEvents(
  scope: FastifyInstance,
  ports: EventPorts,
  admit: (request: FastifyRequest) => Promise<Caller>,
): { close(): Promise<void> } {
  const streams = new Set<Stream>();
  let isClosing = false;
  scope.get<{ Querystring: Query }>(
    '/events',
    {
      schema: {
        ...{ tags: ['Events'], security: [{ bearer: [] }], operationId: 'events', summary: 'Watch events' },
        description:
          'The events that match and that the caller may see, as Server-Sent Events: `id` is the cursor, `event` the kind, `data` the event as JSON. A client that comes back sends the last id as Last-Event-ID and misses nothing.',
        querystring: eventsQuery,
        response: {
          200: {
            description: 'A stream that does not end.',
            content: { 'text/event-stream': { schema: { type: 'string' } } },
          },
        },
      },
    },
    async (request, reply) => {
      const caller = await admit(request);
      const { kind, after, reservationId, ...rest } = request.query;
      const filter = { ...rest, ...present({ reservationId: reservationId?.toLowerCase() }) };
      const interest = eventInterest(caller, kind ?? ['RESERVATION', 'CONNECTOR'], filter);
      const { 'last-event-id': last } = request.headers;
      const start = await startOf(ports.feed, typeof last === 'string' && last !== '' ? last : after);
      if (isClosing) throw new ProblemError(stopping);
      const refused = ports.quota.connect(caller);
      if (refused) throw new ProblemError({ status: 429, code: 'TOO_MANY_STREAMS', detail: `${refused}.` });
      const stream = new Stream(ports, caller, () => {
        ports.quota.disconnect(caller);
        streams.delete(stream);
      });
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
  readonly #channel = new ResponseChannel();
  readonly #outbox: Outbox;
  #following: Following | undefined;
  #callOffExpiry: () => void;
  #callOffKeepAlive: () => void = () => {};
  #isEnded = false;

  constructor(
    private readonly ports: EventPorts,
    caller: Caller,
    private readonly onEnd: () => void,
  ) {
    this.#outbox = new Outbox(this.#channel, ports.writer, () => {
      // A slow client is disconnected; it resumes with the id of the last event it received.
      ports.metrics.slowConsumers.inc();
      void this.close();
    });
    this.#callOffExpiry = onExpiry(ports, caller, () => void this.close());
  }

  open(reply: FastifyReply, interest: Interest, start: Start): void {
    const response = reply.raw;
    if (response.destroyed) {
      this.#end();
      return;
    }
    response.once('close', () => this.#end());
    response.on('error', () => this.#end());
    response.writeHead(200, { ...(reply.getHeaders() as OutgoingHttpHeaders), ...EVENT_STREAM_HEADERS });
    this.#channel.attach(response);
    this.#outbox.put([COMMENT]);
    this.#keepAlive();
    this.#following = this.ports.feed.follow(interest, start, {
      take: (entry, isMissed) => this.#take(entry, isMissed),
      fail: (error) => {
        this.ports.log.warn({ error }, 'a stream of events ended');
        void this.close();
      },
    });
  }

  /** Resolves when the client has taken everything that was written, or after MAX_CLOSING_MS. */
  close(): Promise<void> {
    this.#outbox.finish();
    return this.#channel.end(() => {
      this.#end();
      return this.ports.clock.after(MAX_CLOSING_MS, () => this.#channel.destroy());
    });
  }

  #take({ event }: Entry, isMissed: boolean): Promise<void> | undefined {
    this.#outbox.put([textOf(event)]);
    if (this.#isEnded) return undefined;
    return isMissed ? this.#outbox.room() : this.#outbox.turn();
  }

  #keepAlive(): void {
    this.#callOffKeepAlive = this.ports.clock.after(KEEP_ALIVE_MS, () => {
      this.#keepAlive();
      this.#outbox.put([COMMENT]);
    });
  }

  #end(): void {
    if (this.#isEnded) return;
    this.#isEnded = true;
    this.#callOffExpiry();
    this.#callOffKeepAlive();
    this.#following?.stop();
    this.#outbox.clear();
    this.onEnd();
  }
}
