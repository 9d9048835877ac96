// A simulated charger that speaks OCPP 1.6J, 2.0.1 or 2.1 over a real socket. It keeps, expires and enforces its
// reservations as the specification demands, queues transaction messages while it is offline, and can be made to
// misbehave. It must not share code with the gateway.
import { EventEmitter } from 'node:events';
import { RPCClient } from 'ocpp-rpc';

export type SimulatedVersion = '1.6' | '2.0.1' | '2.1';

export interface SimulatedClock {
  now(): Date;
  /** Runs `task` once after `delayMs`; the returned function cancels it. */
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
  /** 2.x: the type of each connector, as OCPP spells it. */
  readonly connectorTypes?: readonly string[];
  readonly supportsReservation?: boolean;
  readonly supportsConnectorZero?: boolean;
  /** PEM: the CA that it trusts, and its own certificate and key. */
  readonly tls?: { readonly ca: string; readonly cert?: string; readonly key?: string };
  /** Makes the certificate request (PEM) that the charger sends when it is triggered to. */
  readonly requestCertificate?: () => string;
  /** The charger's own clock, which may be wrong. */
  readonly clock?: SimulatedClock;
}

/** How the charger handles ReserveNow, CancelReservation and a change of its password. */
export type Behaviour =
  | { readonly type: 'normal' }
  /** Answers ReserveNow with that status, for example Occupied, and holds nothing. */
  | { readonly type: 'refuse'; readonly status: string }
  /** Carries the command out and never answers. */
  | { readonly type: 'silent' }
  /** Carries the command out and answers after `delayMs`. */
  | { readonly type: 'late'; readonly delayMs: number }
  /** Carries the command out and answers when `answerHeld` is called. */
  | { readonly type: 'held' }
  /** Neither obeys nor answers, as if the frame were lost. */
  | { readonly type: 'deaf' }
  /** Answers with a CallError of that code and does not obey. */
  | { readonly type: 'error'; readonly code: string };

type State = 'Available' | 'Preparing' | 'Charging' | 'Reserved' | 'Faulted' | 'Unavailable';

interface HeldReservation {
  readonly reservationId: number;
  readonly connectorId: number;
  /** 2.x: the reservation is for connectors of this type only. */
  readonly connectorType?: string;
  readonly idTag: string;
  readonly parentIdTag?: string;
  readonly expiryDate: Date;
  readonly callOff: () => void;
}

interface SimulatedConnector {
  state: State;
  /** The state that was last sent to the server. */
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

/**
 * A queued message about a transaction or, in 2.x, the end of a reservation: sent in order, and kept until it is
 * answered.
 */
interface Told {
  readonly method: string;
  readonly payload: () => object;
  readonly take: (answer: Payload) => void;
}

// biome-ignore lint/suspicious/noExplicitAny: the library has checked the payload against its schema
type Payload = any;
type Handler = (payload: Payload) => object | Promise<object>;

/** Limit of `received`; the oldest Calls are forgotten first. */
const MAX_RECEIVED = 10_000;
const MAX_TIMER_MS = 2 ** 31 - 1;

export class SimulatedCharger extends EventEmitter<{ call: [method: string, payload: Payload] }> {
  readonly id: string;
  readonly version: SimulatedVersion;
  /** Calls that the server sent, the oldest first. */
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
  /** The certificate chain (PEM) that the server sent with CertificateSigned. */
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

  /** The reservations that the charger itself remembers. */
  get reservations(): readonly Omit<HeldReservation, 'callOff'>[] {
    return [...this.#reservations.values()].map(({ callOff: _, ...held }) => held);
  }

  get connectorCount(): number {
    return this.#connectors.length;
  }

  stateOf(connectorId: number): string {
    return this.#connector(connectorId).state;
  }

  /** Number of queued messages that are not answered yet. */
  get queued(): number {
    return this.#queue.length;
  }

  /** Connects, boots, sends the state of each connector, then its offline queue. */
  async start(): Promise<void> {
    await this.#open();
    await this.boot();
    await this.#flush();
  }

  /** Opens the socket and sends its offline queue without a boot, as after a lost connection. */
  async connect(): Promise<void> {
    await this.#open();
    await this.#flush();
    await this.#tellStates();
  }

  async #open(): Promise<void> {
    const { url, id, version } = this.options;
    // An old client that still reconnects would compete with the new one for the charger's connection.
    await this.disconnect();
    const client = new RPCClient({
      endpoint: url,
      identity: id,
      password: this.#password,
      ...this.#tls(),
      protocols: [`ocpp${version}`],
      // The library's strict mode does not find its own 2.1 schemas: their ids end in Request, not in .req.
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
    // Runs when the library reconnects.
    client.on(
      'open',
      () =>
        void this.#flush().then(
          () => this.#tellStates(),
          () => {},
        ),
    );
  }

  /** Sends BootNotification and the state of each connector. Reservations survive a reboot. */
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

  /** Terminates the socket without a closing handshake, as a failing network does, and does not reconnect. */
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

  /** Sends any Call, with a payload as the specification defines it. */
  call(method: string, payload: object): Promise<Payload> {
    if (!this.#client) throw new Error(`${this.id} is not connected`);
    return this.#client.call(method, payload as Payload);
  }

  async plugIn(connectorId: number): Promise<void> {
    const connector = this.#connector(connectorId);
    if (connector.state === 'Available') connector.state = 'Preparing';
    await this.#tellStates();
  }

  /** Ends the transaction, if there is one, and removes the vehicle. */
  async unplug(connectorId: number): Promise<void> {
    const connector = this.#connector(connectorId);
    if (connector.transaction) await this.#endTransaction(connectorId, connector);
    const isBroken = connector.state === 'Faulted' || connector.state === 'Unavailable';
    if (!isBroken) connector.state = this.#heldAt(connectorId) ? 'Reserved' : 'Available';
    await this.#tellStates();
  }

  /** Presents an idTag to the reader. Returns `charging`, `stopped`, or why no energy flows. */
  async present(connectorId: number, idTag: string): Promise<'charging' | 'reserved' | string> {
    const connector = this.#connector(connectorId);
    if (connector.transaction) {
      await this.unplug(connectorId);
      return 'stopped';
    }
    if (connector.state === 'Faulted' || connector.state === 'Unavailable') return connector.state.toLowerCase();
    // Offline, every idTag may charge unless a reservation forbids it; the server learns of the start later.
    const info = this.isConnected ? await this.#authorize(idTag) : { status: 'Accepted' };
    if (info.status !== 'Accepted') return info.status;
    if (info.open && !info.open.includes(connectorId)) return 'reserved';
    const reservation = this.#reservationFor(connectorId, idTag, info.parentIdTag);
    if (!reservation && this.#isHeldForOthers(connectorId)) return 'reserved';
    const status = await this.#startTransaction(connectorId, connector, idTag, reservation);
    return status === 'Accepted' ? 'charging' : status;
  }

  /** Reports Available and then the true state again, though nothing has happened. */
  async flicker(connectorId: number): Promise<void> {
    for (const state of ['Available', this.#connector(connectorId).state] as const) {
      await this.call('StatusNotification', this.#statusOf(connectorId, state));
    }
  }

  /** Sends the answers that were kept back under `held`. */
  answerHeld(): void {
    for (const answer of this.#heldAnswers.splice(0)) answer();
  }

  /** The connector faults or is taken out of service; its reservation is lost. */
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

  /** The new password is used from the next connection on. */
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

  /** Sends SignCertificate after the trigger is answered. */
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
        throw Object.assign(new Error('This simulated charger was set to answer with an error'), {
          rpcErrorCode: behaviour.code,
          details: {},
        });
    }
  }

  #reserve(command: ReserveCommand): string {
    const { reservationId, connectorId } = command;
    if (this.options.supportsReservation === false) return 'Rejected';
    if (connectorId === 0 && this.options.supportsConnectorZero === false) return 'Rejected';
    // A reservation with the same id is replaced.
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
      .catch(() => {}); // If the socket breaks meanwhile, the server still knows the expiry date.
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

  /**
   * A reservation for this connector closes it. Reservations without a connector close it when the other free
   * connectors are too few for them.
   */
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

  /** Ends transactions whose start the server refused, perhaps long after they began. */
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
    // Race: the message was queued after the running flush had found the queue empty.
    if (this.#queue.includes(told) && this.isConnected) await this.#flush();
  }

  /** Sends one message at a time. A message without an answer stays queued and is sent again with a new message id. */
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

  /** Reports the connector states after the answer to the server's Call has been sent. */
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
