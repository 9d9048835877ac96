// TLS for chargers: our certificate, theirs, and the files that both come from, which may change while we run.
import { constants } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { createServer, type Server } from 'node:https';
import type { SecureContextOptions, TLSSocket } from 'node:tls';
import type { Clock } from '../common/clock.ts';
import type { Log } from '../common/log.ts';
import type { ClientCertificate } from '../model/charger/certificate.ts';

/** Paths of PEM files. */
export interface TlsFiles {
  readonly certificate: string;
  readonly key: string;
  /** Of who signs chargers' certificates: without it there is no security profile 3. */
  readonly clientAuthority?: string;
  /** Certificates of that authority that are not good any more; with it, each certificate needs its authority's list. */
  readonly clientRevocations?: string;
}

/** Where chargers come in. */
export interface Doors {
  /** Without TLS: for networks that are private, and for who has TLS before it. */
  readonly plainPort?: number;
  readonly tls?: { readonly port: number; readonly files: TlsFiles };
}

const REREAD_MS = 60_000;
const HANDSHAKE_MS = 10_000;

/** As given to a server, and again when a file has become another. */
async function read(files: TlsFiles): Promise<SecureContextOptions> {
  const [cert, key, ca, crl] = await Promise.all(
    [files.certificate, files.key, files.clientAuthority, files.clientRevocations].map((path) =>
      path === undefined ? undefined : readFile(path, 'utf8'),
    ),
  );
  return {
    ...{ cert, key, minVersion: 'TLSv1.2' },
    ...(ca !== undefined && { ca }),
    ...(crl !== undefined && { crl }),
    // A session that is resumed would not show a certificate that was revoked meanwhile.
    secureOptions: constants.SSL_OP_NO_TICKET | constants.SSL_OP_NO_RENEGOTIATION,
  };
}

export interface TlsServer {
  readonly server: Server;
  stopWatching(): void;
}

/** Throws where a file cannot be read, or holds something else. */
export async function createTlsServer(
  files: TlsFiles,
  options: object,
  { clock, log }: { readonly clock: Clock; readonly log: Log },
): Promise<TlsServer> {
  let known = await read(files);
  const server = createServer({
    ...options,
    ...known,
    handshakeTimeout: HANDSHAKE_MS,
    requestCert: files.clientAuthority !== undefined,
    // One without, or with its maker's, may still have a password: whether that will do is decided with its id.
    rejectUnauthorized: false,
  });
  server.on('tlsClientError', (error, socket) => {
    log.debug({ error: error.message }, 'a TLS handshake with a charger failed');
    socket.destroy();
  });
  let callOff = () => {};
  const watch = () => {
    callOff = clock.after(REREAD_MS, () => {
      void reread().finally(watch);
    });
  };
  const reread = async () => {
    try {
      const now = await read(files);
      if (JSON.stringify(now) === JSON.stringify(known)) return;
      server.setSecureContext(now);
      known = now;
      log.info('the certificates for chargers were read anew');
    } catch (error) {
      log.error({ error }, 'the certificates for chargers could not be read anew; the old ones stay');
    }
  };
  watch();
  return { server, stopWatching: () => callOff() };
}

/** One that its authority, the dates and the list of revocations admit; undefined: it showed none, or another. */
export function clientCertificateOf(socket: TLSSocket): ClientCertificate | undefined {
  if (!socket.authorized) return undefined;
  const { subject, fingerprint256, serialNumber, valid_from, valid_to } = socket.getPeerCertificate();
  const commonName: unknown = subject?.CN;
  // Of two names it could not be said which is meant.
  if (typeof commonName !== 'string') return undefined;
  const dates = { notBefore: new Date(valid_from), notAfter: new Date(valid_to) };
  return { commonName, fingerprint: fingerprint256, serialNumber, ...dates };
}

/** Why the one it showed is not admitted, in OpenSSL's words, for whoever looks after the server. */
export function certificateProblemOf(socket: TLSSocket): string | undefined {
  const isShown = Object.keys(socket.getPeerCertificate()).length > 0;
  return isShown && !socket.authorized ? `${socket.authorizationError}` : undefined;
}
