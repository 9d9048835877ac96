// The response of an event stream as the channel of a buffer.
import type { ServerResponse } from 'node:http';
import type { Channel } from './send-buffer.ts';

/** The response may be attached after the first message was put; until then messages wait in the buffer. */
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
   * when the response is closed.
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
