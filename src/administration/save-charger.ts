// Administration of chargers: save and remove.
import type { Caller } from '../model/access/caller.ts';
import { mayAdministerSite } from '../model/access/rights.ts';
import type { Charger, SecurityProfile } from '../model/charger/charger.ts';
import { MAX_CONNECTOR_ID } from '../model/charger/connector.ts';
import { invalidInput } from '../model/refusals/input.ts';
import { chargerNotFound } from '../model/refusals/not-found.ts';
import type { Refusal } from '../model/refusals/refusal.ts';
import type { AdministrationPorts } from './ports.ts';

export interface SaveChargerInput {
  readonly id: string;
  readonly siteId: string;
  readonly name?: string;
  /** Required for a new charger; otherwise absent means that the password stays as it is. */
  readonly password?: string;
  /**
   * The lowest profile by which the charger may log in; it can be raised, not lowered. Absent: unchanged, or 1 for a
   * new charger.
   */
  readonly securityProfile?: number;
  readonly connectors: readonly { readonly connectorId: number; readonly plugTypes: readonly string[] }[];
}

/** Creates or changes a charger; saving a removed charger restores it. */
export async function saveCharger(
  ports: AdministrationPorts,
  caller: Caller,
  input: SaveChargerInput,
): Promise<Charger | Refusal> {
  const { chargers, sites, passwords, disconnect } = ports;
  const { id, siteId, password, connectors } = input;
  const [[before], [site], kept] = await Promise.all([
    chargers.byIds([id]),
    sites.byIds([siteId]),
    chargers.belonging(id),
  ]);
  if (!mayAdministerSite(caller, siteId) || (kept && !mayAdministerSite(caller, kept.siteId))) return onlyOperators;
  if (!site) return { code: 'SITE_NOT_FOUND', message: `There is no site "${siteId}"; save it first.` };
  const wrong =
    checkId(id) ??
    checkPassword(password, before !== undefined) ??
    checkProfile(input.securityProfile, kept?.securityProfile) ??
    checkConnectors(connectors);
  if (wrong) return wrong;
  const known = before && password !== undefined ? await chargers.credentials(id) : undefined;
  const isSame = known && (await passwords.isPasswordOf(id, known.passwordHash, password ?? ''));
  const change = password === undefined || isSame ? {} : { passwordHash: await passwords.hash(password) };
  const name = input.name ?? before?.name ?? id;
  const securityProfile = (input.securityProfile ?? 1) as SecurityProfile;
  // False if somebody else saved, moved or removed the charger meanwhile: then rights and input are checked again.
  const isSaved = await chargers.save({ id, siteId, name, connectors, securityProfile, ...change }, kept?.siteId);
  if (!isSaved) return saveCharger(ports, caller, input);
  if (before && 'passwordHash' in change) disconnect(id, 'The password of this charger was changed');
  else if (before && securityProfile > before.securityProfile)
    disconnect(id, `This charger must log in by security profile ${securityProfile}`);
  const [saved] = await chargers.byIds([id]);
  return saved ?? { code: 'CHARGER_NOT_FOUND', message: `Charger "${id}" was removed at the same time.` };
}

/** Past reservations of the charger stay; it cannot be removed while a reservation is live. */
export async function removeCharger(
  ports: AdministrationPorts,
  caller: Caller,
  id: string,
): Promise<{ readonly id: string } | Refusal> {
  const { chargers, disconnect, clock } = ports;

  const [before] = await chargers.byIds([id]);
  if (!before || !mayAdministerSite(caller, before.siteId)) {
    return chargerNotFound(id);
  }
  if (!(await chargers.remove(id, clock.now(), caller.subject))) {
    return { code: 'IN_USE', message: `Charger "${id}" has live reservations; cancel them first.` };
  }
  disconnect(id, 'This charger was removed');
  return { id };
}

const onlyOperators: Refusal = {
  code: 'FORBIDDEN',
  message: 'Only admins and the operators of the site administer its chargers.',
};

const checkId = (id: string) =>
  /^[A-Za-z0-9*+=:|@._-]{1,48}$/.test(id)
    ? undefined
    : invalidInput('id', 'It must have 1 to 48 letters, digits or any of *+=:|@._- (an OCPP identity).');

function checkPassword(password: string | undefined, isKnown: boolean) {
  if (password === undefined) return isKnown ? undefined : invalidInput('password', 'A new charger needs one.');
  return /^[\x20-\x7e]{16,64}$/.test(password)
    ? undefined
    : invalidInput('password', 'It must have 16 to 64 printable ASCII characters.');
}

function checkProfile(profile: number | undefined, before: SecurityProfile = 1) {
  if (profile === undefined) return undefined;
  if (![1, 2, 3].includes(profile)) return invalidInput('securityProfile', 'It must be 1, 2 or 3.');
  return profile >= before ? undefined : invalidInput('securityProfile', `It is ${before} and can only be raised.`);
}

function checkConnectors(connectors: SaveChargerInput['connectors']) {
  const ids = connectors.map(({ connectorId }) => connectorId);
  if (ids.some((id) => id < 1 || id > MAX_CONNECTOR_ID)) {
    return invalidInput('connectors', `A connectorId is from 1 to ${MAX_CONNECTOR_ID}.`);
  }
  return new Set(ids).size === ids.length
    ? undefined
    : invalidInput('connectors', 'Each connectorId may appear only once.');
}
