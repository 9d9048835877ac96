// A subscriber that reconnects after each disconnect, with the cursor of the last event it saw.
import { createClient } from 'graphql-ws';
import { WebSocket } from 'ws';
import { pause } from './client.ts';
import { type ServerProcess, signToken } from './server-process.ts';

export interface SeenEvent {
  readonly cursor: string;
  readonly reservation: { readonly id: string; readonly version: number };
}

const QUERY = `subscription ($after: String) { reservationChanged(after: $after) { cursor reservation { id version } } }`;

export class Watcher {
  readonly seen: SeenEvent[] = [];
  connections = 0;
  #isStopped = false;
  #end: () => void = () => {};

  constructor(
    private readonly server: ServerProcess,
    private readonly from: string,
  ) {}

  async watch(): Promise<void> {
    const authorization = `Bearer ${await signToken('ada', { role: 'admin' })}`;
    while (!this.#isStopped) {
      await this.#visit(authorization);
      await pause(50 + Math.random() * 200);
    }
  }

  /** Breaks the socket, as a bad network does. */
  cut(): void {
    this.#end();
  }

  stop(): void {
    this.#isStopped = true;
    this.#end();
  }

  #visit(authorization: string): Promise<void> {
    this.connections += 1;
    const after = this.seen.at(-1)?.cursor ?? this.from;
    return new Promise((resolve) => {
      let isOver = false;
      let socket: WebSocket | undefined;
      class Cut extends WebSocket {
        constructor(...args: ConstructorParameters<typeof WebSocket>) {
          super(...args);
          socket = this;
        }
      }
      const url = this.server.graphqlUrl.replace('http', 'ws');
      const client = createClient({
        url,
        webSocketImpl: Cut,
        connectionParams: { authorization },
        retryAttempts: 0,
        lazy: true,
      });
      const end = () => {
        if (isOver) return;
        isOver = true;
        if (socket?.readyState === WebSocket.OPEN) socket.terminate();
        else socket?.once('open', () => socket?.terminate());
        Promise.resolve(client.dispose()).catch(() => {}); // The client may not have been connected yet.
        resolve();
      };
      this.#end = end;
      client.subscribe<{ reservationChanged: SeenEvent }>(
        { query: QUERY, variables: { after } },
        {
          next: ({ data, errors }) => {
            if (isOver) return;
            if (data) this.seen.push(data.reservationChanged);
            else if (errors) end();
          },
          error: end,
          complete: end,
        },
      );
    });
  }
}
