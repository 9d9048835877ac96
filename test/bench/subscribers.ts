// Thousands of subscribers in one process, as light as possible: bare sockets that count frames without parsing them,
// except for a sample that measures the delay.
import { randomBytes } from 'node:crypto';
import { connect, type Socket } from 'node:net';

interface Start {
  readonly port: number;
  readonly token: string;
  /** The payload of each subscriber's `subscribe` message. */
  readonly payloads: readonly object[];
}

/** One subscriber in so many measures the delay. */
const SAMPLE = 20;
const HANDSHAKE_END = Buffer.from('\r\n\r\n');
/** The query selects `at` first, so its value begins after this text. */
const AT = Buffer.from('"at":"');

let received = 0;
/** For sampled messages: the event's own time and the time of receipt, in milliseconds since 1970. */
let samples: [number, number][] = [];
const sockets: Socket[] = [];

function maskedFrame(text: string): Buffer {
  const body = Buffer.from(text);
  const mask = randomBytes(4);
  for (let index = 0; index < body.length; index += 1) body[index] = (body[index] ?? 0) ^ (mask[index % 4] ?? 0);
  const head =
    body.length < 126
      ? Buffer.from([0x81, 0x80 | body.length])
      : Buffer.from([0x81, 0x80 | 126, body.length >> 8, body.length & 0xff]);
  return Buffer.concat([head, mask, body]);
}

/** Resolves once the connection is acknowledged and `subscribe` is sent; the server may not listen yet. */
function subscribe({ port, token, payloads }: Start, index: number): Promise<void> {
  return new Promise((resolve, reject) => {
    const socket = connect(port, '127.0.0.1');
    sockets.push(socket);
    socket.setNoDelay(true);
    socket.once('error', reject);
    socket.write(
      `GET /graphql HTTP/1.1\r\nHost: 127.0.0.1:${port}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: ${randomBytes(16).toString('base64')}\r\nSec-WebSocket-Protocol: graphql-transport-ws\r\n\r\n`,
    );
    let state: 'upgrading' | 'acknowledging' | 'subscribed' = 'upgrading';
    let rest: Buffer | undefined;
    socket.on('data', (chunk) => {
      let data = rest ? Buffer.concat([rest, chunk]) : chunk;
      rest = undefined;
      if (state === 'upgrading') {
        const end = data.indexOf(HANDSHAKE_END);
        if (end < 0) {
          rest = data;
          return;
        }
        data = data.subarray(end + 4);
        state = 'acknowledging';
        socket.write(
          maskedFrame(JSON.stringify({ type: 'connection_init', payload: { authorization: `Bearer ${token}` } })),
        );
      }
      let at = 0;
      while (at + 2 <= data.length) {
        const short = (data[at + 1] ?? 0) & 0x7f;
        const head = short < 126 ? 2 : short === 126 ? 4 : 10;
        if (at + head > data.length) break;
        const length =
          short < 126 ? short : short === 126 ? data.readUInt16BE(at + 2) : Number(data.readBigUInt64BE(at + 2));
        if (at + head + length > data.length) break;
        const opcode = (data[at] ?? 0) & 0x0f;
        if (opcode === 9) socket.write(Buffer.from([0x8a, 0x80, 0, 0, 0, 0]));
        else if (opcode === 8)
          process.exit(1); // A measurement without all subscribers is void.
        else if (state === 'acknowledging') {
          state = 'subscribed';
          socket.write(maskedFrame(JSON.stringify({ id: `${index}`, type: 'subscribe', payload: payloads[index] })));
          resolve();
        } else {
          received += 1;
          if (index % SAMPLE === 0) {
            const from = data.indexOf(AT, at + head) + AT.length;
            const happened = Date.parse(data.toString('latin1', from, from + 24));
            if (!Number.isNaN(happened)) samples.push([happened, performance.timeOrigin + performance.now()]);
          }
        }
        at += head + length;
      }
      if (at < data.length) rest = data.subarray(at);
    });
  });
}

process.on('message', async (message: Start | 'count' | 'samples' | 'reset' | 'end') => {
  if (message === 'count') process.send?.({ received });
  else if (message === 'samples') process.send?.({ samples });
  else if (message === 'reset') {
    received = 0;
    samples = [];
    process.send?.({});
  } else if (message === 'end') {
    for (const socket of sockets.splice(0)) socket.destroy();
    process.send?.({});
  } else {
    for (let first = 0; first < message.payloads.length; first += 100) {
      const some = message.payloads.slice(first, first + 100);
      await Promise.all(some.map((_, offset) => subscribe(message, first + offset)));
    }
    process.send?.({});
  }
});
process.on('disconnect', () => process.exit(0));
process.send?.({});
