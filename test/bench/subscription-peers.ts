// The servers that ours is compared with, as a child of the benchmark; both get their events in memory, for free.
// `raw`: bare `ws` writes the same frames to the subscribers concerned, without executing anything. `stock`: the same
// schema, served as the manuals of the libraries show it: GraphQL.js executes and `graphql-ws` serializes for each
// subscriber.
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { useServer } from 'graphql-ws/use/ws';
import { type WebSocket, WebSocketServer } from 'ws';
import { buildApiSchema } from '../../src/graphql/schema.ts';
import { ReservationChangedResolver } from '../../src/graphql/types/reservation-changed.graphql.ts';
import type { ReservationEvent } from '../../src/model/events/event.ts';
import { benchEvent, frameOf } from './subscription-events.ts';

type Filter = { siteId?: string; chargerId?: string };
const isWanted = ({ siteId, chargerId }: Filter, event: ReservationEvent) =>
  (siteId === undefined || siteId === event.siteId) && (chargerId === undefined || chargerId === event.chargerId);

const http = createServer();
const emit = process.argv[2] === 'raw' ? raw() : stock();
http.listen(0, '127.0.0.1', () => process.send?.({ port: (http.address() as AddressInfo).port }));

function raw(): (event: ReservationEvent) => void {
  const sockets = new WebSocketServer({ server: http, perMessageDeflate: false });
  const groups = new Map<string, WebSocket[]>();
  sockets.on('connection', (socket) => {
    socket.on('message', (text) => {
      const { type, payload } = JSON.parse(`${text}`);
      if (type === 'connection_init') return socket.send('{"type":"connection_ack"}');
      const { siteId = '', chargerId = '' } = payload.variables.filter;
      const key = `${siteId}/${chargerId}`;
      groups.set(key, [...(groups.get(key) ?? []), socket]);
    });
  });
  return (event) => {
    const frame = frameOf(event);
    for (const key of ['/', `${event.siteId}/`, `/${event.chargerId}`]) {
      for (const socket of groups.get(key) ?? []) socket.send(frame, { binary: false });
    }
  };
}

function stock(): (event: ReservationEvent) => void {
  const schema = buildApiSchema([new ReservationChangedResolver()]);
  const listeners = new Set<(event: ReservationEvent) => void>();
  const field = schema.getSubscriptionType()?.getFields().reservationChanged;
  if (!field) throw new Error('The schema has no reservationChanged');
  field.subscribe = (_, { filter }: { filter: Filter }) => {
    const waiting: ReservationEvent[] = [];
    let wake = () => {};
    const listener = (event: ReservationEvent) => {
      if (!isWanted(filter, event)) return;
      waiting.push(event);
      wake();
    };
    listeners.add(listener);
    return (async function* () {
      try {
        for (;;) {
          const event = waiting.shift();
          if (event) yield event;
          else
            await new Promise<void>((resolve) => {
              wake = resolve;
            });
        }
      } finally {
        listeners.delete(listener);
      }
    })();
  };
  useServer({ schema, context: {} }, new WebSocketServer({ server: http, path: '/graphql' }));
  return (event) => {
    for (const listener of listeners) listener(event);
  };
}

process.on('message', (message: { emit: number; sites: number; chargers: number } | 'usage') => {
  if (message === 'usage') {
    global.gc?.();
    process.send?.({ cpu: process.cpuUsage(), rss: process.memoryUsage.rss() });
    return;
  }
  let left = message.emit;
  const next = () => {
    if (left === 0) return;
    left -= 1;
    emit(benchEvent(message.sites, message.chargers));
    setImmediate(next);
  };
  next();
});
process.on('disconnect', () => process.exit(0));
