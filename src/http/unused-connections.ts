// Tracks connections that have not sent a request yet, as browsers and connection pools open them in advance. Node
// counts them neither as idle nor as closed, so a stop would wait for them.
import type { IncomingMessage, Server } from 'node:http';
import type { Socket } from 'node:net';

/** Returns a function that closes all connections unused at that moment. */
export function trackUnusedConnections(server: Server): () => void {
  const unused = new Set<Socket>();
  const use = ({ socket }: IncomingMessage) => void unused.delete(socket);
  server.on('connection', (socket) => {
    unused.add(socket);
    socket.once('close', () => unused.delete(socket));
  });
  server.on('request', use);
  server.on('upgrade', use);
  return () => {
    for (const socket of unused) socket.destroy();
  };
}
