// Our Calls to one charger: sent one at a time and in order, each with a timeout. Answers, also late ones, are matched
// by message id. It must not know what the Calls are for.
import { randomUUID } from 'node:crypto';
import type { WebSocket } from 'ws';
import { addMs, type Clock } from '../common/clock.ts';
import type { Outcome } from '../model/charger/charger-calls.ts';
import { callFrame, type Frame } from './protocol/frames.ts';
import type { WireCall } from './protocol/protocol.ts';

/** How a Call of ours ended, before its payload is read. */
export type WireOutcome = { readonly type: 'result'; readonly payload: object } | Exclude<Outcome, { type: 'answer' }>;

interface Waiting {
  readonly call: WireCall;
  readonly deadline: Date;
  readonly timeoutMs: number;
  readonly onLateResult?: (payload: object) => void;
  readonly resolve: (outcome: WireOutcome) => void;
}

interface Outstanding extends Waiting {
  readonly id: string;
  readonly callOff: () => void;
}

/** Calls queued behind the outstanding one; a further Call ends as `offline`. */
const MAX_WAITING = 64;
/** Timed-out Calls whose late result is still expected; beyond this the oldest is forgotten. */
const MAX_LATE = 32;

export class OutgoingCalls {
  #outstanding: Outstanding | undefined;
  #isOver = false;
  readonly #waiting: Waiting[] = [];
  readonly #late = new Map<string, (payload: object) => void>();
  readonly #drained: (() => void)[] = [];

  constructor(
    private readonly socket: WebSocket,
    private readonly clock: Clock,
  ) {}

  /**
   * Resolves with `offline` when the frame was never written. `onLateResult` gets a CallResult that comes after the
   * timeout.
   */
  send(call: WireCall, timeoutMs: number, onLateResult?: (payload: object) => void): Promise<WireOutcome> {
    if (this.#isOver || this.#waiting.length >= MAX_WAITING) return Promise.resolve({ type: 'offline' });
    return new Promise((resolve) => {
      const deadline = addMs(this.clock.now(), timeoutMs);
      this.#waiting.push({ call, deadline, timeoutMs, resolve, ...(onLateResult && { onLateResult }) });
      this.#sendNext();
    });
  }

  /**
   * False when the frame answers neither the outstanding Call nor, with a CallResult, one whose late result is
   * expected.
   */
  take(frame: Frame & { type: 'result' | 'error' }): boolean {
    const id = String(frame.id);
    if (id === this.#outstanding?.id) {
      const { type } = frame;
      if (type === 'result') this.#finish({ type, payload: frame.payload });
      else this.#finish({ type: 'call-error', code: frame.code, description: frame.description });
      return true;
    }
    const onLateResult = this.#late.get(id);
    this.#late.delete(id);
    if (!onLateResult || frame.type !== 'result') return false;
    onLateResult(frame.payload);
    return true;
  }

  /** Sends no further Call, and resolves when the outstanding one has ended. */
  drain(): Promise<void> {
    this.#isOver = true;
    for (const { resolve } of this.#waiting.splice(0)) resolve({ type: 'offline' });
    return this.#outstanding ? new Promise((resolve) => this.#drained.push(resolve)) : Promise.resolve();
  }

  /**
   * The socket has closed. The outstanding Call ends as `connection-lost` (it may have been carried out), queued ones
   * as `offline` (they were not).
   */
  end(): void {
    this.#isOver = true;
    this.#finish({ type: 'connection-lost' });
    for (const { resolve } of this.#waiting.splice(0)) resolve({ type: 'offline' });
    this.#late.clear();
  }

  #sendNext(): void {
    const { clock, socket } = this;
    while (!this.#outstanding) {
      const next = this.#waiting.shift();
      if (!next) break;
      if (next.deadline < clock.now() || socket.readyState !== socket.OPEN) {
        next.resolve({ type: 'offline' });
        continue;
      }
      const id = randomUUID();
      const callOff = clock.after(next.timeoutMs, () => {
        if (next.onLateResult) this.#awaitLate(id, next.onLateResult);
        this.#finish({ type: 'timed-out' });
      });
      this.#outstanding = { ...next, id, callOff };
      socket.send(callFrame(id, next.call.action, next.call.payload));
    }
    if (!this.#outstanding) for (const resolve of this.#drained.splice(0)) resolve();
  }

  #finish(outcome: WireOutcome): void {
    const outstanding = this.#outstanding;
    if (!outstanding) return;
    this.#outstanding = undefined;
    outstanding.callOff();
    outstanding.resolve(outcome);
    this.#sendNext();
  }

  #awaitLate(id: string, onLateResult: (payload: object) => void): void {
    this.#late.set(id, onLateResult);
    const [oldest] = this.#late.keys();
    if (this.#late.size > MAX_LATE && oldest !== undefined) this.#late.delete(oldest);
  }
}
