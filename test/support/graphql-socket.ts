// A client that sends graphql-transport-ws messages one by one, so that a test sees each message and each close code.
import { WebSocket } from 'ws';
import { Queue } from './queue.ts';

// biome-ignore lint/suspicious/noExplicitAny: a test knows what it was sent
type Message = any;

export class GraphQLSocket {
  readonly messages = new Queue<Message>();
  readonly closed: Promise<{ code: number; reason: string }>;

  private constructor(readonly socket: WebSocket) {
    this.closed = new Promise((resolve) =>
      socket.once('close', (code, reason) => resolve({ code, reason: `${reason}` })),
    );
    socket.on('message', (data) => this.messages.push(JSON.parse(`${data}`)));
  }

  /** Opens a socket and sends nothing. */
  static async open(url: string, protocol: string | string[] = 'graphql-transport-ws'): Promise<GraphQLSocket> {
    const opened = new GraphQLSocket(new WebSocket(url.replace('http', 'ws'), protocol));
    await new Promise((resolve, reject) => opened.socket.once('open', resolve).once('error', reject));
    return opened;
  }

  /** Opens a socket and waits for connection_ack. */
  static async connect(url: string, token: string): Promise<GraphQLSocket> {
    const opened = await GraphQLSocket.open(url);
    opened.send({ type: 'connection_init', payload: { authorization: `Bearer ${token}` } });
    const answer = await opened.messages.next();
    if (answer.type !== 'connection_ack') throw new Error(`not acknowledged: ${JSON.stringify(answer)}`);
    return opened;
  }

  send(message: object | string): void {
    this.socket.send(typeof message === 'string' ? message : JSON.stringify(message));
  }

  subscribe(id: string, query: string, variables: object = {}): void {
    this.send({ id, type: 'subscribe', payload: { query, variables } });
  }
}
