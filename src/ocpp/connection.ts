// One charger's socket: answers the charger's calls in order, sends ours one at a time, and checks both against the
// schemas. A bad frame is answered with an error where OCPP allows one; more than MAX_BAD_FRAMES in a row, or a frame
// that is too long, close the socket. It must not know any action by name.
//
// A connection is open until its socket closes, for good: then our outstanding Call ends as connection-lost, queued
// ones as offline, and retries for the database end. While it is open, these modes hold side by side:
// - paused: the socket is not read while the charger exceeds the frame rate, or from 64 unanswered calls down to
//   32.
// - unheard: each liveness check sets it and pings; any frame, ping or pong, or the end of a pause, clears it. A
//   check that finds it set terminates the socket, unless reading is paused.
// - drained (drainedAt): no call is unanswered, and 2 s have passed since the last answered call that chargers
//   queue while offline (if none, since the connect); always from 60 s after the connect or last boot.
// - waiting for the database: from a DatabaseAway error until a retry (every 500 ms) succeeds. Calls keep their
//   order, but unordered ones (Heartbeat) are answered at once.
// - draining (drain), for good: no further Call of ours is sent; the charger's calls are still answered.
// - faulty: counts unreadable frames in a row; a readable one resets it, the 101st closes the socket (1008).

import type { RawData, WebSocket } from 'ws';
import { recordClockSkew } from '../charging/follow-connection.ts';
import type { ChargingPorts } from '../charging/ports.ts';
import { addMs, type Clock, pause } from '../common/clock.ts';
import { endAtFault } from '../common/end-at-fault.ts';
import type { Log } from '../common/log.ts';
import type { Metrics } from '../common/metrics.ts';
import { RateLimit } from '../common/rate-limit.ts';
import { settleLateAnswer } from '../lifecycle/settle-reservation.ts';
import type { ChargerAnswer, ChargerCommand, Outcome, ReservationCommand } from '../model/charger/charger-calls.ts';
import { DRAIN_MS } from '../model/reservation/timing.ts';
import { isDatabaseAway, isUnstorable } from '../storage/database.ts';
import { OutgoingCalls, type WireOutcome } from './outgoing-calls.ts';
import { type BadFrame, errorFrame, type Frame, type MessageId, parseFrame, resultFrame } from './protocol/frames.ts';
import type { Protocol, WireCall } from './protocol/protocol.ts';
import { instantOf } from './protocol/timestamp.ts';
import type { Validation } from './protocol/validation.ts';

export interface ConnectionPorts {
  readonly charging: ChargingPorts;
  readonly clock: Clock;
  readonly log: Log;
  readonly metrics: Metrics;
  readonly answerTimeoutMs: number;
  readonly heartbeatIntervalSeconds: number;
}

/** Back-pressure: with this many unanswered calls of the charger its socket is paused until at most half are left. */
const MAX_INBOUND = 64;
const CAPABILITY_TIMEOUT_MS = 5000;
/**
 * Limit of `drainedAt`, from the connection or its last boot: unsettled reservations wait no longer for the offline
 * queue.
 */
const MAX_DRAIN_MS = 60_000;
/** Pause between attempts while the database is away. */
export const DATABASE_RETRY_MS = 500;
/** Unreadable frames in a row that are tolerated; one more closes the socket. */
const MAX_BAD_FRAMES = 100;
/**
 * The limit on the frames of one charger. A charger that empties its offline queue waits for each answer, so it stays
 * below.
 */
const FRAMES = { perSecond: 100, burst: 500 };
/**
 * Bytes that may wait to be sent to a charger that does not read; beyond it, the charger's next frame ends the socket.
 */
const MAX_UNSENT_BYTES = 1_000_000;
const POLICY_VIOLATION = 1008;
/** Smaller changes of the clock skew are not recorded: transmission takes time, and no clock is exact. */
const SKEW_NOISE_SECONDS = 2;
const MAX_INT32 = 2 ** 31 - 1;

export class Connection {
  readonly #calls: OutgoingCalls;
  #isClosed = false;
  #isHeard = true;
  #isPaused = false;
  #isSlowed = false;
  /** Calls, and late answers, that wait until the database is back. */
  #waitingForDatabase = 0;
  #badFrames = 0;
  #skewSeconds: number | undefined;
  #startedAt: Date;
  #toldAt: Date;
  readonly #rate: RateLimit;
  #inbound: Promise<void>;
  #inboundCount = 0;
  readonly #mayOvertake = new Set<() => Promise<void>>();

  constructor(
    readonly chargerId: string,
    readonly protocol: Protocol,
    private readonly isEncrypted: boolean,
    private readonly socket: WebSocket,
    private readonly validation: Validation,
    private readonly ports: ConnectionPorts,
    /** Resolves when the calls of the charger's previous connection are answered; the calls of this one wait for it. */
    before: Promise<void> = Promise.resolve(),
  ) {
    this.#calls = new OutgoingCalls(socket, ports.clock);
    this.#inbound = before;
    this.#startedAt = ports.clock.now();
    this.#toldAt = this.#startedAt;
    this.#rate = new RateLimit(FRAMES, ports.clock.now());
    socket.on('message', (data, isBinary) => this.#receive(data, isBinary));
    socket.on('pong', () => this.#hear());
    socket.on('ping', () => this.#hear());
    socket.on('error', (error) => ports.log.info({ chargerId, error: error.message }, 'a charger socket failed'));
    endAtFault(socket, ports.clock);
    socket.once('close', () => this.#end());
  }

  /** When the charger's offline queue counts as drained; in the past once it is. */
  get drainedAt(): Date {
    return this.#quietAt(this.#inboundCount > 0);
  }

  #quietAt(isTelling: boolean): Date {
    const quiet = addMs(isTelling ? this.ports.clock.now() : this.#toldAt, DRAIN_MS);
    const limit = addMs(this.#startedAt, MAX_DRAIN_MS);
    return quiet < limit ? quiet : limit;
  }

  /** Resolves when every call received so far is answered, or given up because the socket has closed. */
  get answered(): Promise<void> {
    return this.#inbound;
  }

  /** Sends the command once our earlier calls to this charger have ended. */
  async call(command: ChargerCommand): Promise<Outcome> {
    const { protocol, validation } = this;
    const wire = protocol.encode(command);
    const read = (payload: object): ChargerAnswer | undefined =>
      validation.check('response', wire.action, payload) ? undefined : protocol.decodeAnswer(wire.action, payload);
    const outcome = await this.#send(wire, this.ports.answerTimeoutMs, (payload) => {
      const answer = read(payload);
      if (!answer || !('id' in command)) return;
      const settled = this.#whenPossible(() => this.#settleLate(command, answer));
      settled.catch((error) =>
        this.ports.log.error({ error, chargerId: this.chargerId }, 'a late answer was not settled'),
      );
    });
    const answer = outcome.type === 'result' ? read(outcome.payload) : undefined;
    const told = answer ?? (outcome.type === 'result' ? 'unreadable' : outcome.type);
    this.ports.metrics.calls.inc({ action: wire.action, outcome: told.toLowerCase() });
    if (outcome.type !== 'result') return outcome;
    if (answer) return { type: 'answer', answer };
    // The charger may have carried the command out, but its answer cannot be read: the outcome is unknown.
    this.ports.log.warn(
      { chargerId: this.chargerId, action: wire.action },
      'the answer of a charger does not match its schema',
    );
    return { type: 'timed-out' };
  }

  /**
   * Terminates the socket when nothing, not even a pong, has come since the last check, unless reading is paused. It
   * counts checks, not time, so a clock that jumps does no harm.
   */
  checkLiveness(): void {
    if (!this.#isHeard && !this.#isPaused) {
      this.socket.terminate();
    } else if (this.socket.readyState === this.socket.OPEN) {
      this.#isHeard = false;
      this.socket.ping();
    }
  }

  close(code: number, reason: string): void {
    this.socket.close(code, reason);
    this.ports.clock.after(1000, () => this.socket.terminate());
  }

  /** Sends no new call to the charger, and resolves when the outstanding one has ended. */
  drain(): Promise<void> {
    return this.#calls.drain();
  }

  learnCapabilities(): void {
    const { capabilityCall } = this.protocol;
    const { chargerId, validation } = this;
    this.#send(capabilityCall, CAPABILITY_TIMEOUT_MS)
      .then(async (outcome) => {
        if (outcome.type !== 'result' || validation.check('response', capabilityCall.action, outcome.payload)) return;
        await this.ports.charging.chargers.recordCapabilities(
          chargerId,
          this.protocol.decodeCapabilities(outcome.payload),
        );
      })
      .catch((error) =>
        this.ports.log.error({ error, chargerId }, 'the capabilities of a charger could not be stored'),
      );
  }

  #settleLate(command: ReservationCommand, answer: ChargerAnswer): Promise<void> {
    const { charging } = this.ports;
    return charging.background.track(settleLateAnswer(charging, this.chargerId, command, answer));
  }

  #send(call: WireCall, timeoutMs: number, onLateResult?: (payload: object) => void): Promise<WireOutcome> {
    const { chargerId } = this;
    const violation = this.validation.check('request', call.action, call.payload);
    if (!violation) return this.#calls.send(call, timeoutMs, onLateResult);
    this.ports.log.error(
      { chargerId, action: call.action, violation },
      'one of our calls breaks its schema; it is not sent',
    );
    return Promise.resolve({ type: 'offline' });
  }

  #hear(): void {
    this.#isHeard = true;
  }

  #receive(data: RawData, isBinary: boolean): void {
    this.#hear();
    const { log, metrics } = this.ports;
    if (this.socket.bufferedAmount > MAX_UNSENT_BYTES) {
      log.warn({ chargerId: this.chargerId }, 'a charger does not read what is sent to it; its socket is ended');
      metrics.refusedFrames.inc({ reason: 'unread' });
      this.socket.terminate();
      return;
    }
    this.#slowDown();
    const { chargerId } = this;
    const text = isBinary ? '' : data.toString();
    const frame = parseFrame(text, this.protocol.version);
    this.#badFrames = frame.type === 'bad' ? this.#badFrames + 1 : 0;
    switch (frame.type) {
      case 'call':
        this.#enqueue(frame);
        break;
      case 'result':
      case 'error':
        if (!this.#calls.take(frame))
          log.info({ chargerId, id: frame.id }, 'a charger answered a call that is not outstanding');
        break;
      case 'bad':
        log.warn({ chargerId, description: frame.description }, 'a charger sent a frame that cannot be read');
        metrics.refusedFrames.inc({ reason: 'unreadable' });
        if (this.#badFrames > MAX_BAD_FRAMES) this.close(POLICY_VIOLATION, 'Too many frames that cannot be read');
        else this.#refuse(frame);
        break;
      case 'result-error':
        log.warn(
          { chargerId, code: frame.code, description: frame.description },
          'a charger could not read our answer',
        );
        break;
      case 'send':
        log.debug({ chargerId, action: frame.action }, 'a SEND frame of a charger is ignored');
        break;
      default:
        frame satisfies never;
    }
  }

  #refuse({ id, code, description }: BadFrame): void {
    if (code) this.#write(errorFrame(id, code, description, this.protocol.version));
  }

  /**
   * Queues the call: one charger's calls are answered in order, except that `unordered` ones overtake while the
   * database is away. Chargers never wait for each other.
   */
  #enqueue(frame: Frame & { type: 'call' }): void {
    const answer = this.#once(() => this.#answer(frame).catch((error) => this.#fail(frame.id, frame.action, error)));
    if (this.protocol.unordered.includes(frame.action)) {
      if (this.#waitingForDatabase > 0) return void answer();
      this.#mayOvertake.add(answer);
    }
    this.#inboundCount += 1;
    if (this.#inboundCount >= MAX_INBOUND) this.#pause();
    this.#inbound = this.#inbound.then(answer).finally(() => {
      this.#inboundCount -= 1;
      this.#resume();
    });
  }

  /** Wraps a task so that it runs once: when its turn in the queue comes, or earlier. */
  #once(task: () => Promise<void>): () => Promise<void> {
    let done: Promise<void> | undefined;
    const run = () => {
      this.#mayOvertake.delete(run);
      done ??= task();
      return done;
    };
    return run;
  }

  /** Reads a socket that exceeds the frame rate more slowly: no frame is lost, and no other charger waits. */
  #slowDown(): void {
    const waitMs = this.#rate.take(this.ports.clock.now());
    if (this.#isSlowed || waitMs === 0) return;
    this.ports.metrics.refusedFrames.inc({ reason: 'rate' });
    this.#isSlowed = true;
    this.#pause();
    void this.#resumeAfter(waitMs);
  }

  /**
   * Frames that had been read before the pause still count and may have lengthened the wait, so it is computed again.
   */
  async #resumeAfter(firstMs: number): Promise<void> {
    const { clock } = this.ports;
    for (let waitMs = firstMs; waitMs > 0 && !this.#isClosed; waitMs = this.#rate.waitMs(clock.now())) {
      await pause(clock, waitMs);
    }
    this.#isSlowed = false;
    this.#resume();
  }

  #pause(): void {
    if (!this.#isPaused) this.socket.pause();
    this.#isPaused = true;
  }

  /** Resumes reading, unless the rate limit or too many unanswered calls forbid it. */
  #resume(): void {
    if (!this.#isPaused || this.#isSlowed || this.#inboundCount > MAX_INBOUND / 2) return;
    this.#isPaused = false;
    this.#isHeard = true; // Nothing was read during the pause, so that silence does not count.
    this.socket.resume();
  }

  async #answer({ id, action, payload }: Frame & { type: 'call' }): Promise<void> {
    const { protocol, validation, chargerId } = this;
    const { version } = protocol;
    const act = Object.hasOwn(protocol.actions, action) ? protocol.actions[action] : undefined;
    if (!act) return this.#write(errorFrame(id, 'NotImplemented', `"${action}" is not known here`, version));
    const violation = validation.check('request', action, payload);
    if (violation) return this.#write(errorFrame(id, violation.code, violation.description, version));
    const { charging, clock, heartbeatIntervalSeconds } = this.ports;
    let isLearning = false;
    const learnCapabilities = () => {
      isLearning = true;
    };
    const tasks: (() => void)[] = [];
    const afterwards = (task: () => void) => void tasks.push(task);
    const { isEncrypted } = this;
    const rest = {
      chargerId,
      version,
      isEncrypted,
      heartbeatIntervalSeconds,
      ports: charging,
      learnCapabilities,
      afterwards,
    };
    const answer = await this.#whenPossible(() => act(payload, { ...rest, now: clock.now() }));
    if (protocol.keptOffline.includes(action)) this.#toldAt = clock.now();
    if (isLearning) this.#startedAt = clock.now();
    this.#noteSkew(payload);
    const ours = validation.check('response', action, answer);
    if (ours) throw new Error(`Our answer to ${action} breaks its schema: ${ours.description}`);
    this.#write(resultFrame(id, answer));
    if (isLearning) this.learnCapabilities();
    for (const task of tasks) task();
  }

  /**
   * Retries while the database is away. A charger without an answer keeps its message and sends it again; an error
   * might make it forget a transaction, and any other answer would be false.
   */
  async #whenPossible<T>(act: () => Promise<T>): Promise<T> {
    let isWaiting = false;
    try {
      for (;;) {
        try {
          return await act();
        } catch (error) {
          if (!isDatabaseAway(error) || this.#isClosed) throw error;
          if (!isWaiting) this.#waitingForDatabase += 1;
          isWaiting = true;
          for (const answer of this.#mayOvertake) void answer();
          await pause(this.ports.clock, DATABASE_RETRY_MS);
        }
      }
    } finally {
      if (isWaiting) this.#waitingForDatabase -= 1;
    }
  }

  /**
   * Once its offline queue is drained, the charger sends messages as they happen: their timestamp shows how far its
   * clock is off.
   */
  #noteSkew({ timestamp }: { readonly timestamp?: unknown }): void {
    const { charging, clock, log } = this.ports;
    const now = clock.now();
    const at =
      typeof timestamp === 'string' && now > this.#quietAt(this.#inboundCount > 1) ? instantOf(timestamp) : undefined;
    if (!at) return;
    const seconds = Math.round((at.getTime() - now.getTime()) / 1000);
    if (this.#skewSeconds !== undefined && Math.abs(seconds - this.#skewSeconds) <= SKEW_NOISE_SECONDS) return;
    this.#skewSeconds = seconds;
    const bounded = Math.max(-MAX_INT32, Math.min(seconds, MAX_INT32));
    recordClockSkew(charging, this.chargerId, bounded).catch((error) =>
      log.debug({ error, chargerId: this.chargerId }, 'the clock skew of a charger could not be stored'),
    );
  }

  #fail(id: MessageId, action: string, error: unknown): void {
    if (this.#isClosed && isDatabaseAway(error)) return;
    const { log } = this.ports;
    const facts = { error, chargerId: this.chargerId, action };
    const { version } = this.protocol;
    if (isUnstorable(error)) {
      log.warn(facts, 'a call of a charger holds a value that cannot be stored');
      const description = 'The payload holds a value that cannot be stored, such as the character NUL';
      this.#write(errorFrame(id, 'PropertyConstraintViolation', description, version));
    } else {
      log.error(facts, 'a call of a charger could not be answered');
      this.#write(errorFrame(id, 'InternalError', 'The server could not answer; try again', version));
    }
  }

  #write(frame: string): void {
    if (this.socket.readyState === this.socket.OPEN) this.socket.send(frame);
  }

  #end(): void {
    this.#isClosed = true;
    this.#calls.end();
  }
}
