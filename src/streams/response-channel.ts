// An event stream as an outbox writes to it.
import type { ServerResponse } from 'node:http';
import type { Channel } from './outbox.ts';

export const EVENT_STREAM_HEADERS = {
  'content-type': 'text/event-stream; charset=utf-8',
  'cache-control': 'no-cache, no-transform',
  'x-accel-buffering': 'no',
};
/** It keeps a stream alive, and says nothing. */
export const COMMENT = Buffer.from(':\n\n');
export const KEEP_ALIVE_MS = 12_000;
/** For a client to take what was written last. */
export const MAX_CLOSING_MS = 5000;

/** A response that may come later than the first message for it. */
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

  /** Resolves when all is sent or the response is closed; `begun` gives what calls off the wait for it. */
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
