// The response of an event stream as the channel of an outbox.
import type { ServerResponse } from 'node:http';
import type { Channel } from './outbox.ts';

export const EVENT_STREAM_HEADERS = {
  'content-type': 'text/event-stream; charset=utf-8',
  'cache-control': 'no-cache, no-transform',
  'x-accel-buffering': 'no',
};
/** A comment of Server-Sent Events: it keeps the stream alive, and clients ignore it. */
export const COMMENT = Buffer.from(':\n\n');
export const KEEP_ALIVE_MS = 12_000;
/** How long a client may take to receive the last bytes before its response is destroyed. */
export const MAX_CLOSING_MS = 5000;

/** The response may be attached after the first message was put; until then messages wait in the outbox. */
export class ResponseChannel implements Channel {
  #response: ServerResponse | undefined;
  #isEnded = false;
  #whenSent: (() => void) | undefined;

  get isAttached(): boolean {
    return this.#response !== undefined;
  }

  get isOpen(): boolean {
    return !this.#isEnded && this.#response?.destroyed !== true;
  }

  get unsent(): number {
    return this.#response?.writableLength ?? Number.POSITIVE_INFINITY;
  }

  attach(response: ServerResponse): void {
    this.#response = response;
    this.#whenSent?.();
  }

  headSize(): number {
    return 0;
  }

  writeHead(): void {}

  write(data: Buffer): void {
    this.#response?.write(data);
  }

  onceSent(then: () => void): void {
    if (this.#response) this.#response.once('drain', then);
    else this.#whenSent = then;
  }

  /**
   * Ends the response; resolves when it is closed. `begun` is called at once and returns a function that is called
   * then.
   */
  end(begun: () => () => void): Promise<void> {
    this.#isEnded = true;
    const response = this.#response;
    const callOff = begun();
    return new Promise((resolve) => {
      const done = () => {
        callOff();
        resolve();
      };
      if (!response || response.closed) return done();
      response.once('close', done);
      response.end();
    });
  }

  destroy(): void {
    this.#response?.destroy();
  }
}
