// Ends a WebSocket whose peer broke the protocol: with a frame that is too long, or with bytes that are no frame.
import type { WebSocket } from 'ws';
import type { Clock } from './clock.ts';

/** Time for the peer to read the close reason. */
const MAX_CLOSING_MS = 1000;

/** Stops reading: further bytes stay in the peer's own send buffer. */
export function endAtFault(socket: WebSocket, clock: Clock): void {
  socket.once('error', () => {
    process.nextTick(() => socket.pause()); // In nextTick, because ws has queued a resume of the socket just before.
    const callOff = clock.after(MAX_CLOSING_MS, () => socket.terminate());
    socket.once('close', callOff);
  });
}
