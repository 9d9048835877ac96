// Certificates of chargers: renewed when the charger, or somebody here, asks for it, and revoked.
import type { Caller } from '../auth/caller.ts';
import { mayAdministerSite } from '../auth/rights.ts';
import type { Background } from '../common/background.ts';
import type { Clock } from '../common/clock.ts';
import type { Log } from '../common/log.ts';
import type { Refusal } from '../common/refusal.ts';
import type { CertificateRepository } from './certificate.repository.ts';
import type { ChargerCertificate } from './certificate.ts';
import { BadRequestToSign, type CertificateAuthority } from './certificate-authority.ts';
import { chargerNotFound, offline, refused } from './change-charger-password.ts';
import type { ChargerRepository } from './charger.repository.ts';
import type { Charger } from './charger.ts';
import type { ChargerCalls } from './charger-calls.ts';

interface SignPorts {
  readonly authority: CertificateAuthority | undefined;
  readonly certificates: CertificateRepository;
  readonly calls: ChargerCalls;
  readonly background: Background;
  readonly log: Log;
}

export type SignCertificate = (chargerId: string, csr: string) => Promise<'ACCEPTED' | 'REJECTED'>;

/** A charger's own request; the certificate is sent in a Call of its own, once this one is answered. */
export const signCertificate =
  ({ authority, certificates, calls, background, log }: SignPorts): SignCertificate =>
  async (chargerId, csr) => {
    if (!authority) return 'REJECTED';
    try {
      const { chain, ...certificate } = await authority.sign(csr, chargerId);
      await certificates.recordIssue(chargerId, certificate);
      const sending = calls.call(chargerId, { type: 'InstallCertificate', chain });
      void background.track(
        sending.then((outcome) =>
          log.info({ chargerId, outcome, fingerprint: certificate.fingerprint }, 'a certificate was sent to a charger'),
        ),
      );
      return 'ACCEPTED';
    } catch (error) {
      if (!(error instanceof BadRequestToSign)) throw error;
      log.warn({ chargerId, reason: error.message }, 'a certificate was not signed');
      return 'REJECTED';
    }
  };

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

/** Nobody comes in with it any more; the charger's connection ends. */
export const revokeChargerCertificate =
  ({ chargers, certificates, disconnect, clock }: Ports): RevokeChargerCertificate =>
  async (caller, { chargerId, fingerprint }) => {
    const [charger] = await chargers.byIds([chargerId]);
    if (!charger || !mayAdministerSite(caller, charger.siteId)) return chargerNotFound(chargerId);
    const revoked = await certificates.revoke(chargerId, fingerprint.toUpperCase(), clock.now(), caller.subject);
    if (!revoked) {
      return { code: 'CERTIFICATE_NOT_FOUND', message: `Charger "${chargerId}" has no certificate like that.` };
    }
    disconnect(chargerId, 'A certificate of this charger was revoked');
    return revoked;
  };
