// A simulated client: it reserves now or ahead, then cancels, extends, moves or charges, and remembers the answers. It
// sends an unanswered request again, a reservation with the same idempotencyKey.
import type { SimulatedCharger } from '../../src/dev/simulator/simulated-charger.ts';
import { type Answer, type ServerProcess, signToken } from './server-process.ts';

/** The statuses and refusal codes that a client got for one reservation, in order. */
export interface Told {
  readonly key: string;
  readonly chargerId: string;
  id?: string;
  readonly words: string[];
}

export interface Counts {
  operations: number;
  repeated: number;
}

const RESERVE = `mutation ($input: ReserveNowInput!) { reserveNow(input: $input) {
  ... on Reservation { id status } ... on Refusal { code } } }`;
const SCHEDULE = `mutation ($input: ScheduleReservationInput!) { scheduleReservation(input: $input) {
  ... on Reservation { id status } ... on Refusal { code } } }`;
const MOVE = `mutation ($input: MoveReservationInput!) { moveReservation(input: $input) {
  ... on Reservation { id status } ... on Refusal { code } } }`;
const CANCEL = `mutation ($input: CancelReservationInput!) { cancelReservation(input: $input) {
  ... on Reservation { id status } ... on Refusal { code } } }`;
const EXTEND = `mutation ($input: ExtendReservationInput!) { extendReservation(input: $input) {
  ... on Reservation { id status } ... on Refusal { code } } }`;

export class Client {
  readonly told: Told[] = [];
  #isStopped = false;
  #token = '';

  constructor(
    private readonly name: string,
    private readonly server: ServerProcess,
    private readonly chargers: readonly SimulatedCharger[],
    private readonly counts: Counts,
  ) {}

  stop(): void {
    this.#isStopped = true;
  }

  async work(): Promise<void> {
    this.#token = await signToken(this.name, { role: 'driver', idTags: [this.name] });
    for (let round = 0; !this.#isStopped; round += 1) {
      await this.#reservation(round);
      await pause(Math.random() * 200);
    }
  }

  async #reservation(round: number): Promise<void> {
    const charger = this.chargers[Math.floor(Math.random() * this.chargers.length)] as SimulatedCharger;
    const connectorId = Math.floor(Math.random() * (charger.connectorCount + 1));
    const told: Told = { key: `${this.name}-${round}`, chargerId: charger.id, words: [] };
    this.told.push(told);
    const place = { chargerId: charger.id, connectorId, idTag: this.name };
    const wish = { ...place, durationMinutes: 1, idempotencyKey: told.key };
    const reserved =
      Math.random() < 0.7
        ? await this.#ask(RESERVE, wish)
        : await this.#ask(SCHEDULE, {
            ...wish,
            startsAt: new Date(Date.now() + 1000 + Math.random() * 3000).toISOString(),
          });
    if (!reserved) return;
    told.words.push(reserved.status ?? reserved.code);
    if (reserved.code) return;
    told.id = reserved.id;
    await pause(Math.random() * 300);
    const choice = Math.random();
    if (choice < 0.1) {
      // The new reservation of a move has another id and no key, so only the log and the charger can be checked for it.
      const other = 1 + Math.floor(Math.random() * charger.connectorCount);
      await this.#ask(MOVE, { id: told.id, connectorId: other });
    } else if (choice < 0.45) await this.#then(told, CANCEL, { id: told.id });
    else if (choice < 0.6)
      await this.#then(told, EXTEND, { id: told.id, expiryDate: new Date(Date.now() + 100_000).toISOString() });
    else if (choice < 0.9) await this.#charge(charger, connectorId);
  }

  async #then(told: Told, query: string, input: object): Promise<void> {
    const answer = await this.#ask(query, input);
    if (answer) told.words.push(answer.status ?? answer.code);
  }

  async #charge(charger: SimulatedCharger, reserved: number): Promise<void> {
    const connectorId = reserved === 0 ? 1 + Math.floor(Math.random() * charger.connectorCount) : reserved;
    const began = await charger.present(connectorId, this.name).catch(() => 'lost');
    if (began !== 'charging') return;
    await pause(Math.random() * 300);
    await charger.unplug(connectorId).catch(() => {});
  }

  async #ask(query: string, input: object): Promise<Answer | undefined> {
    this.counts.operations += 1;
    for (let tries = 0; !this.#isStopped || tries < 20; tries += 1) {
      const answer = await this.server.ask(this.#token, query, { input });
      if (answer) return answer;
      this.counts.repeated += 1;
      await pause(100 + Math.random() * 200);
    }
    return undefined;
  }
}

export const pause = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));
