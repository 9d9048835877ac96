// Certificates of chargers: an operator makes the charger ask for a new one, or revokes one.
import type { Caller } from '../model/access/caller.ts';
import { mayAdministerSite } from '../model/access/rights.ts';
import type { ChargerCertificate } from '../model/charger/certificate.ts';
import type { Charger } from '../model/charger/charger.ts';
import { invalidInput } from '../model/refusals/input.ts';
import { chargerNotFound } from '../model/refusals/not-found.ts';
import type { Refusal } from '../model/refusals/refusal.ts';
import { offline, refused } from './charger-refusals.ts';
import type { AdministrationPorts } from './ports.ts';

/** Asks the charger to request a new certificate; the charger's own request follows later. */
export async function renewChargerCertificate(
  ports: AdministrationPorts,
  caller: Caller,
  chargerId: string,
): Promise<Charger | Refusal> {
  const { chargers, calls, canSign } = ports;

  const [charger] = await chargers.byIds([chargerId]);
  if (!charger || !mayAdministerSite(caller, charger.siteId)) return chargerNotFound(chargerId);
  if (!canSign) {
    return { code: 'NOT_SUPPORTED', message: 'This server has no certificate authority.', chargerId } as Refusal;
  }
  const outcome = await calls.call(chargerId, { type: 'AskForRequest' });
  if (outcome.type === 'offline') return offline(charger, 'ask again when it is');
  if (outcome.type === 'call-error') return refused(chargerId, `It failed with ${outcome.code}.`, 'CALL_ERROR');
  if (outcome.type === 'answer' && outcome.answer !== 'ACCEPTED')
    return refused(chargerId, 'It may not support renewal.', 'REJECTED');
  return charger;
}

/** Revokes a certificate, even one that was never used, and closes the charger's connection. */
export async function revokeChargerCertificate(
  ports: AdministrationPorts,
  caller: Caller,
  { chargerId, fingerprint }: { readonly chargerId: string; readonly fingerprint: string },
): Promise<ChargerCertificate | Refusal> {
  const { chargers, certificates, disconnect, clock } = ports;

  const [charger] = await chargers.byIds([chargerId]);
  if (!charger || !mayAdministerSite(caller, charger.siteId)) return chargerNotFound(chargerId);
  if (!/^([0-9A-F]{2}:){31}[0-9A-F]{2}$/i.test(fingerprint))
    return invalidInput(
      'fingerprint',
      'It must be a SHA-256 in hexadecimal digits: 32 bytes with a colon between them.',
    );
  const revoked = await certificates.revoke(chargerId, fingerprint.toUpperCase(), clock.now(), caller.subject);
  if (!revoked) {
    return {
      code: 'CERTIFICATE_NOT_FOUND',
      message: `Charger "${chargerId}" has no certificate with that fingerprint.`,
    };
  }
  disconnect(chargerId, 'A certificate of this charger was revoked');
  return revoked;
}
