// The whole server, by default on a database of its own, and what tests do with it as a client.
import { createClient } from 'graphql-ws';
import { SignJWT } from 'jose';
import { WebSocket } from 'ws';
import { type Config, readConfig } from '../../src/app/config.ts';
import { type App, startApp } from '../../src/app/start.ts';
import { createLog, type Log } from '../../src/common/log.ts';
import {
  SimulatedCharger,
  type SimulatedChargerOptions,
  type SimulatedVersion,
} from '../../src/dev/simulator/simulated-charger.ts';
import { Queue } from './queue.ts';
import { RawCharger } from './raw-charger.ts';
import { TestClock } from './test-clock.ts';
import { createTestDatabase, type TestDatabase } from './test-database.ts';

export const SECRET = 'a-secret-for-tests-of-32-characters-or-more';
export const PASSWORD = 'charger-password';

// biome-ignore lint/suspicious/noExplicitAny: a test knows what it asked for
type Data = any;

export function signToken(subject: string, claims: object, options: { secret?: string; expiresIn?: string } = {}) {
  return new SignJWT({ ...claims })
    .setProtectedHeader({ alg: 'HS256' })
    .setSubject(subject)
    .setIssuedAt()
    .setExpirationTime(options.expiresIn ?? '36500d')
    .sign(new TextEncoder().encode(options.secret ?? SECRET));
}

export const adminToken = () => signToken('ada', { role: 'admin' });
export const operatorToken = (...sites: string[]) => signToken('olga', { role: 'operator', sites });
/** A driver's token that also names groups. */
export const memberToken = (idTag: string, ...groups: string[]) =>
  signToken(`driver of ${idTag}`, { role: 'driver', idTags: [idTag], groups });
export const driverToken = (...idTags: string[]) => signToken(`driver of ${idTags[0]}`, { role: 'driver', idTags });

interface ExtendInput {
  readonly id: string;
  readonly expiryDate?: string;
  readonly byMinutes?: number;
}

interface Options {
  readonly env?: Record<string, string>;
  /** An existing database, for a second server on it; absent: the server creates its own. */
  readonly database?: TestDatabase;
  readonly log?: Log;
}

export class TestServer {
  #subscriptions = 0;
  readonly #stops: (() => Promise<unknown> | unknown)[] = [];

  private constructor(
    public app: App,
    readonly database: TestDatabase,
    readonly clock: TestClock,
    readonly config: Config,
    private readonly ownsDatabase: boolean,
    private readonly log: Log,
  ) {}

  static async start(options: Options = {}): Promise<TestServer> {
    const database = options.database ?? (await createTestDatabase());
    const config = readConfig({
      DATABASE_URL: database.url,
      HOST: '127.0.0.1',
      PORT: '0',
      OCPP_PORT: '0',
      JWT_SECRET: SECRET,
      CHARGER_ANSWER_TIMEOUT_SECONDS: '5',
      DATABASE_POOL_SIZE: '6',
      // Tests send as one caller what many callers would, so the rate limits are out of reach.
      REQUESTS_PER_SECOND_PER_ADDRESS: '1000000',
      REQUESTS_PER_SECOND_PER_DRIVER: '1000000',
      REQUESTS_PER_SECOND_PER_OPERATOR: '1000000',
      LOG_LEVEL: process.env.TEST_LOG_LEVEL ?? 'silent',
      ...options.env,
    });
    const clock = new TestClock();
    const log = options.log ?? createLog(config.logLevel);
    const app = await startApp(config, { clock, log });
    return new TestServer(app, database, clock, config, options.database === undefined, log);
  }

  get url(): string {
    return `http://127.0.0.1:${this.app.port}/graphql`;
  }

  get ocppUrl(): string {
    return `ws://127.0.0.1:${this.app.ocppPort}/ocpp`;
  }

  /** Stops the app and starts it again on the same ports and the same database. */
  async restart(): Promise<void> {
    const { port, ocppPort } = this.app;
    await this.app.stop();
    const ocpp = { ...this.config.ocpp, plainPort: ocppPort ?? 0 };
    this.app = await startApp({ ...this.config, port, ocpp }, { clock: this.clock, log: this.log });
  }

  async stop(): Promise<void> {
    for (const stop of this.#stops.splice(0).toReversed()) await stop();
    await this.app.stop();
    if (this.ownsDatabase) await this.database.drop();
  }

  /** Registers a clean-up that stop() runs, the latest first. */
  onStop(stop: () => Promise<unknown> | unknown): void {
    this.#stops.push(stop);
  }

  async post(
    token: string | undefined,
    query: string,
    variables: object = {},
  ): Promise<{ status: number; body: Data }> {
    const response = await fetch(this.url, {
      method: 'POST',
      headers: { 'content-type': 'application/json', ...(token && { authorization: `Bearer ${token}` }) },
      body: JSON.stringify({ query, variables }),
    });
    return { status: response.status, body: await response.json() };
  }

  /** The data of an operation; throws if it has errors. */
  async graphql(token: string, query: string, variables: object = {}): Promise<Data> {
    const { body } = await this.post(token, query, variables);
    if (body.errors) throw new Error(JSON.stringify(body.errors));
    return body.data;
  }

  async reserveNow(token: string, input: object): Promise<Data> {
    const query = `mutation ($input: ReserveNowInput!) { reserveNow(input: $input) { __typename ${RESERVATION} ${REFUSAL}
      ... on InvalidInput { field } ${REASONS} ... on ConnectorTaken { reservedFrom reservedUntil mayPreempt }
      ... on ConnectorNotFree { connectorId state } ... on ChargerOffline { lastSeenAt } ... on ChargerRefused { answer reservation { id status reason } } } }`;
    return (await this.graphql(token, query, { input })).reserveNow;
  }

  async scheduleReservation(token: string, input: object): Promise<Data> {
    const query = `mutation ($input: ScheduleReservationInput!) { scheduleReservation(input: $input) { __typename ${RESERVATION} ${REFUSAL}
      ... on InvalidInput { field } ${REASONS} ... on ConnectorTaken { reservedFrom reservedUntil mayPreempt } } }`;
    return (await this.graphql(token, query, { input })).scheduleReservation;
  }

  async moveReservation(token: string, input: object): Promise<Data> {
    const query = `mutation ($input: MoveReservationInput!) { moveReservation(input: $input) { __typename ${RESERVATION} ${REFUSAL}
      ... on InvalidInput { field } ${REASONS} ... on ConnectorTaken { reservedFrom reservedUntil } ... on ChargerRefused { answer } } }`;
    return (await this.graphql(token, query, { input })).moveReservation;
  }

  async cancelReservation(token: string, input: object): Promise<Data> {
    const query = `mutation ($input: CancelReservationInput!) { cancelReservation(input: $input) { __typename ${RESERVATION} ${REFUSAL}
      ... on InvalidInput { field } ${REASONS} ... on ReservationEnded { endedAt reservation { id status reason } } ... on ChargerOffline { reservation { id status } }
      ... on ChargerRefused { answer reservation { id status } } } }`;
    return (await this.graphql(token, query, { input })).cancelReservation;
  }

  /** `byMinutes` counts from the reservation's current expiryDate. */
  async extendReservation(token: string, { byMinutes, ...input }: ExtendInput): Promise<Data> {
    const before = byMinutes === undefined ? undefined : (await this.reservation(input.id))?.expiryDate;
    const from = before === undefined ? this.clock.now().getTime() : Date.parse(before);
    const expiryDate = input.expiryDate ?? new Date(from + (byMinutes ?? 0) * 60_000).toISOString();
    const query = `mutation ($input: ExtendReservationInput!) { extendReservation(input: $input) { __typename ${RESERVATION} ${REFUSAL}
      ... on InvalidInput { field } ${REASONS} ... on ConnectorTaken { reservedFrom reservedUntil } ... on ChargerRefused { answer reservation { id status } }
      ... on ReservationEnded { reservation { id status } } ... on ReservationNotSettled { reservation { id status } } } }`;
    return (await this.graphql(token, query, { input: { ...input, expiryDate } })).extendReservation;
  }

  async reservation(id: string): Promise<Data> {
    const query = `query ($id: ID!) { reservation(id: $id) { ${FIELDS} } }`;
    return (await this.graphql(await adminToken(), query, { id })).reservation;
  }

  async authorization(token: string, variables: object): Promise<Data> {
    const query = `query ($chargerId: ID!, $connectorId: Int, $idTag: String!) {
      authorization(chargerId: $chargerId, connectorId: $connectorId, idTag: $idTag) { status reservedUntil } }`;
    return (await this.graphql(token, query, variables)).authorization;
  }

  async saveSite(id: string, policy: object = {}): Promise<void> {
    await this.#save('Site', { id, name: id, timeZone: 'Europe/Berlin', policy });
  }

  async saveCharger(id: string, siteId = 'site', extra: object = {}): Promise<void> {
    await this.#save('Charger', { id, siteId, password: PASSWORD, ...extra });
  }

  async saveIdTag(idTag: string, extra: object = {}): Promise<void> {
    await this.#save('IdTag', { idTag, ...extra });
  }

  async #save(what: string, input: object): Promise<void> {
    const query = `mutation ($input: Save${what}Input!) { save${what}(input: $input) { __typename ${REFUSAL} } }`;
    const result = (await this.graphql(await adminToken(), query, { input }))[`save${what}`];
    if (result.code) throw new Error(result.message);
  }

  /** Saves a site with one charger and three idTags (ANNA and BEN of the group FLEET, and CLEO). */
  async fill(): Promise<void> {
    await this.saveSite('site');
    await this.saveCharger('CH1');
    await this.saveIdTag('ANNA', { parentIdTag: 'FLEET' });
    await this.saveIdTag('BEN', { parentIdTag: 'FLEET' });
    await this.saveIdTag('CLEO');
  }

  /** A simulated charger, connected and booted. */
  async charger(
    id: string,
    version: SimulatedVersion = '1.6',
    options: Partial<SimulatedChargerOptions> = {},
  ): Promise<SimulatedCharger> {
    const charger = new SimulatedCharger({
      url: this.ocppUrl,
      id,
      password: PASSWORD,
      version,
      connectors: 2,
      ...options,
    });
    await charger.start();
    this.onStop(() => charger.stop());
    return charger;
  }

  async rawCharger(id: string, subprotocol = 'ocpp1.6', password = PASSWORD): Promise<RawCharger> {
    const charger = await RawCharger.connect({ url: this.ocppUrl, id, subprotocol, password });
    this.onStop(() => charger.socket.terminate());
    return charger;
  }

  /** Resolves once the subscription is listening, so that it gets every later event. */
  async subscribe(token: string, query: string, variables: object = {}): Promise<Queue<Data>> {
    const client = createClient({
      url: this.url.replace('http', 'ws'),
      webSocketImpl: WebSocket,
      connectionParams: { authorization: `Bearer ${token}` },
      retryAttempts: 0,
    });
    this.onStop(() => client.dispose());
    const events = new Queue<Data>();
    let isEnded = false;
    const end = () => {
      isEnded = true;
      this.#subscriptions -= 1;
    };
    this.#subscriptions += 1;
    client.subscribe(
      { query, variables: { ...variables } },
      {
        next: (message) => events.push(message.errors ? message : Object.values(message.data ?? {})[0]),
        error: end,
        complete: end,
      },
    );
    // A refused subscription has ended or sent its errors; a resumed one sends what was missed before it listens.
    while (
      events.all.length === 0 &&
      !isEnded &&
      (await this.metric('listening_subscriptions')) < this.#subscriptions
    ) {
      await new Promise(setImmediate);
    }
    return events;
  }

  /** The value of a metric from /metrics, by its name without the prefix. */
  async metric(name: string): Promise<number> {
    const headers = { authorization: `Bearer ${await adminToken()}` };
    const text = await (await fetch(this.url.replace('graphql', 'metrics'), { headers })).text();
    return Number(new RegExp(`^ev_reservation_${name} ([\\d.]+)`, 'm').exec(text)?.[1] ?? 0);
  }

  async watchReservations(token?: string, filter: object = {}): Promise<Queue<Data>> {
    const query = `subscription ($filter: ReservationEventFilter) { reservationChanged(filter: $filter) {
      cursor type from to reason actor at isEndedByOthers reservation { ${FIELDS} } } }`;
    return this.subscribe(token ?? (await adminToken()), query, { filter });
  }
}

const FIELDS = `id reservationId status reason version siteId chargerId connectorId plugType idTag parentIdTag
  policyVersion createdAt startsAt expiryDate acceptedAt isBooking extensions endedAt movedFrom alternative { chargerId connectorId }
  isLateCancel isReReservation transactionId usedConnectorId isBreached enforcement`;
const RESERVATION = `... on Reservation { ${FIELDS} }`;
const REASONS = '... on PolicyRefused { reasons { rule message limitMinutes limitCount allowedFrom } }';
const REFUSAL = '... on Refusal { code message }';
