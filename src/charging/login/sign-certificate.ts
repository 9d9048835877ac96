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
  /** 2.1: the charger's id for this request, which the Call with the certificate repeats. */
  readonly requestId?: number;
  /** An unencrypted request is not signed: an eavesdropper could get a certificate of its own. */
  readonly isEncrypted: boolean;
}

/** Limit for each charger, which needs about one certificate a year. */
const REQUESTS = { perSecond: 1 / 60, burst: 3 };
/**
 * OCPP's limit of a certificate chain, in characters; instead of a longer chain the charger's own certificate is sent
 * alone.
 */
const MAX_CHAIN = 10_000;

export class CertificateSigner {
  readonly #requests = new RateLimits(REQUESTS);

  constructor(private readonly ports: SignPorts) {}

  /**
   * Signs a charger's request. Undefined if it is not signed: there is no authority, the connection is unencrypted, or
   * requests come too often. Otherwise a function that sends the certificate in a Call of its own; call it once the
   * request is answered.
   */
  async sign(chargerId: string, request: SigningRequest): Promise<(() => void) | undefined> {
    const { authority, certificates, calls, background, clock, log } = this.ports;
    const { csr, requestId, isEncrypted } = request;
    const now = clock.now();
    if (!authority || !isEncrypted || this.#requests.of(chargerId, now).tryTake(now, 1) > 0) return undefined;
    try {
      const { chain, leaf, ...certificate } = await authority.sign(csr, chargerId);
      await certificates.recordIssue(chargerId, certificate);
      const command = { type: 'InstallCertificate', chain: chain.length > MAX_CHAIN ? leaf : chain } as const;
      const { fingerprint } = certificate;
      return () =>
        void background.track(
          calls
            .call(chargerId, { ...command, ...(requestId !== undefined && { requestId }) })
            .then((outcome) =>
              log.info({ chargerId, outcome, fingerprint }, 'sending a certificate to a charger has ended'),
            ),
        );
    } catch (error) {
      if (!(error instanceof BadRequestToSign)) throw error;
      log.warn({ chargerId, reason: error.message }, 'a certificate was not signed');
      return undefined;
    }
  }
}
