// What waits to be written to one client. It is bounded, and it is written as fast as the client takes it: at once while
// there is time, several messages in one write as soon as there is not.
import type { Clock } from '../common/clock.ts';
import type { Log } from '../common/log.ts';
import type { Start } from '../model/events/cursor.ts';

/** Where the bytes go: a WebSocket or the response of an event stream. */
export interface Channel {
  readonly isOpen: boolean;
  /** Bytes that were written and that the system has not taken yet. */
  readonly unsent: number;
  /** Bytes that go before each message of that length: the head of a WebSocket's frame. */
  headSize(length: number): number;
  writeHead(into: Buffer, at: number, length: number): void;
  write(data: Buffer): void;
  /** Calls once when what was written is sent. */
  onceSent(then: () => void): void;
}

/** Where one subscription may resume, by what was written of it. */
export interface Progress {
  at?: Start;
}

interface Waiting {
  readonly parts: readonly Buffer[];
  readonly length: number;
  readonly at: Start | undefined;
  readonly progress: Progress | undefined;
}

/** What may wait for one client beside what the system has taken. */
const MAX_WAITING_BYTES = 1024 * 1024;
const MAX_WAITING = 5000;
/** A client that takes nothing for so long is given up, too. */
const MAX_BLOCKED_MS = 30_000;
/** Of a large message: how slow a client may be. */
const MIN_BYTES_PER_MS = 10;
/** One write; and how much of it may wait in the system before there is another. */
const MAX_WRITE_BYTES = 64 * 1024;
/** Written ones that are still in the list. */
const MAX_WRITTEN = 500;
/** As much is put in without waiting, where there is more than a client may need at once. */
const ROOM_BYTES = 64 * 1024;

export class Outbox {
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
    /** The client does not keep up: nothing more is written. */
    private readonly onOverflow: () => void,
  ) {}

  /** The parts are one message, written in one piece; they are not copied until then. */
  put(parts: readonly Buffer[], at?: Start, progress?: Progress): void {
    if (!this.channel.isOpen) return;
    let length = 0;
    for (const part of parts) length += part.length;
    // Much may come in one turn of the loop: it is the client's fault only if the system does not take it.
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

  /** Resolves when there is room for more; undefined: there is. */
  room(): Promise<void> | undefined {
    if (this.#bytes < ROOM_BYTES || !this.channel.isOpen) return undefined;
    return new Promise((resolve) => this.#roomFor.push(resolve));
  }

  /** Resolves when the writer has come by; undefined: there is little to write, or it is the client who is slow. */
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

  /** Writes what the system takes. */
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

  /** Writes all that waits, whether the system takes it or not: the last thing done with the channel. */
  finish(): void {
    while (this.channel.isOpen && this.#next < this.#waiting.length) this.channel.write(this.#take());
    this.clear();
  }

  /** Until the system has taken what was written. */
  #block(): void {
    this.#isBlocked = true;
    const patienceMs = MAX_BLOCKED_MS + this.channel.unsent / MIN_BYTES_PER_MS;
    const callOff = this.writer.clock.after(patienceMs, () => this.#giveUp());
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

  /** As many of the waiting messages as one write takes, and one at least. */
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

/** Outboxes written between two turns of the event loop, so that a broadcast to many keeps nobody else waiting long. */
const SLICE = 100;
/** After a pass over that many there is a pause: what comes meanwhile is written together, which costs a fraction. */
const BUSY = 250;
const PAUSE_MS = 5;

/** Writes the outboxes that have something, pass by pass. What is put into one before its turn goes out with the rest. */
export class Writer {
  #waiting: Outbox[] = [];
  #isBusy = false;

  constructor(
    readonly clock: Clock,
    private readonly log: Log,
  ) {}

  add(outbox: Outbox): void {
    this.#waiting.push(outbox);
    if (!this.#isBusy) this.#next();
  }

  #pass(outboxes: readonly Outbox[], from: number): void {
    for (const outbox of outboxes.slice(from, from + SLICE)) this.#flush(outbox);
    if (from + SLICE < outboxes.length) {
      setImmediate(() => this.#pass(outboxes, from + SLICE));
    } else if (outboxes.length > BUSY) {
      this.clock.after(PAUSE_MS, () => this.#next());
    } else {
      this.#next();
    }
  }

  /** The fault of one connection is not that of the others. */
  #flush(outbox: Outbox): void {
    try {
      outbox.flush();
    } catch (error) {
      this.log.error({ error }, 'a client could not be written to');
    }
  }

  #next(): void {
    this.#isBusy = this.#waiting.length > 0;
    if (this.#isBusy) setImmediate(() => this.#pass(this.#waiting.splice(0), 0));
  }
}
