// The end of a WebSocket whose peer broke the rules: a frame that is too long, or none at all.
import type { WebSocket } from 'ws';
import type { Clock } from './clock.ts';

/** For the peer to take the reason. */
const MAX_CLOSING_MS = 1000;

/** What else it sends is left with it, not read to be thrown away. */
export function endAtFault(socket: WebSocket, clock: Clock): void {
  socket.once('error', () => {
    process.nextTick(() => socket.pause()); // Behind the library, which would read on.
    const callOff = clock.after(MAX_CLOSING_MS, () => socket.terminate());
    socket.once('close', callOff);
  });
}
