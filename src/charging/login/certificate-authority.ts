// Signs chargers' certificate requests with the key of the operator's certificate authority. It must not know how the
// requests arrive.
import 'reflect-metadata';
import { createHash, createPrivateKey, type KeyObject, randomBytes, webcrypto, X509Certificate } from 'node:crypto';
import * as x509 from '@peculiar/x509';
import { addMs, type Clock } from '../../common/clock.ts';
import type { ClientCertificate } from '../../model/charger/certificate.ts';

x509.cryptoProvider.set(webcrypto as Crypto);

export interface IssuedCertificate extends ClientCertificate {
  /** PEM. `leaf` is the certificate alone; `chain` is the certificate, then its authority's. */
  readonly leaf: string;
  readonly chain: string;
}

/** The request may not be signed; the message says why. */
export class BadRequestToSign extends Error {
  override readonly name = 'BadRequestToSign';
}

export interface CertificateAuthority {
  /** Throws BadRequestToSign. */
  sign(csrPem: string, chargerId: string): Promise<IssuedCertificate>;
}

interface Options {
  /** PEM: the authority's certificate, possibly among others. */
  readonly certificatePem: string;
  readonly keyPem: string;
  readonly validMs: number;
  readonly clock: Clock;
}

/** Tolerates a charger's clock that is up to an hour behind ours. */
const BACKDATED_MS = 3_600_000;
const MIN_RSA_BITS = 2048;

/** Throws if the key belongs to none of the certificates, or is neither RSA nor EC on P-256 or P-384. */
export async function certificateAuthority({ certificatePem, keyPem, validMs, clock }: Options) {
  const key = createPrivateKey(keyPem);
  const authority = authorityOf(certificatePem, key);
  const algorithm = signingAlgorithm(key);
  const der = key.export({ format: 'der', type: 'pkcs8' });
  const signingKey = await webcrypto.subtle.importKey('pkcs8', der, algorithm, false, ['sign']);
  return {
    async sign(csrPem, chargerId) {
      const request = await readRequest(csrPem, chargerId);
      const now = clock.now();
      const notAfter = new Date(Math.min(addMs(now, validMs).getTime(), authority.notAfter.getTime()));
      const certificate = await x509.X509CertificateGenerator.create({
        serialNumber: newSerialNumber(),
        // Only the charger's id: the other attributes of the request's subject are unverified claims.
        subject: [{ CN: [chargerId] }],
        issuer: authority.subject,
        notBefore: addMs(now, -BACKDATED_MS),
        notAfter,
        signingAlgorithm: algorithm,
        publicKey: request.publicKey,
        signingKey: signingKey as CryptoKey,
        extensions: [
          new x509.BasicConstraintsExtension(false, undefined, true),
          new x509.KeyUsagesExtension(x509.KeyUsageFlags.digitalSignature, true),
          new x509.ExtendedKeyUsageExtension([x509.ExtendedKeyUsage.clientAuth]),
          await x509.AuthorityKeyIdentifierExtension.create(authority),
        ],
      });
      const fingerprint = createHash('sha256').update(Buffer.from(certificate.rawData)).digest('hex').toUpperCase();
      return {
        commonName: chargerId,
        fingerprint: fingerprint.match(/../g)?.join(':') ?? '',
        serialNumber: certificate.serialNumber.toUpperCase(),
        notBefore: certificate.notBefore,
        notAfter: certificate.notAfter,
        leaf: `${certificate.toString('pem')}\n`,
        chain: `${certificate.toString('pem')}\n${authority.toString('pem')}\n`,
      };
    },
  } satisfies CertificateAuthority;
}

/** The certificate in `pem` to which the key belongs. */
function authorityOf(pem: string, key: KeyObject): x509.X509Certificate {
  const found = x509.PemConverter.decode(pem).find((der) => new X509Certificate(Buffer.from(der)).checkPrivateKey(key));
  if (!found) throw new Error('The key of the certificate authority belongs to none of its certificates');
  return new x509.X509Certificate(found);
}

/** 126 random bits: the first two bits are 01, so that the number is positive and has no leading zero. */
function newSerialNumber(): string {
  const bytes = randomBytes(16);
  bytes[0] = ((bytes[0] ?? 0) & 0x3f) | 0x40;
  return bytes.toString('hex');
}

function signingAlgorithm(key: KeyObject): EcdsaParams & { namedCurve?: string } {
  const { namedCurve } = key.asymmetricKeyDetails ?? {};
  if (key.asymmetricKeyType === 'rsa') return { name: 'RSASSA-PKCS1-v1_5', hash: 'SHA-256' };
  if (namedCurve === 'prime256v1') return { name: 'ECDSA', namedCurve: 'P-256', hash: 'SHA-256' };
  if (namedCurve === 'secp384r1') return { name: 'ECDSA', namedCurve: 'P-384', hash: 'SHA-384' };
  throw new Error('The key of the certificate authority must be RSA, or EC on P-256 or P-384');
}

/**
 * Throws BadRequestToSign unless the request proves that its sender holds the private key, and names this charger
 * alone.
 */
async function readRequest(csrPem: string, chargerId: string): Promise<x509.Pkcs10CertificateRequest> {
  let request: x509.Pkcs10CertificateRequest;
  try {
    request = new x509.Pkcs10CertificateRequest(csrPem);
  } catch {
    throw new BadRequestToSign('The request is not PKCS #10 in PEM');
  }
  const isSigned = await request.verify().catch(() => false);
  if (!isSigned) throw new BadRequestToSign('The signature of the request is invalid');
  const names = request.subjectName.getField('CN');
  if (names.length !== 1 || names[0] !== chargerId)
    throw new BadRequestToSign('The subject of the request must have one common name: the id of the charger');
  const { name, modulusLength } = request.publicKey.algorithm as { name: string; modulusLength?: number };
  if (modulusLength !== undefined && modulusLength < MIN_RSA_BITS)
    throw new BadRequestToSign(`The ${name} key of the request is shorter than ${MIN_RSA_BITS} bits`);
  return request;
}
