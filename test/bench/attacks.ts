// An attacker in a process of its own: sends one kind of attack at the given rate, from random client addresses.
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { connect } from 'node:net';
import { WebSocket } from 'ws';
import { post } from './processes.ts';

const [kind = '', port = '', ocppPort = '', token = '', perSecond = '0', seconds = '0'] = process.argv.slice(2);
const host = '127.0.0.1';
/** One of a few thousand addresses (sent as X-Forwarded-For). */
const address = () => `203.0.${Math.floor(Math.random() * 16)}.${Math.floor(Math.random() * 256)}`;
let done = 0;
const outcomes: Record<string, number> = {};
const count = (outcome: string) => {
  outcomes[outcome] = (outcomes[outcome] ?? 0) + 1;
};

/** Sends a WebSocket handshake and counts the status of its answer. */
function upgrade(to: string, path: string, headers: Record<string, string>): Promise<void> {
  return new Promise((resolve) => {
    const socket = connect(Number(to), host);
    const lines = Object.entries({
      Host: 'x',
      Connection: 'Upgrade',
      Upgrade: 'websocket',
      'Sec-WebSocket-Version': '13',
      'Sec-WebSocket-Key': randomBytes(16).toString('base64'),
      ...headers,
    }).map(([name, value]) => `${name}: ${value}\r\n`);
    socket.write(`GET ${path} HTTP/1.1\r\n${lines.join('')}\r\n`);
    socket.once('data', (data) => {
      count(data.toString().slice(9, 12));
      socket.destroy();
    });
    socket.once('error', () => count('error'));
    socket.once('close', () => resolve());
  });
}

const basic = (id: string) => `Basic ${Buffer.from(`${id}:${randomBytes(10).toString('hex')}`).toString('base64')}`;
const ask = async (query: string, authorization: string) => {
  const answer = await post(Number(port), '/graphql', JSON.stringify({ query }), {
    authorization,
    'x-forwarded-for': address(),
  });
  count(/"code":"(\w+)"/.exec(answer)?.[1] ?? 'answered');
};
const aliases = `{ ${Array.from({ length: 150 }, (_, n) => `a${n}: chargers(first: 100) { edges { node { id connectors { connectorId } } } }`).join(' ')} }`;
const deep = `{ reservation(id: "x") ${'{ charger { connectors { reservation '.repeat(12)} { id } ${'} } }'.repeat(12)} }`;

/** Sends one attack, by its kind. */
const blows: Record<string, () => Promise<void>> = {
  'failed logins of chargers': () => {
    const id = `CP${1 + Math.floor(Math.random() * 1000)}`;
    const headers = { Authorization: basic(id), 'X-Forwarded-For': address(), 'Sec-WebSocket-Protocol': 'ocpp1.6' };
    return upgrade(ocppPort, `/${id}`, headers);
  },
  'bad tokens': () =>
    ask('{ eventCursor }', `Bearer ${token.split('.').slice(0, 2).join('.')}.${randomBytes(32).toString('base64url')}`),
  'alias and depth bombs': () => ask(Math.random() < 0.5 ? aliases : deep, `Bearer ${token}`),
  'oversized frames': () =>
    new Promise((resolve) => {
      const socket = new WebSocket(`ws://${host}:${port}/graphql`, 'graphql-transport-ws', {
        headers: { 'x-forwarded-for': address() },
      });
      socket.once('open', () => socket.send(Buffer.alloc(1_000_000, 'x')));
      socket.once('close', (code) => {
        count(`${code}`);
        resolve();
      });
      socket.on('error', () => {});
    }),
  'slow heads': () => {
    const socket = connect(Number(Math.random() < 0.5 ? port : ocppPort), host);
    const drip = setInterval(() => socket.write('x'), 1000);
    socket.write('GET /x HTTP/1.1\r\nHost: x\r\nX-Drip: ');
    socket.resume();
    socket.on('error', () => {});
    socket.once('close', () => {
      count('cut off');
      clearInterval(drip);
    });
    return Promise.resolve();
  },
};

const blow = blows[kind];
if (!blow) throw new Error(`There is no attack "${kind}"`);
// Waits for the parent, so that the start of this process is not measured.
process.send?.({ isReady: true });
await once(process, 'message');
const began = performance.now();
const timer = setInterval(() => {
  const elapsed = (performance.now() - began) / 1000;
  if (elapsed > Number(seconds)) {
    clearInterval(timer);
    process.send?.({ done, outcomes }, () => process.exit(0));
    return;
  }
  for (const due = elapsed * Number(perSecond); done < due; done += 1) void blow().catch(() => count('error'));
}, 5);
