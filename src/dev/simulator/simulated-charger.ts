// A charger that speaks OCPP 1.6J, 2.0.1 or 2.1 over a real socket, and keeps, expires and enforces its reservations as
// the specification demands of a charger. Offline, it queues what it has to tell of transactions. It can also be told
// to misbehave. It shares no code with the gateway.
import { EventEmitter } from 'node:events';
import { RPCClient } from 'ocpp-rpc';

export type SimulatedVersion = '1.6' | '2.0.1' | '2.1';

export interface SimulatedClock {
  now(): Date;
  /** The function returned calls the task off. */
  after(delayMs: number, task: () => void): () => void;
}

const realClock: SimulatedClock = {
  now: () => new Date(),
  after(delayMs, task) {
    const timer = setTimeout(task, delayMs);
    return () => clearTimeout(timer);
  },
};

export interface SimulatedChargerOptions {
  /** ws://host:port/path, without the identity. */
  readonly url: string;
  readonly id: string;
  readonly password: string;
  readonly version: SimulatedVersion;
  readonly connectors: number;
  /** 2.x: the type of each, in its words. */
  readonly connectorTypes?: readonly string[];
  readonly supportsReservation?: boolean;
  readonly supportsConnectorZero?: boolean;
  /** PEM: whom it trusts, and its own certificate and key. */
  readonly tls?: { readonly ca: string; readonly cert?: string; readonly key?: string };
  /** Makes a request for a certificate (PEM), when it is told to ask for one. */
  readonly requestCertificate?: () => string;
  /** Its own clock, which may be wrong. */
  readonly clock?: SimulatedClock;
}

/** How it takes ReserveNow and CancelReservation. */
export type Behaviour =
  | { readonly type: 'normal' }
  /** Answers that status to ReserveNow, for example Occupied. */
  | { readonly type: 'refuse'; readonly status: string }
  /** Carries the command out and never answers. */
  | { readonly type: 'silent' }
  /** Carries the command out and answers after that time. */
  | { readonly type: 'late'; readonly delayMs: number }
  /** Carries the command out and answers when it is told to, by `answerHeld`. */
  | { readonly type: 'held' }
  /** Neither obeys nor answers, as if the frame were lost. */
  | { readonly type: 'deaf' }
  /** Answers with a CALLERROR of that code. */
  | { readonly type: 'error'; readonly code: string };

type State = 'Available' | 'Preparing' | 'Charging' | 'Reserved' | 'Faulted' | 'Unavailable';

interface HeldReservation {
  readonly reservationId: number;
  readonly connectorId: number;
  /** 2.x: any connector of that type. */
  readonly connectorType?: string;
  readonly idTag: string;
  readonly parentIdTag?: string;
  readonly expiryDate: Date;
  readonly callOff: () => void;
}

interface SimulatedConnector {
  state: State;
  /** What the server was last told. */
  told?: string;
  transaction?: { id?: string | number; idTag: string; sequence: number; status?: string };
}

interface ReserveCommand {
  readonly reservationId: number;
  readonly connectorId: number;
  readonly connectorType?: string;
  readonly idTag: string;
  readonly parentIdTag?: string;
  readonly expiryDate: Date;
}

interface IdTagInfo {
  readonly status: string;
  readonly parentIdTag?: string;
  /** The connectors the idTag may use; absent: all. */
  readonly open?: readonly number[];
}

/** What it tells of transactions: kept until it is answered, and told in its order. */
interface Told {
  readonly method: string;
  readonly payload: () => object;
  readonly take: (answer: Payload) => void;
}

// biome-ignore lint/suspicious/noExplicitAny: the library has checked the payload against its schema
type Payload = any;
type Handler = (payload: Payload) => object | Promise<object>;

/** Calls remembered; the oldest go first. */
const MAX_RECEIVED = 10_000;
const MAX_TIMER_MS = 2 ** 31 - 1;

export class SimulatedCharger extends EventEmitter<{ call: [method: string, payload: Payload] }> {
  readonly id: string;
  readonly version: SimulatedVersion;
  /** Calls of the server, in their order. */
  readonly received: { readonly method: string; readonly payload: Payload }[] = [];
  behaviour: Behaviour = { type: 'normal' };
  #client: RPCClient | undefined;
  #transactions = 0;
  readonly #connectors: SimulatedConnector[];
  readonly #reservations = new Map<number, HeldReservation>();
  readonly #queue: Told[] = [];
  #flushing: Promise<void> | undefined;
  #heldAnswers: (() => void)[] = [];
  readonly #clock: SimulatedClock;
  #password: string;
  /** One that it was given: PEM, with what is above it. */
  #certificate: string | undefined;

  constructor(private readonly options: SimulatedChargerOptions) {
    super();
    this.id = options.id;
    this.version = options.version;
    this.#clock = options.clock ?? realClock;
    this.#password = options.password;
    this.#connectors = Array.from({ length: options.connectors }, () => ({ state: 'Available' }));
  }

  get isConnected(): boolean {
    return this.#client?.state === RPCClient.OPEN;
  }

  /** What it holds by its own memory. */
  get reservations(): readonly Omit<HeldReservation, 'callOff'>[] {
    return [...this.#reservations.values()].map(({ callOff: _, ...held }) => held);
  }

  get connectorCount(): number {
    return this.#connectors.length;
  }

  stateOf(connectorId: number): string {
    return this.#connector(connectorId).state;
  }

  /** How much it has still to tell of transactions. */
  get queued(): number {
    return this.#queue.length;
  }

  /** Connects, boots, tells its connectors and what it kept while it was offline. */
  async start(): Promise<void> {
    await this.#open();
    await this.boot();
    await this.#flush();
  }

  /** Opens the socket and tells what it kept, as after a lost connection. */
  async connect(): Promise<void> {
    await this.#open();
    await this.#flush();
    await this.#tellStates();
  }

  async #open(): Promise<void> {
    const { url, id, version } = this.options;
    await this.disconnect(); // A client that is still trying would fight with the new one for the charger's place.
    const client = new RPCClient({
      endpoint: url,
      identity: id,
      password: this.#password,
      ...this.#tls(),
      protocols: [`ocpp${version}`],
      // The library's 2.1 schemas carry ids that its strict mode does not find.
      strictMode: version !== '2.1',
      reconnect: true,
      backoff: { initialDelay: 250, maxDelay: 5000, factor: 2, randomisationFactor: 0.5 },
      callTimeoutMs: 30_000,
      pingIntervalMs: 20_000,
    } as unknown as ConstructorParameters<typeof RPCClient>[0]);
    for (const [method, handler] of Object.entries(this.#handlers())) {
      client.handle(method, async ({ params }) => {
        this.received.push({ method, payload: params });
        if (this.received.length > MAX_RECEIVED) this.received.shift();
        this.emit('call', method, params);
        return handler(params);
      });
    }
    this.#client = client;
    await client.connect();
    // When the library has connected again by itself.
    client.on(
      'open',
      () =>
        void this.#flush().then(
          () => this.#tellStates(),
          () => {},
        ),
    );
  }

  /** Tells that it started, and the state of each connector. Reservations survive a reboot. */
  async boot(): Promise<void> {
    const model = { '1.6': 'One', '2.0.1': 'Two', '2.1': 'Two Plus' }[this.version];
    await this.call(
      'BootNotification',
      this.version === '1.6'
        ? { chargePointVendor: 'Simulated', chargePointModel: model, chargePointSerialNumber: this.id }
        : { reason: 'PowerUp', chargingStation: { vendorName: 'Simulated', model, serialNumber: this.id } },
    );
    for (const connector of this.#connectors) delete connector.told;
    await this.#tellStates();
  }

  /** Ends the socket as a broken network does, and stays away. */
  disconnect(): Promise<unknown> {
    return this.#client?.close({ force: true, code: 1000, reason: 'offline' }).catch(() => {}) ?? Promise.resolve();
  }

  async reboot(): Promise<void> {
    await this.disconnect();
    await this.start();
  }

  async stop(): Promise<void> {
    for (const { callOff } of this.#reservations.values()) callOff();
    await this.disconnect();
  }

  /** Any call of a charger, as it stands in the specification. */
  call(method: string, payload: object): Promise<Payload> {
    if (!this.#client) throw new Error(`${this.id} is not connected`);
    return this.#client.call(method, payload as Payload);
  }

  async plugIn(connectorId: number): Promise<void> {
    const connector = this.#connector(connectorId);
    if (connector.state === 'Available') connector.state = 'Preparing';
    await this.#tellStates();
  }

  /** Ends the transaction, where there is one, and takes the vehicle away. */
  async unplug(connectorId: number): Promise<void> {
    const connector = this.#connector(connectorId);
    if (connector.transaction) await this.#endTransaction(connectorId, connector);
    const isBroken = connector.state === 'Faulted' || connector.state === 'Unavailable';
    if (!isBroken) connector.state = this.#heldAt(connectorId) ? 'Reserved' : 'Available';
    await this.#tellStates();
  }

  /** Somebody holds an idTag to the reader. Tells whether energy flows, and why not. */
  async present(connectorId: number, idTag: string): Promise<'charging' | 'reserved' | string> {
    const connector = this.#connector(connectorId);
    if (connector.transaction) {
      await this.unplug(connectorId);
      return 'stopped';
    }
    if (connector.state === 'Faulted' || connector.state === 'Unavailable') return connector.state.toLowerCase();
    // Offline, whoever is not shut out by a reservation may charge; the server is told later.
    const info = this.isConnected ? await this.#authorize(idTag) : { status: 'Accepted' };
    if (info.status !== 'Accepted') return info.status;
    if (info.open && !info.open.includes(connectorId)) return 'reserved';
    const reservation = this.#reservationFor(connectorId, idTag, info.parentIdTag);
    if (!reservation && this.#isHeldForOthers(connectorId)) return 'reserved';
    const status = await this.#startTransaction(connectorId, connector, idTag, reservation);
    return status === 'Accepted' ? 'charging' : status;
  }

  /** The connector says Available for a moment, though nothing has happened. */
  async flicker(connectorId: number): Promise<void> {
    for (const state of ['Available', this.#connector(connectorId).state] as const) {
      await this.call('StatusNotification', this.#statusOf(connectorId, state));
    }
  }

  /** Sends the answers it was told to keep. */
  answerHeld(): void {
    for (const answer of this.#heldAnswers.splice(0)) answer();
  }

  /** A fault, or taken out of service: the reservation of the connector is gone. */
  async fault(connectorId: number, state: 'Faulted' | 'Unavailable' = 'Faulted'): Promise<void> {
    this.#connector(connectorId).state = state;
    const held = this.#heldAt(connectorId);
    if (held) this.#drop(held.reservationId);
    await this.#tellStates();
    if (held) await this.#tellUpdate(held.reservationId, 'Removed');
  }

  async repair(connectorId: number): Promise<void> {
    this.#connector(connectorId).state = 'Available';
    await this.#tellStates();
  }

  #connector(connectorId: number): SimulatedConnector {
    const connector = this.#connectors[connectorId - 1];
    if (!connector) throw new Error(`${this.id} has no connector ${connectorId}`);
    return connector;
  }

  #handlers(): Record<string, Handler> {
    return {
      ReserveNow: (payload) => {
        if (this.behaviour.type === 'refuse') return { status: this.behaviour.status };
        return this.#obey(() => ({ status: this.#reserve(this.#read(payload)) }));
      },
      CancelReservation: ({ reservationId }) => this.#obey(() => ({ status: this.#cancel(reservationId) })),
      GetConfiguration: () => ({ configurationKey: this.#configuration(), unknownKey: [] }),
      GetVariables: ({ getVariableData }) => ({
        getVariableResult: getVariableData.map((one: Payload) => this.#variable(one)),
      }),
      ChangeConfiguration: ({ key, value }) => {
        if (key !== 'AuthorizationKey') return { status: 'NotSupported' };
        return this.#obey(() => this.#takePassword(Buffer.from(value, 'hex').toString('latin1')));
      },
      SetVariables: ({ setVariableData }) =>
        this.#obey(() => ({ setVariableResult: setVariableData.map((one: Payload) => this.#setVariable(one)) })),
      TriggerMessage: ({ requestedMessage }) => this.#trigger(requestedMessage),
      ExtendedTriggerMessage: ({ requestedMessage }) => this.#trigger(requestedMessage),
      CertificateSigned: ({ certificateChain }) => {
        this.#certificate = certificateChain;
        this.#reconfigure();
        return { status: 'Accepted' };
      },
      ChangeAvailability: () => ({ status: 'Accepted' }),
      Reset: () => ({ status: 'Rejected' }),
    };
  }

  /** From the next connection on. */
  #takePassword(password: string): { status: string } {
    this.#password = password;
    this.#reconfigure();
    return { status: 'Accepted' };
  }

  #setVariable({ component, variable, attributeValue }: Payload): Payload {
    const isPassword = component.name === 'SecurityCtrlr' && variable.name === 'BasicAuthPassword';
    const attributeStatus = isPassword ? this.#takePassword(attributeValue).status : 'UnknownVariable';
    return { component, variable, attributeStatus };
  }

  /** Asks for a certificate once that is answered. */
  #trigger(message: string): { status: string } {
    const { requestCertificate } = this.options;
    if (!message.startsWith('Sign') || !requestCertificate) return { status: 'NotImplemented' };
    setImmediate(() => void this.call('SignCertificate', { csr: requestCertificate() }).catch(() => {}));
    return { status: 'Accepted' };
  }

  #reconfigure(): void {
    this.#client?.reconfigure({ password: this.#password, ...this.#tls() } as Payload);
  }

  #tls(): object {
    const { tls } = this.options;
    return tls ? { wsOpts: { ...tls, ...(this.#certificate !== undefined && { cert: this.#certificate }) } } : {};
  }

  #read(payload: Payload): ReserveCommand {
    if (this.version === '1.6') return { ...payload, expiryDate: new Date(payload.expiryDate) };
    const { id, expiryDateTime, idToken, groupIdToken, evseId = 0, connectorType } = payload;
    const group = groupIdToken ? { parentIdTag: groupIdToken.idToken } : {};
    return {
      reservationId: id,
      connectorId: evseId,
      ...(connectorType && { connectorType }),
      idTag: idToken.idToken,
      ...group,
      expiryDate: new Date(expiryDateTime),
    };
  }

  async #obey(command: () => object): Promise<object> {
    const { behaviour } = this;
    switch (behaviour.type) {
      case 'normal':
      case 'refuse':
        return command();
      case 'silent':
        command();
        return new Promise(() => {});
      case 'late': {
        const answer = command();
        await new Promise((resolve) => setTimeout(resolve, behaviour.delayMs));
        return answer;
      }
      case 'held': {
        const answer = command();
        await new Promise<void>((resolve) => this.#heldAnswers.push(resolve));
        return answer;
      }
      case 'deaf':
        return new Promise(() => {});
      case 'error':
        throw Object.assign(new Error('Told to fail'), { rpcErrorCode: behaviour.code, details: {} });
    }
  }

  #reserve(command: ReserveCommand): string {
    const { reservationId, connectorId } = command;
    if (this.options.supportsReservation === false) return 'Rejected';
    if (connectorId === 0 && this.options.supportsConnectorZero === false) return 'Rejected';
    // The same id replaces what it named before.
    const before = this.#reservations.get(reservationId);
    if (before) this.#drop(reservationId);
    const refusal = connectorId === 0 ? this.#refuseAnywhere(command.connectorType) : this.#refuseAt(connectorId);
    if (refusal) return refusal;
    const leftMs = Math.max(0, command.expiryDate.getTime() - this.#clock.now().getTime());
    const callOff = this.#clock.after(Math.min(leftMs, MAX_TIMER_MS), () => this.#expire(reservationId));
    this.#reservations.set(reservationId, { ...command, callOff });
    if (connectorId > 0) this.#connector(connectorId).state = 'Reserved';
    this.#tellLater();
    return 'Accepted';
  }

  #refuseAt(connectorId: number): string | undefined {
    const connector = this.#connectors[connectorId - 1];
    if (!connector) return 'Rejected';
    if (connector.state === 'Faulted' || connector.state === 'Unavailable') return connector.state;
    return connector.state === 'Available' ? undefined : 'Occupied';
  }

  #hasType(connectorId: number, connectorType: string | undefined): boolean {
    return connectorType === undefined || this.options.connectorTypes?.[connectorId - 1] === connectorType;
  }

  #refuseAnywhere(connectorType: string | undefined): string | undefined {
    const free = this.#connectors.filter(
      ({ state }, index) => state === 'Available' && this.#hasType(index + 1, connectorType),
    ).length;
    const anywhere = [...this.#reservations.values()].filter((held) => held.connectorId === 0).length;
    return free > anywhere ? undefined : 'Occupied';
  }

  #cancel(reservationId: number): string {
    if (!this.#reservations.has(reservationId)) return 'Rejected';
    this.#drop(reservationId);
    this.#tellLater();
    return 'Accepted';
  }

  #expire(reservationId: number): void {
    this.#drop(reservationId);
    this.#tellStates()
      .then(() => this.#tellUpdate(reservationId, 'Expired'))
      .catch(() => {}); // Offline: the server knows the expiry date, too.
  }

  #drop(reservationId: number): void {
    const held = this.#reservations.get(reservationId);
    if (!held) return;
    held.callOff();
    this.#reservations.delete(reservationId);
    const connector = this.#connectors[held.connectorId - 1];
    if (connector?.state === 'Reserved') connector.state = 'Available';
  }

  #heldAt(connectorId: number): HeldReservation | undefined {
    return [...this.#reservations.values()].find((held) => held.connectorId === connectorId);
  }

  #reservationFor(connectorId: number, idTag: string, parentIdTag?: string): HeldReservation | undefined {
    const isFor = (held: HeldReservation) =>
      same(held.idTag, idTag) || (parentIdTag !== undefined && same(held.parentIdTag, parentIdTag));
    const mine = [...this.#reservations.values()].filter(isFor);
    const here = this.#heldAt(connectorId);
    if (here) return mine.find((held) => held === here);
    return mine.find((held) => held.connectorId === 0 && this.#hasType(connectorId, held.connectorType));
  }

  /** A specific hold closes its connector; a hold without connector closes the last free one. */
  #isHeldForOthers(connectorId: number): boolean {
    if (this.#heldAt(connectorId)) return true;
    const anywhere = [...this.#reservations.values()].filter((held) => held.connectorId === 0).length;
    const others = this.#connectors.filter(
      ({ state }, index) => index !== connectorId - 1 && state === 'Available',
    ).length;
    return anywhere > others;
  }

  async #authorize(idTag: string): Promise<IdTagInfo> {
    if (this.version === '1.6') return (await this.call('Authorize', { idTag })).idTagInfo;
    const { idTokenInfo } = await this.call('Authorize', { idToken: { idToken: idTag, type: 'ISO14443' } });
    const group = idTokenInfo.groupIdToken ? { parentIdTag: idTokenInfo.groupIdToken.idToken } : {};
    return { status: idTokenInfo.status, ...group, ...(idTokenInfo.evseId && { open: idTokenInfo.evseId }) };
  }

  async #startTransaction(
    connectorId: number,
    connector: SimulatedConnector,
    idTag: string,
    reservation: HeldReservation | undefined,
  ): Promise<string> {
    if (reservation) this.#drop(reservation.reservationId);
    const label = reservation ? { reservationId: reservation.reservationId } : {};
    connector.state = 'Charging';
    const transaction: NonNullable<SimulatedConnector['transaction']> = { idTag, sequence: 0 };
    connector.transaction = transaction;
    if (this.version === '1.6') {
      const start = { connectorId, idTag, meterStart: 0, timestamp: this.#now(), ...label };
      await this.#tell(
        'StartTransaction',
        () => start,
        ({ transactionId, idTagInfo }) => {
          transaction.id = transactionId;
          transaction.status = idTagInfo.status;
        },
      );
    } else {
      this.#transactions += 1;
      transaction.id = `${this.id}-${this.#clock.now().getTime()}-${this.#transactions}`;
      const idToken = { idToken: idTag, type: 'ISO14443' };
      const event = { ...this.#transactionEvent('Started', 'Authorized', connectorId, transaction), idToken, ...label };
      await this.#tell(
        'TransactionEvent',
        () => event,
        ({ idTokenInfo }) => {
          transaction.status = idTokenInfo?.status;
        },
      );
    }
    await this.#endRefused();
    await this.#tellStates();
    return transaction.status ?? 'Accepted';
  }

  /** A start that the server refuses, perhaps long after it was made, is ended. */
  async #endRefused(): Promise<void> {
    for (const [index, connector] of this.#connectors.entries()) {
      const { status = 'Accepted' } = connector.transaction ?? {};
      if (status !== 'Accepted') await this.#endTransaction(index + 1, connector);
    }
  }

  async #endTransaction(connectorId: number, connector: SimulatedConnector): Promise<void> {
    const { transaction } = connector;
    if (!transaction) return;
    delete connector.transaction;
    if (connector.state === 'Charging') connector.state = 'Available';
    if (this.version === '1.6') {
      const stop = { idTag: transaction.idTag, meterStop: 0, timestamp: this.#now() };
      await this.#tell(
        'StopTransaction',
        () => ({ ...stop, transactionId: transaction.id }),
        () => {},
      );
    } else {
      const event = this.#transactionEvent('Ended', 'EVDeparted', connectorId, transaction);
      await this.#tell(
        'TransactionEvent',
        () => event,
        () => {},
      );
    }
  }

  async #tell(method: string, payload: () => object, take: (answer: Payload) => void): Promise<void> {
    const told: Told = { method, payload, take };
    this.#queue.push(told);
    await this.#flush();
    // It came as the flush before was ending.
    if (this.#queue.includes(told) && this.isConnected) await this.#flush();
  }

  /** One message after the other; what is not answered stays, and is sent again with another message id. */
  async #flush(): Promise<void> {
    this.#flushing ??= this.#flushQueue().finally(() => {
      this.#flushing = undefined;
    });
    await this.#flushing;
    await this.#endRefused();
  }

  async #flushQueue(): Promise<void> {
    for (let next = this.#queue[0]; next && this.isConnected; next = this.#queue[0]) {
      try {
        next.take(await this.call(next.method, next.payload()));
      } catch {
        return;
      }
      this.#queue.shift();
    }
  }

  #now(): string {
    return this.#clock.now().toISOString();
  }

  #transactionEvent(
    eventType: string,
    triggerReason: string,
    connectorId: number,
    transaction: NonNullable<SimulatedConnector['transaction']>,
  ): object {
    const seqNo = transaction.sequence;
    transaction.sequence += 1;
    const transactionInfo = {
      transactionId: transaction.id,
      ...(eventType === 'Started' && { chargingState: 'Charging' }),
    };
    const timestamp = this.#now();
    return { eventType, timestamp, triggerReason, seqNo, transactionInfo, evse: { id: connectorId, connectorId: 1 } };
  }

  /** After the answer that causes it has gone out. */
  #tellLater(): void {
    setImmediate(() => void this.#tellStates().catch(() => {}));
  }

  async #tellStates(): Promise<void> {
    if (!this.isConnected) return;
    for (const [index, connector] of this.#connectors.entries()) {
      if (connector.told === connector.state) continue;
      connector.told = connector.state;
      await this.call('StatusNotification', this.#statusOf(index + 1, connector.state));
    }
  }

  #statusOf(connectorId: number, state: State): object {
    const timestamp = this.#now();
    if (this.version === '1.6') {
      return { connectorId, errorCode: state === 'Faulted' ? 'OtherError' : 'NoError', status: state, timestamp };
    }
    const connectorStatus = state === 'Preparing' || state === 'Charging' ? 'Occupied' : state;
    return { timestamp, connectorStatus, evseId: connectorId, connectorId: 1 };
  }

  async #tellUpdate(reservationId: number, reservationUpdateStatus: string): Promise<void> {
    if (this.version === '1.6') return;
    await this.#tell(
      'ReservationStatusUpdate',
      () => ({ reservationId, reservationUpdateStatus }),
      () => {},
    );
  }

  #configuration(): object[] {
    const { supportsReservation = true, supportsConnectorZero = true } = this.options;
    const profiles = ['Core', ...(supportsReservation ? ['Reservation'] : [])].join(',');
    return [
      { key: 'SupportedFeatureProfiles', readonly: true, value: profiles },
      { key: 'ReserveConnectorZeroSupported', readonly: true, value: `${supportsConnectorZero}` },
    ];
  }

  #variable({ component, variable }: Payload): object {
    const { supportsReservation = true, supportsConnectorZero = true } = this.options;
    const isKnown = component.name === 'ReservationCtrlr' && supportsReservation;
    if (!isKnown) return { attributeStatus: 'UnknownComponent', component, variable };
    const value = variable.name === 'NonEvseSpecific' ? supportsConnectorZero : true;
    return { attributeStatus: 'Accepted', attributeValue: `${value}`, component, variable };
  }
}

const same = (one: string | undefined, other: string | undefined) =>
  one !== undefined && one.toLowerCase() === other?.toLowerCase();
