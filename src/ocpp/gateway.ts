// Accepts chargers: OCPP 1.6J, 2.0.1 and 2.1 by subprotocol, on a port without TLS, one with TLS, or both. It
// owns this node's open connections, one per charger (the newest wins), their logins and the liveness check.
//
// The gateway is closed until listen has opened its ports, then open, and from stop on draining, for good. Only an
// open one lets chargers in (else 503), checks liveness (every livenessMs / 2) and retries to record an end. A
// draining one lets connections finish their outstanding Call (answerTimeoutMs at most), then closes them (1001). A
// charger's socket is in one of these states:
// - headless: no upgrade request yet. HTTP timeouts end it; one address may have 2000 of them (trusted proxies:
//   any).
// - entering: the login is checked and the connection recorded with an epoch. It is refused by an HTTP status;
//   without a subprotocol that we speak it is closed (1002) after the handshake and never recorded.
// - connected: of two connections of a charger the one with the lower epoch is closed (1000). When this node gets a
//   new id, reclaim records the connection again, or closes it if a newer one owns the charger.
// - ending: the socket has closed. Once the calls it received are answered or given up, its end is recorded, with
//   retries while the database is away; until then the database counts the charger as connected.
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo, Socket } from 'node:net';
import type { Duplex } from 'node:stream';
import { TLSSocket } from 'node:tls';
import { type WebSocket, WebSocketServer } from 'ws';
import { connectCharger, disconnectCharger, reclaimCharger } from '../charging/follow-connection.ts';
import type { ChargerAuthentication } from '../charging/login/authenticate-charger.ts';
import { clientAddress, type TrustProxy } from '../common/client-address.ts';
import { pause, withDeadline } from '../common/clock.ts';
import { refuseUpgrade } from '../common/refuse-upgrade.ts';
import type { ChargerCalls, ChargerCommand, Outcome } from '../model/charger/charger-calls.ts';
import type { Connection as Ownership } from '../storage/chargers/connection.repository.ts';
import { isDatabaseAway } from '../storage/database.ts';
import { Connection, type ConnectionPorts, DATABASE_RETRY_MS } from './connection.ts';
import type { Protocol } from './protocol/protocol.ts';
import { compileValidation, type Validation } from './protocol/validation.ts';
import { certificateProblemOf, clientCertificateOf, createTlsServer, type Doors } from './tls.ts';
import { v21, v201 } from './v2x/protocol.ts';
import { v16 } from './v16/protocol.ts';

const protocols: readonly Protocol[] = [v16, v201, v21];
const MAX_FRAME_BYTES = 256 * 1024;
const UNKNOWN_SUBPROTOCOL = 1002;
const NORMAL = 1000;
const GOING_AWAY = 1001;
const TRY_AGAIN_LATER = 1013;
/** Sockets that `reclaim` records concurrently: the database has other work, too, when a node comes back. */
const RECLAIMED_AT_ONCE = 8;

/** Bounds a request head that comes in drop by drop, or is too large. */
const HTTP = {
  headersTimeout: 10_000,
  requestTimeout: 10_000,
  connectionsCheckingInterval: 2000,
  maxHeaderSize: 16 * 1024,
};
/**
 * Sockets of one address without a complete request head. Many chargers may come back at once from behind one address
 * (NAT); trusted proxies are exempt.
 */
const MAX_HEADLESS_PER_ADDRESS = 2000;

export interface GatewayPorts extends ConnectionPorts {
  readonly doors: Doors;
  /** A trusted proxy terminates TLS in front of the plain port. */
  readonly isBehindTls: boolean;
  readonly trustProxy: TrustProxy;
  /** A charger that sends nothing, not even a pong, is disconnected after this time at the latest. */
  readonly livenessMs: number;
}

type Phase =
  | { readonly is: 'closed' }
  | { readonly is: 'open'; callOffCheck: () => void }
  | { readonly is: 'draining' };

export class Gateway implements ChargerCalls {
  #phase: Phase = { is: 'closed' };
  readonly #connections = new Map<string, Connection>();
  readonly #owned = new Map<Connection, Ownership>();
  readonly #endings = new Set<Promise<void>>();
  readonly #servers: Server[] = [];
  /** Remote ports of the sockets whose request head has not come yet, by remote address. */
  readonly #headless = new Map<string, Set<number | undefined>>();
  /** Sockets that have asked for an upgrade and are neither accepted nor closed yet. */
  readonly #entering = new Set<Duplex>();
  readonly #sockets: WebSocketServer;
  #stopWatching: () => void = () => {};

  constructor(private readonly ports: GatewayPorts) {
    for (const one of protocols) validationOf(one); // Compiled now, so that no charger waits for it.
    this.#sockets = new WebSocketServer({
      noServer: true,
      maxPayload: MAX_FRAME_BYTES,
      perMessageDeflate: false,
      handleProtocols: (offered) => [...offered].find((name) => protocolOf(name)) ?? false,
    });
  }

  /** Resolves with the ports it listens on. Throws when a certificate file cannot be used. */
  async listen(host: string): Promise<{ readonly plain?: number; readonly tls?: number }> {
    const { doors, clock, log } = this.ports;
    let plain: number | undefined;
    let tls: number | undefined;
    if (doors.plainPort !== undefined) {
      plain = await this.#open(createServer(HTTP), host, doors.plainPort, false);
    }
    if (doors.tls) {
      const { server, stopWatching } = await createTlsServer(doors.tls.files, HTTP, { clock, log });
      this.#stopWatching = stopWatching;
      tls = await this.#open(server, host, doors.tls.port, true);
    }
    this.#phase = { is: 'open', callOffCheck: () => {} };
    this.#scheduleCheck();
    return { ...(plain !== undefined && { plain }), ...(tls !== undefined && { tls }) };
  }

  async #open(server: Server, host: string, port: number, isEncrypted: boolean): Promise<number> {
    server.on('request', (_: IncomingMessage, response: ServerResponse) => {
      response.writeHead(426, { 'content-type': 'text/plain', upgrade: 'websocket', connection: 'close' });
      response.end('Chargers connect here by WebSocket: /<charger id>, subprotocol ocpp1.6, ocpp2.0.1 or ocpp2.1.\n');
    });
    server.on('connection', (socket: Socket) => this.#boundHeadless(socket));
    server.on('upgrade', (request: IncomingMessage, socket: Duplex, head: Buffer) => {
      socket.on('error', () => socket.destroy());
      this.#entering.add(socket);
      socket.once('close', () => this.#entering.delete(socket));
      this.#upgrade(request, socket, head, isEncrypted).catch((error) => {
        this.ports.log.error({ error }, 'the login of a charger failed');
        refuseUpgrade(socket, this.ports.clock, 503);
      });
    });
    this.#servers.push(server);
    await new Promise<void>((resolve, reject) => {
      server.once('error', reject);
      server.listen(port, host, resolve);
    });
    return (server.address() as AddressInfo).port;
  }

  /** Counts the socket against MAX_HEADLESS_PER_ADDRESS until its request head comes or it closes. */
  #boundHeadless(socket: Socket): void {
    const { remoteAddress = '', remotePort } = socket;
    if (this.ports.trustProxy(remoteAddress, 0)) return;
    const ofAddress = this.#headless.get(remoteAddress) ?? new Set();
    if (ofAddress.size >= MAX_HEADLESS_PER_ADDRESS) return void socket.destroy();
    this.#headless.set(remoteAddress, ofAddress.add(remotePort));
    socket.once('close', () => this.#countNoMore(remoteAddress, remotePort));
  }

  /** Found by port: with TLS, the request has another socket object than the connection that was counted. */
  #countNoMore(remoteAddress = '', remotePort: number | undefined): void {
    const ofAddress = this.#headless.get(remoteAddress);
    if (ofAddress?.delete(remotePort) && ofAddress.size === 0) this.#headless.delete(remoteAddress);
  }

  get connectedChargers(): number {
    return this.#connections.size;
  }

  isConnected(chargerId: string): boolean {
    return this.#connections.has(chargerId);
  }

  async call(chargerId: string, command: ChargerCommand): Promise<Outcome> {
    return this.#connections.get(chargerId)?.call(command) ?? { type: 'offline' };
  }

  /**
   * When the charger's offline queue counts as drained; in the past once it is, or if the charger is not connected
   * here.
   */
  drainedAt(chargerId: string): Date {
    return this.#connections.get(chargerId)?.drainedAt ?? new Date(0);
  }

  /** Closes the charger's socket, unless its epoch is `epoch` or higher: a newer connection stays. */
  drop(chargerId: string, reason: string, epoch = Number.POSITIVE_INFINITY): void {
    const connection = this.#connections.get(chargerId);
    if (connection && (this.#owned.get(connection)?.epoch ?? 0) < epoch) connection.close(NORMAL, reason);
  }

  /** Records every open socket under the new id of this node, a few at a time. */
  async reclaim(): Promise<void> {
    const waiting = [...this.#connections.values()];
    const reclaimAll = async () => {
      for (let next = waiting.pop(); next; next = waiting.pop()) await this.#reclaim(next);
    };
    await Promise.all(Array.from({ length: RECLAIMED_AT_ONCE }, reclaimAll));
  }

  /**
   * Refuses new connections and calls, closes each socket after its outstanding call, and resolves when every end is
   * recorded or given up.
   */
  async stop(): Promise<void> {
    if (this.#phase.is === 'open') this.#phase.callOffCheck();
    this.#phase = { is: 'draining' };
    this.#stopWatching();
    const closed = Promise.all(
      this.#servers.map((server) => new Promise<void>((resolve) => server.close(() => resolve()))),
    );
    const drained = Promise.all([...this.#connections.values()].map((connection) => connection.drain()));
    await withDeadline(this.ports.clock, drained, this.ports.answerTimeoutMs);
    for (const connection of this.#connections.values()) connection.close(GOING_AWAY, 'The server is going away');
    await Promise.all(this.#endings);
    for (const socket of this.#entering) socket.destroy();
    for (const server of this.#servers) server.closeAllConnections();
    await closed;
  }

  async #upgrade(request: IncomingMessage, socket: Duplex, head: Buffer, isEncrypted: boolean): Promise<void> {
    const refuse = (status: number, headers?: string) => refuseUpgrade(socket, this.ports.clock, status, headers);
    const { remoteAddress, remotePort } = request.socket;
    this.#countNoMore(remoteAddress, remotePort);
    const chargerId = chargerIdOf(request.url ?? '');
    if (this.#phase.is !== 'open') return refuse(503);
    if (chargerId === undefined) return refuse(404);
    const { user, password } = credentialsOf(request.headers.authorization);
    const certificate = socket instanceof TLSSocket ? clientCertificateOf(socket) : undefined;
    const address = clientAddress(request, this.ports.trustProxy);
    const login = {
      chargerId,
      address,
      isEncrypted: isEncrypted || this.#isBehindTls(request),
      isOver: () => socket.destroyed || this.#phase.is !== 'open',
      ...(certificate && { certificate }),
      ...(user === chargerId && password && { password }),
    };
    const found = await this.ports.charging.logins.authenticate(login);
    if (found.verdict !== 'ACCEPTED') {
      const { verdict } = found;
      const problem = socket instanceof TLSSocket ? certificateProblemOf(socket) : undefined;
      const facts = { chargerId: chargerId.slice(0, 64), address, verdict, ...(problem && { certificate: problem }) };
      this.ports.log.warn(facts, 'a charger was refused');
      const [status, headers] = refusals[verdict];
      const retry = 'retryAfterSeconds' in found ? `Retry-After: ${found.retryAfterSeconds}\r\n` : headers;
      return refuse(status, retry);
    }
    const protocol = offeredProtocol(request.headers['sec-websocket-protocol']);
    if (!protocol) {
      // OCPP-J: the handshake is completed without a subprotocol, and the socket closed at once.
      this.#sockets.handleUpgrade(request, socket, head, (webSocket) => {
        webSocket.on('error', () => {});
        webSocket.close(UNKNOWN_SUBPROTOCOL, 'Offer the subprotocol ocpp1.6, ocpp2.0.1 or ocpp2.1');
      });
      return;
    }
    // Recorded before the handshake, so that a charger which sees its socket open can be reserved at once.
    const ownership = await connectCharger(this.ports.charging, chargerId, protocol.version, found.proof);
    // The charger was removed, or its credentials changed, during the login. After a 503 it connects and logs in again.
    if (!ownership) return refuse(503, 'Retry-After: 1\r\n');
    let isAccepted = false;
    this.#sockets.handleUpgrade(request, socket, head, (webSocket) => {
      isAccepted = true;
      this.#entering.delete(socket);
      this.#accept(chargerId, webSocket, protocol, login.isEncrypted, ownership);
    });
    if (!isAccepted) await disconnectCharger(this.ports.charging, chargerId, ownership);
  }

  /** True when a trusted proxy has terminated TLS: X-Forwarded-Proto is https, wss or absent. */
  #isBehindTls({ socket, headers }: IncomingMessage): boolean {
    const { isBehindTls, trustProxy } = this.ports;
    if (!isBehindTls || !trustProxy(socket.remoteAddress ?? '', 0)) return false;
    const protocol = headers['x-forwarded-proto'];
    return protocol === undefined || protocol === 'https' || protocol === 'wss';
  }

  #accept(chargerId: string, socket: WebSocket, protocol: Protocol, isEncrypted: boolean, ownership: Ownership): void {
    const before = this.#connections.get(chargerId);
    const connection = new Connection(
      chargerId,
      protocol,
      isEncrypted,
      socket,
      validationOf(protocol),
      this.ports,
      before?.answered,
    );
    this.#owned.set(connection, ownership);
    this.ports.log.info({ chargerId, version: protocol.version }, 'a charger connected');
    const closed = new Promise<void>((resolve) => socket.once('close', () => resolve()));
    const ending = closed.then(() => connection.answered).then(() => this.#release(connection));
    this.#endings.add(ending);
    void ending.finally(() => this.#endings.delete(ending));
    // The connection with the higher epoch, which was recorded later, wins.
    const isNewest = !before || (this.#owned.get(before)?.epoch ?? 0) < ownership.epoch;
    if (isNewest) this.#connections.set(chargerId, connection);
    const older = isNewest ? before : connection;
    older?.close(NORMAL, 'A newer connection of this charger took its place');
    if (this.#phase.is !== 'open') connection.close(GOING_AWAY, 'The server is going away');
  }

  async #reclaim(connection: Connection): Promise<void> {
    const { chargerId } = connection;
    const before = this.#owned.get(connection);
    if (!before) return;
    try {
      const ownership = await reclaimCharger(this.ports.charging, chargerId, before);
      if (ownership && !this.#owned.has(connection))
        await this.#recordEnd(chargerId, ownership); // The socket closed during the reclaim.
      else if (ownership) this.#owned.set(connection, ownership);
      else connection.close(NORMAL, 'A newer connection of this charger took its place');
    } catch (error) {
      this.ports.log.error({ error, chargerId }, 'the connection of a charger could not be stored');
      connection.close(TRY_AGAIN_LATER, 'Try again later');
    }
  }

  async #release(connection: Connection): Promise<void> {
    const { chargerId } = connection;
    if (this.#connections.get(chargerId) === connection) this.#connections.delete(chargerId);
    const ownership = this.#owned.get(connection);
    this.#owned.delete(connection);
    this.ports.log.info({ chargerId }, 'a charger disconnected');
    if (!ownership) return;
    await this.#recordEnd(chargerId, ownership);
  }

  /** Retries while the database is away: until the end is stored, the charger counts as connected. */
  async #recordEnd(chargerId: string, ownership: Ownership): Promise<void> {
    const { charging, clock, log } = this.ports;
    for (;;) {
      try {
        return await disconnectCharger(charging, chargerId, ownership);
      } catch (error) {
        const isOver = this.#phase.is !== 'open' || !isDatabaseAway(error);
        if (isOver) return log.error({ error, chargerId }, 'the end of a connection could not be stored');
        await pause(clock, DATABASE_RETRY_MS);
      }
    }
  }

  #scheduleCheck(): void {
    const phase = this.#phase;
    if (phase.is !== 'open') return;
    const { clock, livenessMs } = this.ports;
    phase.callOffCheck = clock.after(livenessMs / 2, () => {
      for (const connection of this.#connections.values()) connection.checkLiveness();
      this.#scheduleCheck();
    });
  }
}

/** Compiled once per process: each version takes a tenth of a second. */
const validations = new Map<Protocol, Validation>();

function validationOf(protocol: Protocol): Validation {
  const spoken = [...Object.keys(protocol.actions), ...protocol.calls];
  const validation = validations.get(protocol) ?? compileValidation(protocol.version, spoken);
  validations.set(protocol, validation);
  return validation;
}

const protocolOf = (subprotocol: string) => protocols.find((one) => one.subprotocol === subprotocol);

/** The first subprotocol in the charger's offer that we speak. */
const offeredProtocol = (header: string | undefined): Protocol | undefined =>
  header
    ?.split(',')
    .map((name) => protocolOf(name.trim()))
    .find((one) => one !== undefined);

/** The last segment of the path, as OCPP-J has it: /any/prefix/<charger id>. */
function chargerIdOf(url: string): string | undefined {
  const last = url.split('?')[0]?.split('/').at(-1) ?? '';
  try {
    const id = decodeURIComponent(last);
    return id.length > 0 && id.length <= 255 && !/\p{Cc}/u.test(id) ? id : undefined;
  } catch {
    return undefined;
  }
}

/** The password stays a Buffer: it may be any bytes. */
function credentialsOf(header: string | undefined): { user?: string; password?: Buffer } {
  const [scheme, encoded] = (header ?? '').split(' ');
  if (scheme?.toLowerCase() !== 'basic' || !encoded) return {};
  const decoded = Buffer.from(encoded, 'base64');
  const colon = decoded.indexOf(':');
  return colon < 0 ? {} : { user: decoded.subarray(0, colon).toString(), password: decoded.subarray(colon + 1) };
}

const refusals = {
  UNKNOWN_CHARGER: [404, ''],
  WRONG_PASSWORD: [401, 'WWW-Authenticate: Basic realm="OCPP", charset="UTF-8"\r\n'],
  WRONG_CERTIFICATE: [403, ''],
  PROFILE_TOO_LOW: [403, ''],
  TOO_MANY_FAILURES: [429, ''],
  TOO_MANY_LOGINS: [503, ''],
} as const satisfies Record<Exclude<ChargerAuthentication['verdict'], 'ACCEPTED'>, readonly [number, string]>;
