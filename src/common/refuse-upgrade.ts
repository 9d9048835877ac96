// Refuses a request for a WebSocket with an HTTP status, and closes its socket.
import { STATUS_CODES } from 'node:http';
import type { Duplex } from 'node:stream';
import type { Clock } from './clock.ts';

/** Time for the client to read the answer. */
const MAX_REFUSING_MS = 2000;

/**
 * Destroys the socket once the answer is written, or after MAX_REFUSING_MS if the client does not read. `headers`:
 * lines, each with its CRLF.
 */
export function refuseUpgrade(socket: Duplex, clock: Clock, status: number, headers = ''): void {
  if (!socket.writable) return void socket.destroy();
  const callOff = clock.after(MAX_REFUSING_MS, () => socket.destroy());
  socket.once('close', callOff);
  socket.once('finish', () => socket.destroy());
  socket.end(`HTTP/1.1 ${status} ${STATUS_CODES[status]}\r\n${headers}Connection: close\r\nContent-Length: 0\r\n\r\n`);
}
