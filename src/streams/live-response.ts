// A live connection over the response of a request: a stream of Server-Sent Events.
import type { OutgoingHttpHeaders, ServerResponse } from 'node:http';
import type { Clock } from '../common/clock.ts';
import { LiveConnection, type LivePorts, MAX_CLOSING_MS, type Protocol } from './live-connection.ts';
import { ResponseChannel } from './response-channel.ts';

const HEADERS = {
  'content-type': 'text/event-stream; charset=utf-8',
  'cache-control': 'no-cache, no-transform',
  'x-accel-buffering': 'no',
};
/** A comment of Server-Sent Events: it keeps the stream alive, and clients ignore it. */
export const COMMENT = Buffer.from(':\n\n');

interface Reply {
  readonly raw: ServerResponse;
  getHeaders(): unknown;
}

export class LiveResponse extends LiveConnection {
  readonly #channel: ResponseChannel;
  readonly #clock: Clock;

  constructor(ports: LivePorts, protocol: Omit<Protocol, 'keepAlive'>) {
    const channel = new ResponseChannel();
    super(ports, channel, {
      expire: (caller) => protocol.expire(caller),
      overflow: () => protocol.overflow(),
      ended: () => protocol.ended?.(),
      keepAlive: () => this.buffer.put([COMMENT]),
    });
    this.#channel = channel;
    this.#clock = ports.clock;
  }

  get isAttached(): boolean {
    return this.#channel.isAttached;
  }

  /** Begins the response. False if the stream has ended, or its client gone, in between: the response is destroyed. */
  attach(reply: Reply): boolean {
    const response = reply.raw;
    if (this.isEnded || response.destroyed) {
      response.destroy();
      this.end();
      return false;
    }
    response.once('close', () => this.end());
    response.on('error', () => this.end());
    response.writeHead(200, { ...(reply.getHeaders() as OutgoingHttpHeaders), ...HEADERS });
    this.#channel.attach(response);
    this.startKeepAlive();
    // Some browsers show a stream as open only after the first bytes.
    this.buffer.put([COMMENT]);
    return true;
  }

  /** Ends the stream; resolves when the client has taken everything that was written, or after MAX_CLOSING_MS. */
  close(): Promise<void> {
    this.buffer.finish();
    return this.#channel.end(() => {
      this.end();
      return this.#clock.after(MAX_CLOSING_MS, () => this.#channel.destroy());
    });
  }
}
