// Tests the buffer of a client: it is bounded and ordered, and merges writes when the client or the server is busy.
import { expect, it, vi } from 'vitest';
import { type Clock, systemClock } from '../../src/common/clock.ts';
import { createLog } from '../../src/common/log.ts';
import type { Start } from '../../src/model/events/cursor.ts';
import { type Channel, type Progress, SendBuffer, Writer } from '../../src/streams/send-buffer.ts';
import { TestClock } from '../support/test-clock.ts';

class TestChannel implements Channel {
  isOpen = true;
  unsent = 0;
  readonly writes: string[] = [];
  sent: (() => void) | undefined;
  headSize = () => 1;
  writeHead(into: Buffer, at: number): void {
    into.write('|', at);
  }
  write(data: Buffer): void {
    this.writes.push(`${data}`);
  }
  onceSent(then: () => void): void {
    this.sent = then;
  }
}

function bufferOf(onOverflow: () => void = () => {}) {
  const channel = new TestChannel();
  const buffer = new SendBuffer(channel, new Writer(systemClock, createLog('silent')), onOverflow);
  const progress: Progress = {};
  const put = (text: string, at?: Start) => buffer.put([Buffer.from(text), Buffer.from('!')], at, progress);
  return { channel, buffer, put, progress };
}
const place = (id: bigint): Start => ({ position: { xid: 1n, id } });

it('messages put into the send buffer in one turn of the event loop go out in one write, in order', async () => {
  const { channel, put } = bufferOf();
  put('one');
  put('two');
  await vi.waitFor(() => expect(channel.writes).toEqual(['|one!|two!']));
  put('three');
  await vi.waitFor(() => expect(channel.writes).toEqual(['|one!|two!', '|three!']));
});

it('messages wait in the send buffer while earlier writes are unsent, then go out in order', async () => {
  const { channel, buffer, put } = bufferOf();
  channel.unsent = 100_000;
  put('one');
  await vi.waitFor(() => expect(channel.sent).toBeDefined());
  put('two');
  expect(channel.writes).toEqual([]);
  channel.unsent = 0;
  channel.sent?.();
  expect(channel.writes).toEqual(['|one!|two!']);
  expect(buffer.room()).toBeUndefined();
});

it('messages for a channel that no client has opened yet wait without a deadline', async () => {
  const deadlines: number[] = [];
  const clock: Clock = {
    now: () => new Date(),
    after(delayMs) {
      deadlines.push(delayMs);
      return () => {};
    },
  };
  const channel = new TestChannel();
  const buffer = new SendBuffer(channel, new Writer(clock, createLog('silent')), () => expect.fail('given up'));
  channel.unsent = Number.POSITIVE_INFINITY;
  buffer.put([Buffer.from('early')]);
  await vi.waitFor(() => expect(channel.sent).toBeDefined());
  expect(deadlines).toEqual([]);
  channel.unsent = 0;
  channel.sent?.();
  expect(channel.writes).toEqual(['|early']);
});

it('the send buffer has room again once its messages are written', async () => {
  const { channel, buffer, put } = bufferOf();
  channel.unsent = 100_000;
  put('x'.repeat(70_000));
  let isRoom = false;
  const room = buffer.room()?.then(() => {
    isRoom = true;
  });
  await vi.waitFor(() => expect(channel.sent).toBeDefined());
  expect(isRoom).toBe(false);
  channel.unsent = 0;
  channel.sent?.();
  await room;
  expect(isRoom).toBe(true);
});

it('an overflowing send buffer gives up its client, keeps the progress of the written messages and drops the others', async () => {
  const overflowed = vi.fn();
  const { channel, buffer, put, progress } = bufferOf(overflowed);
  put('first', place(1n));
  await vi.waitFor(() => expect(channel.writes).toHaveLength(1));
  channel.unsent = 100_000;
  for (let id = 2n; id < 50n && overflowed.mock.calls.length === 0; id += 1n) put('x'.repeat(50_000), place(id));
  expect(overflowed).toHaveBeenCalledOnce();
  expect(progress.at).toEqual(place(1n));
  channel.unsent = 0;
  channel.isOpen = false;
  buffer.flush();
  expect(channel.writes).toHaveLength(1);
});

it('more than 5000 small messages overflow the send buffer, but a single large message does not', () => {
  const overflowed = vi.fn();
  const { channel, put } = bufferOf(overflowed);
  channel.unsent = 100_000;
  put('x'.repeat(3_000_000));
  expect(overflowed).not.toHaveBeenCalled();
  const small = bufferOf(overflowed);
  small.channel.unsent = 100_000;
  for (let index = 0; index <= 5000; index += 1) small.put('x');
  expect(overflowed).toHaveBeenCalledOnce();
});

it('a client that takes its messages is not given up, however many come in one turn of the event loop', () => {
  const overflowed = vi.fn();
  const { channel, put } = bufferOf(overflowed);
  for (let count = 0; count < 10_000; count += 1) put('x'.repeat(600));
  expect(overflowed).not.toHaveBeenCalled();
  expect(channel.writes.length).toBeGreaterThan(0);
});

it('a client that takes nothing for half a minute is given up', async () => {
  const overflowed = vi.fn();
  const clock = new TestClock();
  const channel = new TestChannel();
  const buffer = new SendBuffer(channel, new Writer(clock, createLog('silent')), overflowed);
  channel.unsent = 64 * 1024;
  buffer.put([Buffer.from('one')]);
  await vi.waitFor(() => expect(channel.sent).toBeDefined());
  clock.advance(29_000);
  expect(overflowed).not.toHaveBeenCalled();
  clock.advance(10_000);
  await vi.waitFor(() => expect(overflowed).toHaveBeenCalledOnce());
});
