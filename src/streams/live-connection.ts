// A connection to a client that stays open: a WebSocket, a stream of Server-Sent Events, or REST's stream of events.
// It knows its caller and ends with the caller's credential, counts against the caller's quota, keeps itself alive, and
// owns the buffer and the running operations, which end with it. It must not know the protocol.
//
//   new       the caller is not known yet              -> entered (enter), ended
//   entered   counted for its caller; operations run   -> entered (renew: another credential), ended
//   ended     nothing is written or counted, and no operation runs
import type { Clock } from '../common/clock.ts';
import type { Log } from '../common/log.ts';
import type { Metrics } from '../common/metrics.ts';
import type { Caller } from '../model/access/caller.ts';
import type { CallerQuota } from './caller-quota.ts';
import { onExpiry } from './expiry.ts';
import { type Channel, type Progress, SendBuffer, type Writer } from './send-buffer.ts';

export interface LivePorts {
  readonly quota: CallerQuota;
  readonly writer: Writer;
  readonly metrics: Metrics;
  /** Whether the API key is still valid. */
  readonly isKeyGood: (apiKeyId: string) => Promise<boolean>;
  readonly clock: Clock;
  readonly log: Log;
}

/** Called by the connection; each protocol (WebSocket, Server-Sent Events, REST) implements it. */
export interface Protocol {
  /** Every KEEP_ALIVE_MS: shows the client that the connection lives, or ends one whose client is gone. */
  keepAlive(): void;
  /** The credential has expired or was revoked: closes, with the reason if the protocol can send one. */
  expire(caller: Caller): void;
  /** The client is too slow, and its waiting messages are discarded: closes, with the reason if possible. */
  overflow(): void;
  /** The connection has ended. */
  ended?(): void;
}

/** Proxies commonly close a connection over which nothing passed for 15 to 60 seconds. */
export const KEEP_ALIVE_MS = 12_000;
/** How long a client may take to receive the last bytes before its connection is cut. */
export const MAX_CLOSING_MS = 5000;

/** A running subscription, as a connection uses it. */
export interface OpenSubscription {
  stop(): void;
  /** Continues with the rights of another credential of the same subject. */
  renew(caller: Caller): Promise<void>;
}

/** An operation of a connection; `subscription` is set once a subscription has started. */
export interface Running {
  readonly progress: Progress;
  /** Aborted when nobody waits for the query or mutation any longer. */
  readonly leaving: AbortController;
  subscription?: OpenSubscription;
}

export class LiveConnection {
  readonly buffer: SendBuffer;
  /** Operations by their ids; a stream that carries only one operation has it under the id undefined. */
  readonly #operations = new Map<string | undefined, Running>();
  #caller: Caller | undefined;
  #isEnded = false;
  #callOffExpiry: () => void = () => {};
  #callOffKeepAlive: () => void = () => {};

  constructor(
    private readonly ports: LivePorts,
    channel: Channel,
    private readonly protocol: Protocol,
  ) {
    this.buffer = new SendBuffer(channel, ports.writer, () => {
      ports.metrics.slowConsumers.inc();
      protocol.overflow();
    });
  }

  /** Undefined until a caller has entered. */
  get caller(): Caller | undefined {
    return this.#caller;
  }

  get isEnded(): boolean {
    return this.#isEnded;
  }

  /**
   * Counts the connection for the caller until it ends; returns a message if the caller already has as many as it may.
   */
  enter(caller: Caller): string | undefined {
    const refused = this.ports.quota.connect(caller);
    if (refused) return refused;
    this.#caller = caller;
    this.#waitForExpiry(caller);
    return undefined;
  }

  /**
   * Gives the connection and its subscriptions the rights and the lifetime of another credential of the same subject.
   */
  async renew(caller: Caller): Promise<void> {
    if (this.#isEnded || caller === this.#caller) return;
    this.#caller = caller;
    this.#waitForExpiry(caller);
    await Promise.all([...this.#operations.values()].map(({ subscription }) => subscription?.renew(caller)));
  }

  #waitForExpiry(caller: Caller): void {
    this.#callOffExpiry();
    this.#callOffExpiry = onExpiry(this.ports, caller, () => this.protocol.expire(caller));
  }

  startKeepAlive(): void {
    this.#callOffKeepAlive = this.ports.clock.after(KEEP_ALIVE_MS, () => {
      this.startKeepAlive();
      this.protocol.keepAlive(); // Last, because an overflow ends the connection and its timer.
    });
  }

  has(id: string | undefined): boolean {
    return this.#operations.has(id);
  }

  begin(id: string | undefined): Running {
    const running: Running = { progress: {}, leaving: new AbortController() };
    this.#operations.set(id, running);
    return running;
  }

  /** Whether the operation still runs: its client may have stopped it and given the id to another operation. */
  isRunning(id: string | undefined, running: Running): boolean {
    return this.#operations.get(id) === running;
  }

  /** Removes an operation that has finished; false if its client had stopped it already. */
  finish(id: string | undefined, running: Running): boolean {
    return this.isRunning(id, running) && this.#operations.delete(id);
  }

  /** Stops an operation that its client has completed. */
  stop(id: string | undefined): void {
    leave(this.#operations.get(id));
    this.#operations.delete(id);
  }

  get operations(): readonly (readonly [string | undefined, Running])[] {
    return [...this.#operations];
  }

  stopAll(): void {
    for (const running of this.#operations.values()) leave(running);
    this.#operations.clear();
  }

  /** Ends everything that belongs to the connection; called again, it does nothing. */
  end(): void {
    if (this.#isEnded) return;
    this.#isEnded = true;
    this.#callOffExpiry();
    this.#callOffKeepAlive();
    this.stopAll();
    this.buffer.clear();
    if (this.#caller) this.ports.quota.disconnect(this.#caller);
    this.protocol.ended?.();
  }
}

function leave(running: Running | undefined): void {
  running?.leaving.abort();
  running?.subscription?.stop();
}
