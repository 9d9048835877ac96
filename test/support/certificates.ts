// Certificates for tests, in a folder of their own.
import 'reflect-metadata';
import { webcrypto } from 'node:crypto';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import * as x509 from '@peculiar/x509';

x509.cryptoProvider.set(webcrypto as Crypto);

const EC = { name: 'ECDSA', namedCurve: 'P-256', hash: 'SHA-256' };
const DAY_MS = 86_400_000;

interface Authority {
  readonly certificate: x509.X509Certificate;
  readonly keys: CryptoKeyPair;
}

export interface Pair {
  readonly cert: string;
  readonly key: string;
}

const newKeys = () => webcrypto.subtle.generateKey(EC, true, ['sign', 'verify']) as Promise<CryptoKeyPair>;

async function pemOf({ privateKey }: CryptoKeyPair): Promise<string> {
  return x509.PemConverter.encode(await webcrypto.subtle.exportKey('pkcs8', privateKey), 'PRIVATE KEY');
}

export class Certificates {
  private constructor(
    readonly folder: string,
    readonly authority: Authority,
    readonly stranger: Authority,
    /** Has the same name as `authority`, but another key. */
    readonly impostor: Authority,
  ) {}

  static async make(): Promise<Certificates> {
    const folder = mkdtempSync(join(tmpdir(), 'ev-reservation-tls-'));
    const made = new Certificates(
      folder,
      await makeAuthority('Chargers of a test'),
      await makeAuthority('Somebody else'),
      await makeAuthority('Chargers of a test'),
    );
    writeFileSync(made.path('ca.pem'), made.authority.certificate.toString('pem'));
    writeFileSync(made.path('ca.key'), await pemOf(made.authority.keys));
    await made.makeServer();
    return made;
  }

  /** Issues the server's own certificate and overwrites the one before. */
  async makeServer(): Promise<void> {
    const { cert, key } = await this.issue('127.0.0.1', {
      extensions: [new x509.SubjectAlternativeNameExtension([{ type: 'ip', value: '127.0.0.1' }])],
    });
    writeFileSync(this.path('server.pem'), cert);
    writeFileSync(this.path('server.key'), key);
  }

  get env(): Record<string, string> {
    return {
      OCPP_TLS_PORT: '0',
      OCPP_TLS_CERT_FILE: this.path('server.pem'),
      OCPP_TLS_KEY_FILE: this.path('server.key'),
      OCPP_CLIENT_CA_FILE: this.path('ca.pem'),
    };
  }

  path(file: string): string {
    return join(this.folder, file);
  }

  get ca(): string {
    return readFileSync(this.path('ca.pem'), 'utf8');
  }

  async issue(
    commonName: string,
    options: { by?: Authority; from?: number; to?: number; extensions?: x509.Extension[] } = {},
  ): Promise<Pair & { readonly serialNumber: string; readonly fingerprint: string }> {
    const { by = this.authority, from = -1, to = 20 } = options;
    const keys = await newKeys();
    const certificate = await x509.X509CertificateGenerator.create({
      subject: `CN=${commonName}, O=Test`,
      issuer: by.certificate.subject,
      notBefore: new Date(Date.now() + from * DAY_MS),
      notAfter: new Date(Date.now() + to * DAY_MS),
      publicKey: keys.publicKey,
      signingKey: by.keys.privateKey,
      signingAlgorithm: EC,
      extensions: options.extensions ?? [new x509.ExtendedKeyUsageExtension([x509.ExtendedKeyUsage.clientAuth])],
    });
    const hash = Buffer.from(await certificate.getThumbprint('SHA-256'))
      .toString('hex')
      .toUpperCase();
    return {
      cert: certificate.toString('pem'),
      key: await pemOf(keys),
      serialNumber: certificate.serialNumber,
      fingerprint: hash.match(/../g)?.join(':') ?? '',
    };
  }

  /** A certificate signing request, and the private key that belongs to it. */
  async request(subject: string): Promise<{ readonly csr: string; readonly key: string }> {
    const keys = await newKeys();
    const request = await x509.Pkcs10CertificateRequestGenerator.create({ name: subject, keys, signingAlgorithm: EC });
    return { csr: request.toString('pem'), key: await pemOf(keys) };
  }

  /** Writes the authority's revocation list, with these serial numbers. */
  async revoke(...serialNumbers: readonly string[]): Promise<void> {
    const list = await x509.X509CrlGenerator.create({
      issuer: this.authority.certificate.subject,
      thisUpdate: new Date(Date.now() - DAY_MS),
      nextUpdate: new Date(Date.now() + 20 * DAY_MS),
      entries: serialNumbers.map((serialNumber) => ({ serialNumber, revocationDate: new Date(Date.now() - DAY_MS) })),
      signingKey: this.authority.keys.privateKey,
      signingAlgorithm: EC,
    });
    writeFileSync(this.path('crl.pem'), list.toString('pem').replaceAll(' CRL-', ' X509 CRL-'));
  }

  remove(): void {
    rmSync(this.folder, { recursive: true, force: true });
  }
}

async function makeAuthority(commonName: string): Promise<Authority> {
  const keys = await newKeys();
  const certificate = await x509.X509CertificateGenerator.createSelfSigned({
    name: `CN=${commonName}, O=Test`,
    notBefore: new Date(Date.now() - 30 * DAY_MS),
    notAfter: new Date(Date.now() + 30 * DAY_MS),
    keys,
    signingAlgorithm: EC,
    extensions: [
      new x509.BasicConstraintsExtension(true, 1, true),
      new x509.KeyUsagesExtension(x509.KeyUsageFlags.keyCertSign | x509.KeyUsageFlags.cRLSign, true),
      await x509.SubjectKeyIdentifierExtension.create(keys.publicKey),
    ],
  });
  return { certificate, keys };
}
