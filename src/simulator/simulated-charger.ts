// A charger that speaks OCPP 1.6J, 2.0.1 or 2.1 over a real socket, and keeps, expires and enforces its reservations as
// the specification demands of a charger. It can also be told to misbehave. It shares no code with the gateway.
import { EventEmitter } from 'node:events';
import { RPCClient } from 'ocpp-rpc';

export type SimulatedVersion = '1.6' | '2.0.1' | '2.1';

export interface SimulatedChargerOptions {
  /** ws://host:port/path, without the identity. */
  readonly url: string;
  readonly id: string;
  readonly password: string;
  readonly version: SimulatedVersion;
  readonly connectors: number;
  readonly supportsReservation?: boolean;
  readonly supportsConnectorZero?: boolean;
}

/** How it takes ReserveNow and CancelReservation. */
export type Behaviour =
  | { readonly type: 'normal' }
  /** Answers that status, for example Occupied. */
  | { readonly type: 'refuse'; readonly status: string }
  /** Carries the command out and never answers. */
  | { readonly type: 'silent' }
  /** Carries the command out and answers after that time. */
  | { readonly type: 'late'; readonly delayMs: number }
  /** Answers with a CALLERROR of that code. */
  | { readonly type: 'error'; readonly code: string };

type State = 'Available' | 'Preparing' | 'Charging' | 'Reserved' | 'Faulted' | 'Unavailable';

interface HeldReservation {
  readonly reservationId: number;
  readonly connectorId: number;
  readonly idTag: string;
  readonly parentIdTag?: string;
  readonly expiryDate: Date;
  readonly timer: NodeJS.Timeout;
}

interface SimulatedConnector {
  state: State;
  /** What the server was last told. */
  told?: string;
  transaction?: { id: string | number; idTag: string; sequence: number };
}

interface ReserveCommand {
  readonly reservationId: number;
  readonly connectorId: number;
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

  constructor(private readonly options: SimulatedChargerOptions) {
    super();
    this.id = options.id;
    this.version = options.version;
    this.#connectors = Array.from({ length: options.connectors }, () => ({ state: 'Available' }));
  }

  get isConnected(): boolean {
    return this.#client?.state === RPCClient.OPEN;
  }

  /** What it holds by its own memory. */
  get reservations(): readonly Omit<HeldReservation, 'timer'>[] {
    return [...this.#reservations.values()].map(({ timer: _, ...held }) => held);
  }

  get connectorCount(): number {
    return this.#connectors.length;
  }

  stateOf(connectorId: number): string {
    return this.#connector(connectorId).state;
  }

  /** Connects, boots and tells its connectors. */
  async start(): Promise<void> {
    await this.connect();
    await this.boot();
  }

  /** Opens the socket and no more, as after a lost connection. */
  async connect(): Promise<void> {
    const { url, id, password, version } = this.options;
    const client = new RPCClient({
      endpoint: url,
      identity: id,
      password,
      protocols: [`ocpp${version}`],
      // The library's 2.1 schemas carry ids that its strict mode does not find.
      strictMode: version !== '2.1',
      reconnect: true,
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
    return this.#client?.close({ force: true, code: 1000, reason: 'offline' }) ?? Promise.resolve();
  }

  async reboot(): Promise<void> {
    await this.disconnect();
    await this.start();
  }

  async stop(): Promise<void> {
    for (const { timer } of this.#reservations.values()) clearTimeout(timer);
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
    connector.state = this.#heldAt(connectorId) ? 'Reserved' : 'Available';
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
    const info = await this.#authorize(idTag);
    if (info.status !== 'Accepted') return info.status;
    if (info.open && !info.open.includes(connectorId)) return 'reserved';
    const reservation = this.#reservationFor(connectorId, idTag, info.parentIdTag);
    if (!reservation && this.#isHeldForOthers(connectorId)) return 'reserved';
    const status = await this.#startTransaction(connectorId, connector, idTag, reservation);
    if (status !== 'Accepted') {
      await this.#endTransaction(connectorId, connector);
      await this.#tellStates();
      return status;
    }
    return 'charging';
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
      ReserveNow: (payload) => this.#obey(() => ({ status: this.#reserve(this.#read(payload)) })),
      CancelReservation: ({ reservationId }) => this.#obey(() => ({ status: this.#cancel(reservationId) })),
      GetConfiguration: () => ({ configurationKey: this.#configuration(), unknownKey: [] }),
      GetVariables: ({ getVariableData }) => ({
        getVariableResult: getVariableData.map((one: Payload) => this.#variable(one)),
      }),
      TriggerMessage: () => ({ status: 'NotImplemented' }),
      ChangeAvailability: () => ({ status: 'Accepted' }),
      Reset: () => ({ status: 'Rejected' }),
    };
  }

  #read(payload: Payload): ReserveCommand {
    if (this.version === '1.6') return { ...payload, expiryDate: new Date(payload.expiryDate) };
    const { id, expiryDateTime, idToken, groupIdToken, evseId = 0 } = payload;
    const group = groupIdToken ? { parentIdTag: groupIdToken.idToken } : {};
    return {
      reservationId: id,
      connectorId: evseId,
      idTag: idToken.idToken,
      ...group,
      expiryDate: new Date(expiryDateTime),
    };
  }

  async #obey(command: () => object): Promise<object> {
    const { behaviour } = this;
    switch (behaviour.type) {
      case 'normal':
        return command();
      case 'refuse':
        return { status: behaviour.status };
      case 'silent':
        command();
        return new Promise(() => {});
      case 'late': {
        const answer = command();
        await new Promise((resolve) => setTimeout(resolve, behaviour.delayMs));
        return answer;
      }
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
    const refusal = connectorId === 0 ? this.#refuseAnywhere() : this.#refuseAt(connectorId);
    if (refusal) return refusal;
    const leftMs = Math.max(0, command.expiryDate.getTime() - Date.now());
    const timer = setTimeout(() => this.#expire(reservationId), Math.min(leftMs, MAX_TIMER_MS));
    this.#reservations.set(reservationId, { ...command, timer });
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

  #refuseAnywhere(): string | undefined {
    const free = this.#connectors.filter(({ state }) => state === 'Available').length;
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
    clearTimeout(held.timer);
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
    return mine.find((held) => held.connectorId === connectorId) ?? mine.find((held) => held.connectorId === 0);
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
    if (this.version === '1.6') {
      const start = { connectorId, idTag, meterStart: 0, timestamp: new Date().toISOString(), ...label };
      const { transactionId, idTagInfo } = await this.call('StartTransaction', start);
      connector.transaction = { id: transactionId, idTag, sequence: 0 };
      await this.#tellStates();
      return idTagInfo.status;
    }
    this.#transactions += 1;
    const id = `${this.id}-${Date.now()}-${this.#transactions}`;
    connector.transaction = { id, idTag, sequence: 0 };
    const { idTokenInfo } = await this.call('TransactionEvent', {
      ...this.#transactionEvent('Started', 'Authorized', connectorId, connector),
      idToken: { idToken: idTag, type: 'ISO14443' },
      ...label,
    });
    await this.#tellStates();
    return idTokenInfo?.status ?? 'Accepted';
  }

  async #endTransaction(connectorId: number, connector: SimulatedConnector): Promise<void> {
    const { transaction } = connector;
    if (!transaction) return;
    if (this.version === '1.6') {
      const stop = {
        transactionId: transaction.id,
        idTag: transaction.idTag,
        meterStop: 0,
        timestamp: new Date().toISOString(),
      };
      await this.call('StopTransaction', stop);
    } else {
      await this.call('TransactionEvent', this.#transactionEvent('Ended', 'EVDeparted', connectorId, connector));
    }
    delete connector.transaction;
    connector.state = 'Available';
  }

  #transactionEvent(
    eventType: string,
    triggerReason: string,
    connectorId: number,
    connector: SimulatedConnector,
  ): object {
    const transaction = connector.transaction ?? { id: '', sequence: 0 };
    const seqNo = transaction.sequence;
    transaction.sequence += 1;
    const transactionInfo = {
      transactionId: transaction.id,
      ...(eventType === 'Started' && { chargingState: 'Charging' }),
    };
    const timestamp = new Date().toISOString();
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
    const timestamp = new Date().toISOString();
    if (this.version === '1.6') {
      return { connectorId, errorCode: state === 'Faulted' ? 'OtherError' : 'NoError', status: state, timestamp };
    }
    const connectorStatus = state === 'Preparing' || state === 'Charging' ? 'Occupied' : state;
    return { timestamp, connectorStatus, evseId: connectorId, connectorId: 1 };
  }

  async #tellUpdate(reservationId: number, reservationUpdateStatus: string): Promise<void> {
    if (this.version === '1.6' || !this.isConnected) return;
    await this.call('ReservationStatusUpdate', { reservationId, reservationUpdateStatus });
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
