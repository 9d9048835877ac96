// A receiver of webhooks: a real HTTP server that keeps each request and answers as the test sets it.
import { createServer, type IncomingHttpHeaders, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { Queue } from './queue.ts';

// biome-ignore lint/suspicious/noExplicitAny: a test knows what it asked for
type Data = any;

export interface Received {
  readonly headers: IncomingHttpHeaders;
  readonly body: string;
  readonly message: Data;
}

export class Receiver {
  readonly received = new Queue<Received>();
  /** The status to answer with; a promise delays the answer until it resolves. */
  answer: (received: Received) => number | Promise<number> = () => 200;
  answerHeaders: Record<string, string> = {};

  /** Raw bytes to write instead of an HTTP answer. */
  raw: string | undefined;

  private constructor(private readonly server: Server) {
    server.on('request', async (request, response) => {
      let body = '';
      for await (const chunk of request) body += chunk;
      const received = { headers: request.headers, body, message: JSON.parse(body) };
      this.received.push(received);
      if (this.raw !== undefined) return void request.socket.write(this.raw);
      response.writeHead(await this.answer(received), this.answerHeaders).end();
    });
  }

  static async start(): Promise<Receiver> {
    const server = createServer();
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    return new Receiver(server);
  }

  get url(): string {
    return `http://127.0.0.1:${(this.server.address() as AddressInfo).port}/hook`;
  }

  get types(): string[] {
    return this.received.all.map(({ message }) => message.type);
  }

  async stop(): Promise<void> {
    this.server.closeAllConnections();
    await new Promise((resolve) => this.server.close(resolve));
  }
}
