// TLS for chargers: creates the server, reloads its certificate files when they change, and reads a charger's
// certificate.
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
  /** The CA that signs chargers' certificates; without it there is no security profile 3. */
  readonly clientAuthority?: string;
  /** Certificate revocation lists (CRL); once set, each certificate in a chain needs the list of its issuer. */
  readonly clientRevocations?: string;
}

/** The ports that chargers connect to. */
export interface Doors {
  /** Port without TLS: for private networks, or behind a proxy that terminates TLS. */
  readonly plainPort?: number;
  readonly tls?: { readonly port: number; readonly files: TlsFiles };
}

const REREAD_MS = 60_000;
const HANDSHAKE_MS = 10_000;

async function read(files: TlsFiles): Promise<SecureContextOptions> {
  const [cert, key, ca, crl] = await Promise.all(
    [files.certificate, files.key, files.clientAuthority, files.clientRevocations].map((path) =>
      path === undefined ? undefined : readFile(path, 'utf8'),
    ),
  );
  return {
    cert,
    key,
    minVersion: 'TLSv1.2',
    ...(ca !== undefined && { ca }),
    ...(crl !== undefined && { crl }),
    // A resumed session skips the certificate check, so a certificate revoked since the first handshake would pass.
    secureOptions: constants.SSL_OP_NO_TICKET | constants.SSL_OP_NO_RENEGOTIATION,
  };
}

export interface TlsServer {
  readonly server: Server;
  stopWatching(): void;
}

/** Throws when a file cannot be read or used. */
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
    // A charger without a certificate, or with its manufacturer's, may still have a password: authenticateCharger
    // decides by its id.
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
      log.info('the TLS certificates for chargers were reloaded');
    } catch (error) {
      log.error({ error }, 'the TLS certificates for chargers could not be reloaded; the old ones stay in use');
    }
  };
  watch();
  return { server, stopWatching: () => callOff() };
}

/**
 * The charger's certificate when the CA, its dates and the CRL admit it; undefined: it showed none, or one that is not
 * admitted.
 */
export function clientCertificateOf(socket: TLSSocket): ClientCertificate | undefined {
  if (!socket.authorized) return undefined;
  const { subject, fingerprint256, serialNumber, valid_from, valid_to } = socket.getPeerCertificate();
  const commonName: unknown = subject?.CN;
  // A certificate with two common names does not say which one is the charger.
  if (typeof commonName !== 'string') return undefined;
  const dates = { notBefore: new Date(valid_from), notAfter: new Date(valid_to) };
  return { commonName, fingerprint: fingerprint256, serialNumber, ...dates };
}

/** Why the certificate that the charger showed is not admitted, in OpenSSL's words, for the log. */
export function certificateProblemOf(socket: TLSSocket): string | undefined {
  const isShown = Object.keys(socket.getPeerCertificate()).length > 0;
  return isShown && !socket.authorized ? `${socket.authorizationError}` : undefined;
}
