// Signs the certificate that a charger asks for, and sends it back in a Call of its own.
import type { Background } from '../../common/background.ts';
import type { Clock } from '../../common/clock.ts';
import type { Log } from '../../common/log.ts';
import { RateLimits } from '../../common/rate-limit.ts';
import type { ChargerCalls } from '../../model/charger/charger-calls.ts';
import type { CertificateRepository } from '../../storage/chargers/certificate.repository.ts';
import { BadRequestToSign, type CertificateAuthority } from './certificate-authority.ts';

interface SignPorts {
  readonly authority: CertificateAuthority | undefined;
  readonly certificates: CertificateRepository;
  readonly calls: ChargerCalls;
  readonly background: Background;
  readonly clock: Clock;
  readonly log: Log;
}

export interface SigningRequest {
  /** PKCS #10, in PEM. */
  readonly csr: string;
  /** 2.1: what the charger knows the certificate by when it comes. */
  readonly requestId?: number;
  /** Who reads along on a connection that is not encrypted could ask for a certificate of its own. */
  readonly isEncrypted: boolean;
}

/** Undefined: it is not signed. Else what sends the certificate, in a Call of its own, once the request is answered. */
export type SignCertificate = (chargerId: string, request: SigningRequest) => Promise<(() => void) | undefined>;

/** Of one charger: it needs one in a year. */
const REQUESTS = { perSecond: 1 / 60, burst: 3 };
/** OCPP's limit of the message; a chain that is longer goes without what is above the charger's own. */
const MAX_CHAIN = 10_000;

/** A charger's own request. */
export function signCertificate(ports: SignPorts): SignCertificate {
  const { authority, certificates, calls, background, clock, log } = ports;
  const requests = new RateLimits(REQUESTS);
  return async (chargerId, { csr, requestId, isEncrypted }) => {
    const now = clock.now();
    if (!authority || !isEncrypted || requests.of(chargerId, now).tryTake(now, 1) > 0) return undefined;
    try {
      const { chain, leaf, ...certificate } = await authority.sign(csr, chargerId);
      await certificates.recordIssue(chargerId, certificate);
      const command = { type: 'InstallCertificate', chain: chain.length > MAX_CHAIN ? leaf : chain } as const;
      const { fingerprint } = certificate;
      return () =>
        void background.track(
          calls
            .call(chargerId, { ...command, ...(requestId !== undefined && { requestId }) })
            .then((outcome) => log.info({ chargerId, outcome, fingerprint }, 'a certificate was sent to a charger')),
        );
    } catch (error) {
      if (!(error instanceof BadRequestToSign)) throw error;
      log.warn({ chargerId, reason: error.message }, 'a certificate was not signed');
      return undefined;
    }
  };
}
