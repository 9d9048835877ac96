// Delivers the event log to one webhook for as long as its lease is held: each event at least once, those of one
// reservation or connector in order, starting at the position in the webhook's row. It must not know how a process gets
// its webhooks.
//
// A courier is created when this process has leased the webhook, and ends for good; the next lease gets a new
// courier.
// - idle: everything readable was delivered. wake starts work.
// - working: after the previous courier of the webhook has stopped, reads a page of the log and delivers it, again
//   and again, until a page ends the log and no wake came meanwhile (idle), a message fails or an error happens
//   (resting), or it ends.
// - resting: after a failed message for 5 s, doubling up to 1 h (longer if the receiver's Retry-After says so);
//   after an error on our side for 5 s. A wake is only remembered; the timer returns it to working.
// - stopped: by stop, or by the courier itself through onOver, which makes delivery.ts stop it and release the
//   lease: the lease is lost or too short for one more message, the webhook was changed, or it was paused (410, a
//   day without success, or the log trimmed beyond its position). stop waits for messages under way. Besides, the
//   webhook is failing (failingSince) from a failed message until a page is delivered whole; a partial success
//   sets failingSince anew. A failing webhook gets one message at a time, any other up to eight.

import pLimit, { type LimitFunction } from 'p-limit';
import { addMs, type Clock } from '../common/clock.ts';
import type { Log } from '../common/log.ts';
import type { Metrics } from '../common/metrics.ts';
import type { Position } from '../model/events/cursor.ts';
import { type Interest, isOfInterest } from '../model/events/interest.ts';
import {
  type DeliveredEvent,
  GIVE_UP_MS,
  messageBody,
  messageId,
  messageType,
  orderKey,
  pauseMs,
  signedHeaders,
  type Webhook,
} from '../model/events/webhook.ts';
import { CursorExpired, type Entry, type EventLog } from '../storage/events/event-log.repository.ts';
import type { Failure, WebhookRepository } from '../storage/events/webhook.repository.ts';
import { NotDelivered, type Target, TIMEOUT_MS } from './target.ts';

export interface CourierPorts {
  readonly webhooks: WebhookRepository;
  readonly events: EventLog;
  readonly target: Target;
  readonly secretKey: string;
  readonly clock: Clock;
  readonly log: Log;
  readonly metrics: Metrics;
  /** Returns a number from 0 to 1. */
  readonly random: () => number;
}

const PAGE = 100;
/**
 * Limits of concurrent messages: of the process, and to the webhooks of one creator, so that slow receivers hold up
 * nobody else's messages.
 */
const SENDING = { all: 1000, ofMaker: 50 };
/** Concurrent reads of the log. */
const READING = 10;
/** Concurrent messages to one webhook; a failing one gets one at a time. */
const AT_ONCE = 8;
/** Shortest time between two stores of a position that has passed only unwanted events. */
const STORE_MS = 60_000;
/** Pause after an error on our side. */
const RETRY_MS = 5000;
const GONE = 410;

/** The concurrency limits that all couriers of a process share. */
export class Lanes {
  readonly read = pLimit(READING);
  readonly #ofAll = pLimit(SENDING.all);
  readonly #ofMakers = new Map<string, LimitFunction>();

  send<T>(maker: string, task: () => Promise<T>): Promise<T> {
    const ofMaker = this.#ofMakers.get(maker) ?? pLimit(SENDING.ofMaker);
    this.#ofMakers.set(maker, ofMaker);
    return ofMaker(() => this.#ofAll(task));
  }
}

/** Carries messages to one webhook. */
export class Courier {
  readonly #interest: Interest;
  #position: Position;
  /** The position in the webhook's row. */
  #storedPosition: Position;
  /** Time of a delivery that is not stored yet. */
  #deliveredAt: Date | undefined;
  #failingSince: Date | undefined;
  #attempts: number;
  #storedAt: Date;
  /** Cursors of delivered events that follow an undelivered one, of another reservation or connector. */
  readonly #ahead = new Set<string>();
  #isWoken = false;
  #isResting = false;
  #isStopped = false;
  #working: Promise<void> | undefined;
  #callOff: () => void = () => {};

  constructor(
    private readonly ports: CourierPorts,
    private readonly claim: string,
    /** End of the lease: until then no other process sends. */
    public heldUntil: Date,
    private readonly webhook: Webhook,
    /** Resolves when the previous courier of this webhook has stopped. */
    private readonly isFree: Promise<void>,
    private readonly lanes: Lanes,
    /** Called when this courier must end: its lease is lost or running out, or the webhook was changed or paused. */
    private readonly onOver: () => void,
  ) {
    const { siteIds, position, failingSince, attempts } = webhook;
    this.#interest = { kinds: ['RESERVATION', 'CONNECTOR'], ...(siteIds && { siteIds }) };
    this.#position = position;
    this.#storedPosition = position;
    this.#failingSince = failingSince;
    this.#attempts = attempts;
    this.#storedAt = ports.clock.now();
  }

  isConcernedBy(event: Entry['event']): boolean {
    return isOfInterest(event, this.#interest);
  }

  /** A hint that the log may hold new events. */
  wake(): void {
    this.#isWoken = true;
    if (this.#isResting || this.#isStopped || this.#working) return;
    this.#working = this.#work().finally(() => {
      this.#working = undefined;
      if (this.#isWoken) this.wake();
    });
  }

  async stop(): Promise<void> {
    this.#isStopped = true;
    this.#callOff();
    await this.#working;
  }

  async #work(): Promise<void> {
    try {
      await this.isFree;
      while (this.#isWoken && !this.#isResting && !this.#isStopped) {
        this.#isWoken = false;
        await this.#deliverNext();
      }
    } catch (error) {
      this.ports.log.error(
        { error, webhook: this.webhook.id },
        'an error on our side kept a webhook from being delivered to; trying again',
      );
      this.#isWoken = true;
      this.#rest(RETRY_MS);
    }
  }

  async #deliverNext(): Promise<void> {
    if (this.#isStopped) return;
    try {
      const page = await this.lanes.read(() => this.ports.events.of(this.#interest, this.#position, PAGE));
      if (!page.isEnd) this.#isWoken = true;
      await this.#deliver(page.entries, page.end);
    } catch (error) {
      if (!(error instanceof CursorExpired)) throw error;
      await this.#pause('The event log no longer reaches back to what was delivered last.', 'CURSOR_EXPIRED');
    }
  }

  /** Sends the events of one reservation or connector one after the other, those of different ones concurrently. */
  async #deliver(entries: readonly Entry[], end: Position): Promise<void> {
    const { types } = this.webhook;
    const wanted = entries.filter(
      (entry): entry is Entry & { event: DeliveredEvent } =>
        entry.event.kind !== 'REFUSAL' && (types === undefined || types.includes(messageType(entry.event))),
    );
    const lines = inLines(wanted);
    const failures: Problem[] = [];
    let delivered = 0;
    const carry = async () => {
      for (let line = lines.shift(); line; line = lines.shift()) {
        for (const entry of line) {
          // After a failure no further message is begun: a receiver that is down does not get a hundred of them.
          if (failures.length > 0) return;
          if (this.#ahead.has(entry.event.cursor)) continue;
          const problem = await this.lanes.send(this.webhook.createdBy, () => this.#send(entry.event));
          if (problem === 'not ours') return;
          if (problem) {
            failures.push(problem);
            break;
          }
          delivered += 1;
          this.#ahead.add(entry.event.cursor);
        }
      }
    };
    await Promise.all(Array.from({ length: this.#failingSince ? 1 : AT_ONCE }, carry));
    const missing = wanted.find(({ event }) => !this.#ahead.has(event.cursor));
    if (!missing) return this.#advance(end, delivered > 0);
    const [failure] = failures;
    const reached = before(entries, missing);
    if (this.#isStopped || !failure) {
      if (reached && delivered > 0) await this.#advance(reached, true);
      return this.#isStopped ? undefined : this.onOver();
    }
    // A message was delivered, so earlier failures no longer count.
    if (delivered > 0) {
      this.#failingSince = undefined;
      this.#attempts = 0;
    }
    await this.#fail(failure, reached ?? this.#position);
  }

  /** Whether the lease outlasts one more message, so that the next holder never sends at the same time. */
  get #isOurs(): boolean {
    return !this.#isStopped && addMs(this.ports.clock.now(), TIMEOUT_MS) <= this.heldUntil;
  }

  async #send(event: DeliveredEvent): Promise<Problem | 'not ours' | undefined> {
    if (!this.#isOurs) return 'not ours';
    const { target, secretKey, clock, metrics } = this.ports;
    const body = messageBody(event);
    const headers = signedHeaders(secretKey, this.webhook, messageId(event), body, clock.now());
    try {
      const { status, retryAfterMs } = await target.post(this.webhook.url, headers, body);
      metrics.webhookDeliveries.inc({ result: `${Math.floor(status / 100)}xx` });
      if (status >= 200 && status < 300) return undefined;
      return { error: `It answered ${status}.`, isGone: status === GONE, ...(retryAfterMs && { retryAfterMs }) };
    } catch (error) {
      metrics.webhookDeliveries.inc({ result: 'unreachable' });
      return { error: error instanceof NotDelivered ? error.message : 'It could not be sent.', isGone: false };
    }
  }

  async #advance(end: Position, isDelivered: boolean): Promise<void> {
    const { webhooks, clock } = this.ports;
    const now = clock.now();
    if (isDelivered) this.#deliveredAt = now;
    this.#ahead.clear();
    this.#position = end;
    this.#failingSince = undefined;
    const isNews = this.#deliveredAt !== undefined || this.#attempts > 0;
    if (!isNews && now.getTime() - this.#storedAt.getTime() < STORE_MS) return;
    const isOurs = await webhooks.advance(this.webhook.id, this.claim, this.#storedPosition, end, this.#deliveredAt);
    this.#storedAt = now;
    this.#storedPosition = end;
    this.#deliveredAt = undefined;
    this.#attempts = 0;
    if (!isOurs) this.onOver();
  }

  async #fail({ error, isGone, retryAfterMs = 0 }: Problem, position: Position): Promise<void> {
    const { clock, random, log } = this.ports;
    const now = clock.now();
    this.#failingSince ??= now;
    this.#attempts += 1;
    this.#position = position;
    if (isGone) return this.#pause(error, 'GONE');
    if (now.getTime() - this.#failingSince.getTime() >= GIVE_UP_MS) return this.#pause(error, 'UNREACHABLE');
    const waitMs = Math.max(retryAfterMs, pauseMs(this.#attempts, random()));
    log.warn({ webhook: this.webhook.id, error, attempts: this.#attempts, waitMs }, 'a webhook was not delivered to');
    if (await this.#store(error, addMs(now, waitMs))) this.#rest(waitMs);
  }

  async #pause(error: string, pausedFor: 'GONE' | 'UNREACHABLE' | 'CURSOR_EXPIRED'): Promise<void> {
    this.ports.log.error({ webhook: this.webhook.id, error, pausedFor }, 'a webhook is paused');
    await this.#store(error, this.ports.clock.now(), pausedFor);
    this.onOver();
  }

  async #store(error: string, nextAttemptAt: Date, pausedFor?: Failure['pausedFor']): Promise<boolean> {
    const failingSince = this.#failingSince ?? this.ports.clock.now();
    const failure = { attempts: this.#attempts, failingSince, nextAttemptAt, error, ...(pausedFor && { pausedFor }) };
    const isOurs = await this.ports.webhooks.recordFailure(this.webhook.id, this.claim, this.#position, failure);
    this.#storedPosition = this.#position;
    if (!isOurs) this.onOver();
    return isOurs;
  }

  #rest(ms: number): void {
    this.#isResting = true;
    this.#callOff = this.ports.clock.after(ms, () => {
      this.#isResting = false;
      this.wake();
    });
  }
}

interface Problem {
  readonly error: string;
  readonly isGone: boolean;
  readonly retryAfterMs?: number;
}

function inLines<T extends { readonly event: DeliveredEvent }>(entries: readonly T[]): T[][] {
  const lines = new Map<string, T[]>();
  for (const entry of entries) {
    const key = orderKey(entry.event);
    const line = lines.get(key) ?? [];
    line.push(entry);
    lines.set(key, line);
  }
  return [...lines.values()];
}

/** The position of the entry before `missing`; undefined if there is none. */
function before(entries: readonly Entry[], missing: Entry): Position | undefined {
  return entries[entries.indexOf(missing) - 1]?.position;
}
