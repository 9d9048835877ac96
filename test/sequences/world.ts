// The system that the model is compared with: the server on PostgreSQL, one simulated charger over its socket, and the
// clocks of both. Also checks the invariants, after each step and once everything is settled.
import type { Clock } from '../../src/common/clock.ts';
import { SimulatedCharger, type SimulatedVersion } from '../../src/dev/simulator/simulated-charger.ts';
import { PASSWORD, signToken, type TestServer } from '../support/test-server.ts';

export interface Asked {
  readonly key: string;
  readonly idTag: string;
  readonly connectorId: number;
  /** The API's key of the reservation; absent if the request was refused. */
  id?: string;
  /** The answer to the client: a status, or the code of a refusal. */
  told?: string;
}

interface HoldRow {
  readonly id: string;
  readonly reservationId: number;
  readonly connectorId: number;
  readonly idTag: string;
  readonly parentIdTag: string | null;
  readonly status: string;
  readonly expiryDate: Date;
}

export const groups: Record<string, string | undefined> = { ANNA: 'FLEET', BEN: 'FLEET', CLEO: undefined };
export const TIMEOUT_MS = 1000;
/** An expiry this close to now may have happened by one clock and not yet by the other. */
const EDGE_MS = 3000;

let worlds = 0;

export class World {
  readonly asked: Asked[] = [];
  /** The largest skew that the charger's clock has had: timers that it set under that skew may still run. */
  #maxSkewMs = 0;
  #events = 0;

  private constructor(
    readonly server: TestServer,
    readonly charger: SimulatedCharger,
    private readonly tokens: Record<string, string>,
    private readonly clock: { skewMs: number },
  ) {}

  static async create(server: TestServer, version: SimulatedVersion): Promise<World> {
    worlds += 1;
    const id = `M${process.pid}-${worlds}`;
    await server.saveCharger(id);
    const skew = { skewMs: 0 };
    const clock: Clock = {
      now: () => new Date(server.clock.now().getTime() + skew.skewMs),
      after: (delayMs, task) => server.clock.after(delayMs, task),
    };
    const charger = new SimulatedCharger({
      url: server.ocppUrl,
      id,
      password: PASSWORD,
      version,
      connectors: 2,
      clock,
    });
    await charger.start();
    const tokens: Record<string, string> = {};
    for (const idTag of Object.keys(groups)) {
      tokens[idTag] = await signToken(`driver of ${idTag}`, { role: 'driver', idTags: [idTag] });
    }
    tokens.admin = await signToken('ada', { role: 'admin' });
    return new World(server, charger, tokens, skew);
  }

  setSkew(skewMs: number): void {
    this.#maxSkewMs = Math.max(this.#maxSkewMs, Math.abs(skewMs));
    this.clock.skewMs = skewMs;
  }

  token(idTag: string): string {
    return this.tokens[idTag] ?? '';
  }

  /** Waits for the work, and advances the clock by TIMEOUT_MS for as long as it does not finish. */
  async through<T>(work: Promise<T>): Promise<{ result: T; hasWaited: boolean }> {
    let isDone = false;
    const done = work.finally(() => {
      isDone = true;
    });
    done.catch(() => {});
    let hasWaited = false;
    while (!(await within(done, hasWaited ? 20 : 60)) && !isDone) {
      hasWaited = true;
      this.server.clock.advance(TIMEOUT_MS);
    }
    return { result: await done, hasWaited };
  }

  /** Makes the charger behave normally, connects it, and waits until nothing is left to settle. */
  async quiet(): Promise<void> {
    const { charger, server } = this;
    charger.behaviour = { type: 'normal' };
    charger.answerHeld();
    await this.reconnect();
    for (let round = 0; round < 400; round += 1) {
      if ((await this.#unsettled()) === 0 && charger.queued === 0) return;
      if (round % 4 === 3) server.clock.advance(2000);
      await within(new Promise<void>(() => {}), 5);
      await charger.call('Heartbeat', {});
    }
    const rows = await server.database.query('SELECT * FROM reservation WHERE charger_id = $1 AND due_at IS NOT NULL', [
      charger.id,
    ]);
    throw new Error(`It never becomes quiet: ${JSON.stringify(rows)}, ${charger.queued} queued`);
  }

  async reconnect(): Promise<void> {
    if (!this.charger.isConnected) await this.through(this.charger.connect());
  }

  async #unsettled(): Promise<number> {
    const [row] = await this.server.database.query<{ n: number }>(
      `SELECT count(*)::int AS n FROM reservation WHERE charger_id = $1
         AND (status IN ('PENDING', 'UNKNOWN', 'CANCELLING') OR due_at IS NOT NULL
           OR (status = 'ACCEPTED' AND expiry_date <= $2))`,
      [this.charger.id, this.server.clock.now()],
    );
    return row?.n ?? 0;
  }

  holds(): Promise<HoldRow[]> {
    return this.server.database.query<HoldRow>(
      `SELECT id, reservation_id AS "reservationId", connector_id AS "connectorId", id_tag AS "idTag",
         parent_id_tag AS "parentIdTag", status, expiry_date AS "expiryDate"
       FROM reservation WHERE charger_id = $1 AND status IN ('PENDING', 'UNKNOWN', 'ACCEPTED', 'CANCELLING')`,
      [this.charger.id],
    );
  }

  /** Checks the invariants that hold after every step. */
  async check(): Promise<void> {
    await this.#checkHolds();
    await this.#checkEvents();
  }

  /** At most one live hold per connector, and at most as many as the charger has connectors. */
  async #checkHolds(): Promise<void> {
    const now = this.server.clock.now();
    const live = (await this.holds()).filter(({ expiryDate }) => expiryDate > now);
    const named = live.map(({ connectorId }) => connectorId).filter((connectorId) => connectorId > 0);
    if (new Set(named).size !== named.length) throw new Error(`A connector is held twice: ${JSON.stringify(live)}`);
    if (live.length > this.charger.connectorCount)
      throw new Error(`More holds than connectors: ${JSON.stringify(live)}`);
  }

  /**
   * Each transition has one event, versions have no gaps, and a final status changes only by the audited correction to
   * USED.
   */
  async #checkEvents(): Promise<void> {
    type Row = { id: string; version: number; status: string; events: { v: number; f: string | null; t: string }[] };
    const rows = await this.server.database.query<Row>(
      `SELECT r.id, r.version, r.status,
         (SELECT json_agg(json_build_object('v', e.version, 'f', e.from_status, 't', e.to_status) ORDER BY e.version)
          FROM event e WHERE e.reservation_id = r.id) AS events
       FROM reservation r WHERE charger_id = $1`,
      [this.charger.id],
    );
    let events = 0;
    for (const { id, version, status, events: told } of rows) {
      const broken = told.some(({ v, f }, index) => v !== index + 1 || f !== (told[index - 1]?.t ?? null));
      const undone = told.some(({ f, t }) => f !== null && finals.has(f) && !(t === 'USED' && correctable.has(f)));
      if (broken || undone || told.length !== version || told.at(-1)?.t !== status) {
        throw new Error(`The history of ${id} (${status}, version ${version}) is wrong: ${JSON.stringify(told)}`);
      }
      events += told.length;
    }
    if (events < this.#events) throw new Error('Events were lost');
    this.#events = events;
  }

  /**
   * Checks what holds once everything is settled: the charger holds what the server stores, and the answers that
   * clients got match the rows.
   */
  async checkQuiet(): Promise<void> {
    const { server, charger } = this;
    const now = server.clock.now().getTime();
    const isClear = ({ expiryDate }: { expiryDate: Date }) =>
      Math.abs(expiryDate.getTime() - now) > EDGE_MS + this.#maxSkewMs && expiryDate.getTime() > now;
    const ours = (await this.holds()).filter(isClear).map(describe).toSorted();
    const theirs = charger.reservations.filter(isClear).map(describe).toSorted();
    if (JSON.stringify(ours) !== JSON.stringify(theirs)) {
      throw new Error(`The server says ${JSON.stringify(ours)}, the charger holds ${JSON.stringify(theirs)}`);
    }
    const rows = await server.database.query<{ key: string; id: string; status: string }>(
      'SELECT idempotency_key AS key, id, status FROM reservation WHERE charger_id = $1',
      [charger.id],
    );
    for (const { key, id, told } of this.asked) {
      const row = rows.find((one) => one.key === key);
      const wasRefused = told !== undefined && id === undefined;
      const isWrong = wasRefused
        ? row && !['REJECTED', 'FAILED'].includes(row.status)
        : id !== undefined && row?.id !== id;
      if (isWrong) throw new Error(`The client of ${key} was told ${told}, and the row is ${JSON.stringify(row)}`);
    }
    if (rows.length > this.asked.length) throw new Error('There is a reservation nobody asked for');
  }

  /** Events, transactions and Calls of this charger, to be printed with a failure. */
  async story(): Promise<string> {
    const query = (text: string) => this.server.database.query<{ line: string }>(text, [this.charger.id]);
    const events = await query(
      `SELECT concat_ws(' ', at, type, snapshot->>'reservationId', 'on', connector_id, 'for', snapshot->>'idTag', from_status, to_status, reason) AS line
       FROM event WHERE charger_id = $1 AND kind = 'RESERVATION' ORDER BY id`,
    );
    const transactions = await query(
      `SELECT concat_ws(' ', started_at, 'transaction', wire_id, 'on', connector_id, 'by', id_tag, is_accepted, 'stopped', stopped_at) AS line
       FROM transaction WHERE charger_id = $1 ORDER BY started_at`,
    );
    const calls = this.charger.received.map(({ method, payload }) => `${method} ${JSON.stringify(payload)}`);
    return [...events.map(({ line }) => line), ...transactions.map(({ line }) => line), ...calls].join('\n');
  }

  async close(): Promise<void> {
    this.charger.answerHeld();
    await this.charger.stop();
    await this.server.database.query('UPDATE reservation SET due_at = NULL WHERE charger_id = $1', [this.charger.id]);
  }
}

const finals = new Set(['USED', 'CANCELLED', 'EXPIRED', 'REMOVED', 'REJECTED', 'FAILED']);
const correctable = new Set(['CANCELLED', 'EXPIRED', 'REMOVED', 'FAILED']);

const describe = ({ reservationId, connectorId, idTag, expiryDate }: Omit<HoldRow, 'id' | 'status' | 'parentIdTag'>) =>
  `${reservationId} on ${connectorId} for ${idTag} until ${expiryDate.toISOString()}`;

/** Resolves with whether the work finishes within that real time. */
export function within(work: Promise<unknown>, ms: number): Promise<boolean> {
  return new Promise((resolve, reject) => {
    const timer = setTimeout(() => resolve(false), ms);
    work
      .then(
        () => resolve(true),
        (error) => reject(error),
      )
      .finally(() => clearTimeout(timer));
  });
}
