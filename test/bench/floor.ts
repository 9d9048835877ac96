// The floor: the least code that does this work. A bare HTTP server, raw `pg` with prepared statements and raw `ws`
// make the same inserts, updates and commits in the same tables, and the same Calls to the charger. It has no GraphQL,
// TypeORM, tokens, policy, facts, validation or settler.
import { randomUUID } from 'node:crypto';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { Pool } from 'pg';
import { type WebSocket, WebSocketServer } from 'ws';

const pool = new Pool({
  connectionString: process.env.DATABASE_URL ?? '',
  max: Number(process.env.DATABASE_POOL_SIZE),
});
const chargers = new Map<string, WebSocket>();
const waiting = new Map<string, () => void>();

const event = (from: string, fromStatus: string) => `
  INSERT INTO event (at, kind, type, site_id, charger_id, connector_id, from_status, to_status, actor, reservation_id, version, snapshot)
  SELECT now(), 'RESERVATION', status, site_id, charger_id, connector_id, ${fromStatus}, status, 'DRIVER', id, version, to_jsonb(${from})
  FROM ${from}`;
const insert = {
  name: 'insert',
  text: `WITH r AS (INSERT INTO reservation (id, reservation_id, site_id, charger_id, connector_id, id_tag, token_type, status, version,
      starts_at, expiry_date, created_at, created_by, due_at)
    VALUES ($1, nextval('reservation_wire_id'), 'site', $2, 1, 'ANNA', 'ISO14443', 'PENDING', 1, now(), now() + interval '30 minutes',
      now(), 'anna', now() + interval '30 seconds') RETURNING *), e AS (${event('r', 'NULL')}) SELECT * FROM r`,
};
const update = {
  name: 'update',
  text: `WITH r AS (UPDATE reservation SET status = $2, version = version + 1 WHERE id = $1 RETURNING *),
    e AS (${event('r', "'PENDING'")}) SELECT * FROM r`,
};

function call(chargerId: string, action: string, payload: object): Promise<void> {
  const id = randomUUID();
  chargers.get(chargerId)?.send(JSON.stringify([2, id, action, payload]));
  return new Promise((resolve) => waiting.set(id, resolve));
}

async function reserve({ chargerId }: { chargerId: string }): Promise<object> {
  const [made] = (await pool.query({ ...insert, values: [randomUUID(), chargerId] })).rows;
  const { reservation_id: reservationId, expiry_date: expiryDate, id_tag: idTag, id } = made;
  await call(chargerId, 'ReserveNow', { connectorId: 1, expiryDate, idTag, reservationId });
  return (await pool.query({ ...update, values: [id, 'ACCEPTED'] })).rows[0];
}

async function cancel({ id }: { id: string }): Promise<object> {
  const [wished] = (await pool.query({ ...update, values: [id, 'CANCELLING'] })).rows;
  await call(wished.charger_id, 'CancelReservation', { reservationId: wished.reservation_id });
  return (await pool.query({ ...update, values: [id, 'CANCELLED'] })).rows[0];
}

function answer(request: IncomingMessage, response: ServerResponse): void {
  let body = '';
  request.on('data', (chunk) => {
    body += chunk;
  });
  request.on('end', () => {
    const work = request.url === '/reserve' ? reserve(JSON.parse(body)) : cancel(JSON.parse(body));
    work.then(
      (result) => response.end(JSON.stringify(result)),
      (error) => response.writeHead(500).end(String(error)),
    );
  });
}

const server = createServer(answer);
const sockets = new WebSocketServer({ server, perMessageDeflate: false });
sockets.on('connection', (socket, request) => {
  chargers.set(request.url?.split('/').at(-1) ?? '', socket);
  socket.on('message', (data) => {
    const [, id] = JSON.parse(data.toString());
    waiting.get(id)?.();
    waiting.delete(id);
  });
});
server.listen(0, '127.0.0.1', () => {
  const { port } = server.address() as AddressInfo;
  process.send?.({ port, ocppPort: port });
});
process.on('message', () => process.send?.({ cpu: process.cpuUsage() }));
process.on('disconnect', () => process.exit(0));
