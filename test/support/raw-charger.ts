// A charger that sends raw frames, for tests that control every byte.
import { WebSocket } from 'ws';
import { Queue } from './queue.ts';

// biome-ignore lint/suspicious/noExplicitAny: frames are what a test makes of them
export type RawFrame = any[];

export interface RawChargerOptions {
  readonly url: string;
  readonly id: string;
  readonly password?: string;
  readonly subprotocol?: string;
}

export class RawCharger {
  /** Calls from the server. */
  readonly calls = new Queue<RawFrame>();
  /** CallResults and CallErrors from the server. */
  readonly answers = new Queue<RawFrame>();
  readonly closed: Promise<{ code: number; reason: string }>;
  #count = 0;

  private constructor(readonly socket: WebSocket) {
    this.closed = new Promise((resolve) =>
      socket.once('close', (code, reason) => resolve({ code, reason: reason.toString() })),
    );
    socket.on('message', (data) => {
      const frame = JSON.parse(data.toString()) as RawFrame;
      (frame[0] === 2 ? this.calls : this.answers).push(frame);
    });
  }

  static connect(options: RawChargerOptions): Promise<RawCharger> {
    const { url, id, password = 'charger-password', subprotocol = 'ocpp1.6' } = options;
    const authorization = `Basic ${Buffer.from(`${id}:${password}`).toString('base64')}`;
    const target = `${url}/${encodeURIComponent(id)}`;
    const protocols = subprotocol ? [subprotocol] : [];
    const socket = new WebSocket(target, protocols, { headers: { authorization } });
    const charger = new RawCharger(socket);
    return new Promise((resolve, reject) => {
      socket.once('open', () => resolve(charger));
      socket.once('unexpected-response', (_, response) => reject(new Error(`HTTP ${response.statusCode}`)));
      socket.once('error', reject);
    });
  }

  send(frame: RawFrame | string): void {
    this.socket.send(typeof frame === 'string' ? frame : JSON.stringify(frame));
  }

  /** Sends a Call; resolves with the payload of its CallResult, throws on a CallError. */
  async call(action: string, payload: object): Promise<RawFrame[2]> {
    this.#count += 1;
    const id = `call-${this.#count}`;
    this.send([2, id, action, payload]);
    const answer = await this.answers.until((frame) => frame[1] === id);
    if (answer[0] !== 3) throw new Error(`CALLERROR ${JSON.stringify(answer)}`);
    return answer[2];
  }

  /** Waits for the next Call with that action; answers others with NotImplemented. */
  async expectCall(action: string): Promise<{ id: string; payload: RawFrame[3] }> {
    for (;;) {
      const [, id, found, payload] = await this.calls.next();
      if (found === action) return { id, payload };
      this.send([4, id, 'NotImplemented', '', {}]);
    }
  }

  answer(id: string, payload: object): void {
    this.send([3, id, payload]);
  }

  close(): Promise<unknown> {
    this.socket.close();
    return this.closed;
  }
}
