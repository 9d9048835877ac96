// The answer to a request for a WebSocket that is not let in.
import { STATUS_CODES } from 'node:http';
import type { Duplex } from 'node:stream';
import type { Clock } from './clock.ts';

/** For the client to read it. */
const MAX_REFUSING_MS = 2000;

/** A client that does not read, or does not end its side, is not waited for. `headers`: lines, each with its end. */
export function refuseUpgrade(socket: Duplex, clock: Clock, status: number, headers = ''): void {
  if (!socket.writable) return void socket.destroy();
  const callOff = clock.after(MAX_REFUSING_MS, () => socket.destroy());
  socket.once('close', callOff);
  socket.once('finish', () => socket.destroy());
  socket.end(`HTTP/1.1 ${status} ${STATUS_CODES[status]}\r\n${headers}Connection: close\r\nContent-Length: 0\r\n\r\n`);
}
