// The floor of a siege: a server that refuses every request as cheaply as Node can. The latency of our clients while it
// is attacked is the cost of sharing a machine with the attacker.
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { WebSocketServer } from 'ws';

const LIMITS = { headersTimeout: 10_000, requestTimeout: 10_000, connectionsCheckingInterval: 2000 };

async function listen(server: Server): Promise<number> {
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  return (server.address() as AddressInfo).port;
}

const api = createServer(LIMITS, (request, response) => {
  request.resume();
  request.once('end', () => response.writeHead(401, { 'content-type': 'application/json' }).end('{"code":"REFUSED"}'));
});
const sockets = new WebSocketServer({ server: api, maxPayload: 1000 });
sockets.on('connection', (socket) => socket.on('error', () => {}));
const chargers = createServer(LIMITS);
chargers.on('upgrade', (_, socket) => {
  socket.on('error', () => {});
  socket.end('HTTP/1.1 401 Unauthorized\r\nConnection: close\r\nContent-Length: 0\r\n\r\n');
});
process.send?.({ port: await listen(api), ocppPort: await listen(chargers) });
process.once('disconnect', () => process.exit(0));
