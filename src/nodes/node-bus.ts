// Connects the nodes of one database: an advisory lock shows that a node lives, NOTIFY carries requests and hints.
// Messages are not durable: a lost request costs its sender a timeout, a lost hint only the wait for the next poll.
import { randomUUID } from 'node:crypto';
import pg from 'pg';
import { type Clock, withDeadline } from '../common/clock.ts';
import type { Log } from '../common/log.ts';
import { NODE_LOCKS } from '../storage/advisory-locks.ts';
import { type Database, DatabaseAway } from '../storage/database.ts';
import { statement } from '../storage/statement.ts';

const SWEEP_MS = 1000;
const CONNECT_MS = 5000;
const KEEP_ALIVE_MS = 10_000;
const HINT_EVERY_MS = 5;
const HINTS = 'ev_reservation_hints';

type Message =
  | {
      readonly type: 'request';
      readonly id: string;
      readonly from: number;
      readonly topic: string;
      readonly body: unknown;
    }
  | { readonly type: 'reply'; readonly id: string; readonly body: unknown };

type Phase =
  | { readonly is: 'joined'; readonly nodeId: number; readonly client: pg.Client }
  | { readonly is: 'lost' }
  | { readonly is: 'left' };

const statements = {
  register: statement('node-register', 'INSERT INTO node (id, started_at) VALUES (:id, :startedAt)'),
  remove: statement('node-remove', 'DELETE FROM node WHERE id = :nodeId'),
  // A node whose lock nobody holds is dead.
  dead: statement<{ id: number }>(
    'node-dead',
    `
      SELECT id FROM node WHERE NOT EXISTS (
        SELECT FROM pg_locks
        WHERE locktype = 'advisory' AND database = (SELECT oid FROM pg_database WHERE datname = current_database())
          AND classid = ${NODE_LOCKS} AND objid = node.id::oid AND granted)`,
  ),
  count: statement<{ nodes: number; own: number }>(
    'node-count',
    'SELECT count(*)::int AS nodes, count(*) FILTER (WHERE id = :nodeId)::int AS own FROM node',
  ),
};

export interface NodeBusEvents {
  /** Another node has appended to the event log. */
  onHint(): void;
  /** Answers a request of another node; the resolved value goes back as JSON. */
  onRequest(topic: string, body: unknown): Promise<unknown>;
  /** These nodes have died, and the sockets of their chargers with them. Other nodes may report the same. */
  onDied(nodeIds: readonly number[]): Promise<void>;
  /** This node has a new id: at its start, and after its database connection was lost. */
  onJoined(nodeId: number): Promise<void>;
}

export class NodeBus {
  #phase: Phase = { is: 'lost' };
  #isAlone = true;
  #hint: 'none' | 'sent' | 'wanted' = 'none';
  #callOffSweep: (() => void) | undefined;
  readonly #waiting = new Map<string, (body: unknown) => void>();

  constructor(
    private readonly url: string,
    private readonly database: Database,
    private readonly clock: Clock,
    private readonly log: Log,
    private readonly events: NodeBusEvents,
  ) {}

  get nodeId(): number {
    if (this.#phase.is !== 'joined') throw new DatabaseAway('This node has lost its connection to the database');
    return this.#phase.nodeId;
  }

  async join(): Promise<void> {
    const client = new pg.Client({
      connectionString: this.url,
      application_name: 'ev-reservation-server node',
      connectionTimeoutMillis: CONNECT_MS,
      keepAlive: true,
      keepAliveInitialDelayMillis: KEEP_ALIVE_MS,
    });
    client.on('error', (error) => this.#lose(client, error));
    client.on('end', () => this.#lose(client));
    try {
      await this.#register(client);
    } catch (error) {
      await client.end().catch(() => {});
      throw error;
    }
  }

  async #register(client: pg.Client): Promise<void> {
    await client.connect();
    const { rows } = await client.query<{ id: number }>(`SELECT nextval('node_id')::integer AS id`);
    const id = rows[0]?.id ?? 0;
    await client.query('SELECT pg_advisory_lock($1, $2)', [NODE_LOCKS, id]);
    await this.database.query(statements.register, { id, startedAt: this.clock.now() });
    client.on('notification', ({ channel, payload }) => this.#receive(channel, payload));
    await client.query(`LISTEN ${HINTS}; LISTEN ${channelOf(id)}`);
    this.#phase = { is: 'joined', nodeId: id, client };
    // Before the sweep, which finds this node's old id dead: its chargers are connected here and must not seem offline.
    await this.events.onJoined(id);
    await this.#sweep();
  }

  async leave(): Promise<void> {
    const phase = this.#phase;
    this.#phase = { is: 'left' };
    this.#callOffSweep?.();
    if (phase.is !== 'joined') return;
    try {
      await this.database.query(statements.remove, { nodeId: phase.nodeId });
    } finally {
      await phase.client.end();
    }
  }

  /** Notifies the other nodes that the log has grown: sends at once, then merges further hints for HINT_EVERY_MS. */
  hint(): void {
    if (this.#isAlone) return;
    if (this.#hint !== 'none') {
      this.#hint = 'wanted';
      return;
    }
    this.#hint = 'sent';
    void this.#notify(HINTS, `${this.#phase.is === 'joined' ? this.#phase.nodeId : ''}`);
    this.clock.after(HINT_EVERY_MS, () => {
      const isWanted = this.#hint === 'wanted';
      this.#hint = 'none';
      if (isWanted) this.hint();
    });
  }

  /**
   * Resolves with the other node's reply, or with undefined if none came in time: the request may have been carried out
   * or not.
   */
  async request(nodeId: number, topic: string, body: unknown, timeoutMs: number): Promise<unknown> {
    const id = randomUUID();
    const message: Message = { type: 'request', id, from: this.nodeId, topic, body };
    const reply = new Promise<unknown>((resolve) => this.#waiting.set(id, resolve));
    await this.#notify(channelOf(nodeId), JSON.stringify(message));
    const answer = await withDeadline(this.clock, reply, timeoutMs);
    this.#waiting.delete(id);
    return answer;
  }

  async #notify(channel: string, payload: string): Promise<void> {
    if (this.#phase.is !== 'joined') return;
    const sent = this.#phase.client.query('SELECT pg_notify($1, $2)', [channel, payload]);
    await sent.catch((error) => this.log.warn({ error }, 'a message to another node was lost'));
  }

  #receive(channel: string, payload = ''): void {
    if (this.#phase.is !== 'joined') return;
    if (channel === HINTS) {
      if (payload !== `${this.#phase.nodeId}`) this.events.onHint();
      return;
    }
    const message = readMessage(payload);
    if (!message) {
      this.log.warn({ channel }, 'a message that is not in the nodes’ format was dropped');
      return;
    }
    if (message.type === 'reply') {
      this.#waiting.get(message.id)?.(message.body);
      return;
    }
    const { id, from, topic, body } = message;
    this.events.onRequest(topic, body).then(
      (answer) => this.#notify(channelOf(from), JSON.stringify({ type: 'reply', id, body: answer })),
      (error) => this.log.error({ error, topic }, 'a request of another node failed'),
    );
  }

  async #sweep(): Promise<void> {
    try {
      const dead = (await this.database.query(statements.dead)).map(({ id }) => id);
      if (dead.length > 0) {
        // Several nodes may find the same dead node, so onDied must be idempotent.
        await this.events.onDied(dead);
        for (const id of dead) await this.database.query(statements.remove, { nodeId: id });
        this.log.info({ nodes: dead }, 'nodes that died were removed');
      }
      if (this.#phase.is !== 'joined') return;
      const { nodeId, client } = this.#phase;
      const [count] = await this.database.query(statements.count, { nodeId });
      this.#isAlone = (count?.nodes ?? 1) < 2;
      // Another node has removed this one as dead: its lock was lost with a connection that still looks open from here.
      if (count?.own === 0) this.#lose(client, new Error('Another node has removed this one as dead'));
    } catch (error) {
      this.log.warn({ error }, 'the nodes could not be checked');
    }
    this.#callOffSweep?.();
    if (this.#phase.is === 'joined') this.#callOffSweep = this.clock.after(SWEEP_MS, () => void this.#sweep());
  }

  #lose(client: pg.Client, error?: Error): void {
    if (this.#phase.is !== 'joined' || this.#phase.client !== client) return;
    this.log.error({ error }, 'the connection to the other nodes was lost; joining again');
    this.#phase = { is: 'lost' };
    this.#callOffSweep?.();
    client.end().catch(() => {});
    this.#rejoin();
  }

  #rejoin(): void {
    this.clock.after(SWEEP_MS, () => {
      if (this.#phase.is !== 'lost') return;
      this.join().catch((error) => {
        this.log.warn({ error }, 'joining again failed; it will be tried again');
        this.#rejoin();
      });
    });
  }
}

/** Every user of the database can NOTIFY these channels, so a payload can be anything. */
function readMessage(payload: string): Message | undefined {
  try {
    const message = JSON.parse(payload);
    return message?.type === 'request' || message?.type === 'reply' ? message : undefined;
  } catch {
    return undefined;
  }
}

const channelOf = (nodeId: number) => `ev_reservation_node_${nodeId}`;
