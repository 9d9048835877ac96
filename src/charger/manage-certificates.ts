// Certificates of chargers: renewed when the charger, or somebody here, asks for it, and revoked.
import type { Caller } from '../auth/caller.ts';
import { mayAdministerSite } from '../auth/rights.ts';
import type { Background } from '../common/background.ts';
import type { Clock } from '../common/clock.ts';
import type { Log } from '../common/log.ts';
import { RateLimits } from '../common/rate-limit.ts';
import { invalidInput, type Refusal } from '../common/refusal.ts';
import type { CertificateRepository } from './certificate.repository.ts';
import type { ChargerCertificate } from './certificate.ts';
import { BadRequestToSign, type CertificateAuthority } from './certificate-authority.ts';
import type { ChargerRepository } from './charger.repository.ts';
import type { Charger } from './charger.ts';
import type { ChargerCalls } from './charger-calls.ts';
import { chargerNotFound, offline, refused } from './refusals.ts';

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

interface Ports {
  readonly chargers: ChargerRepository;
  readonly certificates: CertificateRepository;
  readonly calls: ChargerCalls;
  readonly canSign: boolean;
  readonly disconnect: (chargerId: string, reason: string) => void;
  readonly clock: Clock;
}

export type RenewChargerCertificate = (caller: Caller, chargerId: string) => Promise<Charger | Refusal>;
export type RevokeChargerCertificate = (
  caller: Caller,
  input: { readonly chargerId: string; readonly fingerprint: string },
) => Promise<ChargerCertificate | Refusal>;

/** Tells the charger to ask for a new one; it does so by itself, later. */
export const renewChargerCertificate =
  ({ chargers, calls, canSign }: Ports): RenewChargerCertificate =>
  async (caller, chargerId) => {
    const [charger] = await chargers.byIds([chargerId]);
    if (!charger || !mayAdministerSite(caller, charger.siteId)) return chargerNotFound(chargerId);
    if (!canSign) {
      return { code: 'NOT_SUPPORTED', message: 'This server has no certificate authority.', chargerId } as Refusal;
    }
    const outcome = await calls.call(chargerId, { type: 'AskForRequest' });
    if (outcome.type === 'offline') return offline(charger, 'ask again when it is');
    if (outcome.type === 'call-error') return refused(chargerId, `It failed with ${outcome.code}.`, 'CALL_ERROR');
    if (outcome.type === 'answer' && outcome.answer !== 'ACCEPTED')
      return refused(chargerId, 'It may not be able to.', 'REJECTED');
    return charger;
  };

/** Nobody comes in with it any more, also where nobody has yet; the charger's connection ends. */
export const revokeChargerCertificate =
  ({ chargers, certificates, disconnect, clock }: Ports): RevokeChargerCertificate =>
  async (caller, { chargerId, fingerprint }) => {
    const [charger] = await chargers.byIds([chargerId]);
    if (!charger || !mayAdministerSite(caller, charger.siteId)) return chargerNotFound(chargerId);
    if (!/^([0-9A-F]{2}:){31}[0-9A-F]{2}$/i.test(fingerprint))
      return invalidInput('fingerprint', 'It must be a SHA-256 in hexadecimal digits, each two followed by a colon.');
    const revoked = await certificates.revoke(chargerId, fingerprint.toUpperCase(), clock.now(), caller.subject);
    if (!revoked) {
      return { code: 'CERTIFICATE_NOT_FOUND', message: `Charger "${chargerId}" has no certificate like that.` };
    }
    disconnect(chargerId, 'A certificate of this charger was revoked');
    return revoked;
  };
