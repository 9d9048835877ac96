// The queue of messages that wait to be written to one client. It is bounded; it is written as fast as the client takes
// the data: each message at once while there is time, several messages in one write under load.
//
// The modes of a send buffer, and of the writer. There is no mode "closed": the channel
// shows that.
//
// - Buffer, empty: nothing waits. put queues the message and enrols the send buffer with the writer -> dirty.
// - Dirty (#isDirty): waits for its turn; further messages are only queued. The writer's flush writes until nothing
//   waits -> empty, or until 64 KiB are unsent -> blocked.
// - Blocked (#isBlocked): messages are only queued. When the channel has sent everything, flush goes on -> empty or
//   blocked again. After 30 s (and more for a large message) the client is given up.
// - Full (1 MiB or 5000 messages wait): put flushes first unless blocked; if that does not help, the client is
//   given up.
// - Given up: what waits is discarded, onOverflow is called, and the owner ends the connection. clear (also flush
//   on a closed channel) discards and unblocks; finish writes everything regardless, as the last thing.
// - Writer: idle -> busy with the first enrolled send buffer. A pass flushes 100 send buffers per turn of the event
//   loop; after a pass over more than 250 it pauses for 5 ms, so that messages share writes. With nothing enrolled
//   -> idle.
import type { Clock } from '../common/clock.ts';
import type { Log } from '../common/log.ts';
import type { Start } from '../model/events/cursor.ts';

/** Where a buffer writes to: a WebSocket or the response of an event stream. */
export interface Channel {
  readonly isOpen: boolean;
  /** Bytes written to the channel that the operating system has not taken yet; infinite until a client opens it. */
  readonly unsent: number;
  /** Size of the header before a message of `length` bytes: a WebSocket's frame header; an event stream has none. */
  headSize(length: number): number;
  writeHead(into: Buffer, at: number, length: number): void;
  write(data: Buffer): void;
  /** Calls `then` once, when all written bytes have been sent. */
  onceSent(then: () => void): void;
}

/** Where one subscription may resume; set when its message is written to the channel, not when the message is put. */
export interface Progress {
  at?: Start;
}

interface Waiting {
  readonly parts: readonly Buffer[];
  readonly length: number;
  readonly at: Start | undefined;
  readonly progress: Progress | undefined;
}

/**
 * Limits on what waits for one client, beside the bytes already written to its channel. A single larger message is let
 * through when nothing else waits.
 */
const MAX_WAITING_BYTES = 1024 * 1024;
const MAX_WAITING = 5000;
/**
 * A client that has not taken all written bytes after this time, plus the time MIN_BYTES_PER_MS allows, is given up.
 */
const MAX_BLOCKED_MS = 30_000;
/** The slowest rate at which a client may take the written bytes, so that a large message gets more time. */
const MIN_BYTES_PER_MS = 10;
/** Largest write of several messages; no further write is made while this many bytes are unsent. */
const MAX_WRITE_BYTES = 64 * 1024;
/** Written messages that may stay at the front of the list before they are cut off. */
const MAX_WRITTEN = 500;
/** Back-pressure begins at this many waiting bytes: from here on `room` and `turn` may return a promise. */
const ROOM_BYTES = 64 * 1024;

export class SendBuffer {
  #waiting: Waiting[] = [];
  #next = 0;
  #bytes = 0;
  #isBlocked = false;
  #isDirty = false;
  #unblock: () => void = () => {};
  #roomFor: (() => void)[] = [];
  #turn: Promise<void> | undefined;
  #takeTurn: () => void = () => {};

  constructor(
    private readonly channel: Channel,
    private readonly writer: Writer,
    /** The client is too slow; its waiting messages have been discarded. The owner closes the channel. */
    private readonly onOverflow: () => void,
  ) {}

  /** Queues one message. Its parts are copied only when it is written; then `progress.at` becomes `at`. */
  put(parts: readonly Buffer[], at?: Start, progress?: Progress): void {
    if (!this.channel.isOpen) return;
    let length = 0;
    for (const part of parts) length += part.length;
    // Many messages may come in one turn of the event loop. A full buffer is the client's fault only if a flush does
    // not help.
    if (this.#isFullWith(length) && !this.#isBlocked) this.flush();
    if (this.#isFullWith(length)) {
      this.#giveUp();
      return;
    }
    this.#waiting.push({ parts, length, at, progress });
    this.#bytes += length;
    if (this.#isDirty || this.#isBlocked) return;
    this.#isDirty = true;
    this.writer.add(this);
  }

  #isFullWith(length: number): boolean {
    const isFull = this.#bytes + length > MAX_WAITING_BYTES || this.#waiting.length - this.#next >= MAX_WAITING;
    return isFull && this.#bytes > 0;
  }

  /** Resolves when fewer than ROOM_BYTES wait; undefined if fewer wait already, or the channel is closed. */
  room(): Promise<void> | undefined {
    if (this.#bytes < ROOM_BYTES || !this.channel.isOpen) return undefined;
    return new Promise((resolve) => this.#roomFor.push(resolve));
  }

  /**
   * Resolves at the next flush; undefined if little waits, or if the client is the slow one: others need not wait for
   * it.
   */
  turn(): Promise<void> | undefined {
    if (!this.#isDirty || this.#bytes < ROOM_BYTES) return undefined;
    this.#turn ??= new Promise((resolve) => {
      this.#takeTurn = resolve;
    });
    return this.#turn;
  }

  clear(): void {
    this.#unblock();
    this.#waiting = [];
    this.#next = 0;
    this.#bytes = 0;
    this.#tellRoom();
  }

  /** Writes messages until nothing waits or MAX_WRITE_BYTES are unsent. */
  flush(): void {
    this.#isDirty = false;
    this.#takeTurn();
    this.#turn = undefined;
    while (this.#next < this.#waiting.length) {
      if (!this.channel.isOpen) {
        this.clear();
        return;
      }
      if (this.channel.unsent >= MAX_WRITE_BYTES) {
        this.#block();
        break;
      }
      this.channel.write(this.#take());
    }
    if (this.#next === this.#waiting.length || this.#next > MAX_WRITTEN) {
      this.#waiting.splice(0, this.#next);
      this.#next = 0;
    }
    if (this.#bytes < ROOM_BYTES) this.#tellRoom();
  }

  /** Writes everything that waits, regardless of back-pressure. Call it last, before the channel is closed. */
  finish(): void {
    while (this.channel.isOpen && this.#next < this.#waiting.length) this.channel.write(this.#take());
    this.clear();
  }

  /** Stops writing until the unsent bytes have been sent; gives the client up if that takes too long. */
  #block(): void {
    this.#isBlocked = true;
    const { unsent } = this.channel;
    // A channel that no client has opened yet takes nothing; its owner bounds how long it may stay unopened.
    const isOpened = Number.isFinite(unsent);
    const patienceMs = MAX_BLOCKED_MS + unsent / MIN_BYTES_PER_MS;
    const callOff = isOpened ? this.writer.clock.after(patienceMs, () => this.#giveUp()) : () => {};
    this.#unblock = () => {
      callOff();
      this.#isBlocked = false;
      this.#unblock = () => {};
    };
    this.channel.onceSent(() => {
      this.#unblock();
      this.flush();
    });
  }

  #giveUp(): void {
    this.clear();
    if (this.channel.isOpen) this.onOverflow();
  }

  /** Merges the next waiting messages into one buffer of about MAX_WRITE_BYTES, but of at least one message. */
  #take(): Buffer {
    const first = this.#next;
    let size = 0;
    for (; this.#next < this.#waiting.length; this.#next += 1) {
      const { length = 0, at, progress } = this.#waiting[this.#next] ?? {};
      if (size > 0 && size + length > MAX_WRITE_BYTES) break;
      size += this.channel.headSize(length) + length;
      this.#bytes -= length;
      if (progress && at) progress.at = at;
    }
    const data = Buffer.allocUnsafe(size);
    let offset = 0;
    for (let index = first; index < this.#next; index += 1) {
      const { parts = [], length = 0 } = this.#waiting[index] ?? {};
      this.channel.writeHead(data, offset, length);
      offset += this.channel.headSize(length);
      for (const part of parts) offset += part.copy(data, offset);
    }
    return data;
  }

  #tellRoom(): void {
    for (const tell of this.#roomFor.splice(0)) tell();
  }
}

/** Send buffers flushed in one turn of the event loop, so that a broadcast to many does not delay everything else. */
const SLICE = 100;
/**
 * After a pass over more buffers than this, the writer pauses: messages that come meanwhile share one write, which
 * costs much less than one write each.
 */
const BUSY = 250;
const PAUSE_MS = 5;

/**
 * Flushes the buffers that have waiting messages, pass by pass. A message put before its buffer is flushed goes out
 * with that flush.
 */
export class Writer {
  #waiting: SendBuffer[] = [];
  #isBusy = false;

  constructor(
    readonly clock: Clock,
    private readonly log: Log,
  ) {}

  add(buffer: SendBuffer): void {
    this.#waiting.push(buffer);
    if (!this.#isBusy) this.#next();
  }

  #pass(buffers: readonly SendBuffer[], from: number): void {
    for (const buffer of buffers.slice(from, from + SLICE)) this.#flush(buffer);
    if (from + SLICE < buffers.length) {
      setImmediate(() => this.#pass(buffers, from + SLICE));
    } else if (buffers.length > BUSY) {
      this.clock.after(PAUSE_MS, () => this.#next());
    } else {
      this.#next();
    }
  }

  /** A failing connection must not keep the others from being written. */
  #flush(buffer: SendBuffer): void {
    try {
      buffer.flush();
    } catch (error) {
      this.log.error({ error }, 'a client could not be written to');
    }
  }

  #next(): void {
    this.#isBusy = this.#waiting.length > 0;
    if (this.#isBusy) setImmediate(() => this.#pass(this.#waiting.splice(0), 0));
  }
}
