// Use cases that administer sites and their policies: save and remove a site, save and remove an override.
import type { Caller } from '../model/access/caller.ts';
import { mayAdministerEverySite, mayAdministerSite } from '../model/access/rights.ts';
import { checkIdentifier, type InputRefusal, invalidInput } from '../model/refusals/input.ts';
import { chargerNotFound, siteNotFound } from '../model/refusals/not-found.ts';
import { isRefusal, type Refusal } from '../model/refusals/refusal.ts';
import { type PolicyFields, resolvePolicy, type SitePolicies } from '../model/site/policy.ts';
import { checkFields, checkTogether } from '../model/site/policy-fields.ts';
import { isTimeZone, type Site } from '../model/site/site.ts';
import type { Layer } from '../storage/sites/policy.repository.ts';
import type { SiteRepository } from '../storage/sites/site.repository.ts';
import type { AdministrationPorts } from './ports.ts';

export interface SaveSiteInput {
  readonly id: string;
  readonly name: string;
  readonly timeZone: string;
  /** A field left out keeps its value; in a new site it takes its default. */
  readonly policy: PolicyFields;
}

/** Names the override of one charger or of one group: exactly one of the two is given. */
export interface OverrideKey {
  readonly siteId: string;
  readonly chargerId?: string;
  readonly parentIdTag?: string;
}
export interface SaveOverrideInput extends OverrideKey {
  /** A field left out is not overridden, even if it was before. */
  readonly policy: PolicyFields;
}

/** Admins may create sites; an operator may only change its own. */
export async function saveSite(
  ports: AdministrationPorts,
  caller: Caller,
  input: SaveSiteInput,
): Promise<Site | Refusal> {
  const { sites, policyRows, clock } = ports;

  const { id, name, timeZone, policy } = input;
  if (!mayAdministerSite(caller, id)) return onlyOwn;
  const [known] = await sites.byIds([id]);
  if (!known && !mayAdministerEverySite(caller)) return onlyOwn;
  const wrong = checkId(id) ?? checkName(name) ?? checkTimeZone(timeZone) ?? checkFields(policy);
  if (wrong) return wrong;
  const edit = (before: SitePolicies | undefined) => {
    const fields = { ...before?.fields, ...policy };
    const after = { siteId: id, timeZone, version: 0, fields, overrides: before?.overrides ?? [] };
    return checkLayers(after) ?? { scope: 'SITE' as const, key: '', fields };
  };
  const refused = await policyRows.change(id, edit, { by: caller.subject, at: clock.now(), site: { name, timeZone } });
  return refused ?? (await reread(sites, id));
}

/** Saves the override of one charger or of one group; it replaces an earlier override as a whole. */
export async function saveOverride(
  ports: AdministrationPorts,
  caller: Caller,
  { policy, ...key }: SaveOverrideInput,
): Promise<Site | Refusal> {
  const layer = await checkLayer(ports, caller, key, { mustBeThere: true });
  if (isRefusal(layer)) return layer;
  const wrong = checkFields(policy);
  if (wrong) return wrong;
  const edit = (before: SitePolicies | undefined) => {
    if (!before) return siteNotFound(key.siteId);
    const { scope, key: name } = layer;
    const others = before.overrides.filter((one) => !isSame(one, layer));
    if (others.length >= MAX_OVERRIDES) return tooManyOverrides;
    const override = { scope: scope === 'GROUP' ? scope : ('CHARGER' as const), key: name, fields: policy };
    return checkLayers({ ...before, overrides: [...others, override] }) ?? { ...layer, fields: policy };
  };
  const refused = await ports.policyRows.change(key.siteId, edit, { by: caller.subject, at: ports.clock.now() });
  return refused ?? (await reread(ports.sites, key.siteId));
}

/** Changes nothing if there is no such override. */
export async function removeOverride(
  ports: AdministrationPorts,
  caller: Caller,
  key: OverrideKey,
): Promise<Site | Refusal> {
  const layer = await checkLayer(ports, caller, key, { mustBeThere: false });
  if (isRefusal(layer)) return layer;
  const edit = (before: SitePolicies | undefined) => (before ? layer : siteNotFound(key.siteId));
  const refused = await ports.policyRows.change(key.siteId, edit, { by: caller.subject, at: ports.clock.now() });
  return refused ?? (await reread(ports.sites, key.siteId));
}

export async function removeSite(
  ports: AdministrationPorts,
  caller: Caller,
  id: string,
): Promise<{ readonly id: string } | Refusal> {
  const { sites } = ports;

  if (!mayAdministerEverySite(caller)) return onlyOwn;
  switch (await sites.remove(id)) {
    case 'REMOVED':
      return { id };
    case 'NOT_FOUND':
      return siteNotFound(id);
    case 'IN_USE':
      return {
        code: 'IN_USE',
        message: `Site "${id}" cannot be removed: it has, or had, chargers, and their history is kept.`,
      };
  }
}

const MAX_OVERRIDES = 500;
const tooManyOverrides = invalidInput('siteId', `A site has at most ${MAX_OVERRIDES} overrides; remove some first.`);

const reread = async (sites: SiteRepository, id: string): Promise<Site | Refusal> =>
  (await sites.byIds([id]))[0] ?? siteNotFound(id);

const onlyOwn: Refusal = {
  code: 'FORBIDDEN',
  message: 'Only admins may create and remove sites; an operator may change only its own.',
};

const isSame = (one: Layer, other: Layer): boolean =>
  one.scope === other.scope &&
  (one.key === other.key || (one.scope === 'GROUP' && one.key.toLowerCase() === other.key.toLowerCase()));

async function checkLayer(
  { chargers }: AdministrationPorts,
  caller: Caller,
  { siteId, chargerId, parentIdTag }: OverrideKey,
  { mustBeThere }: { readonly mustBeThere: boolean },
): Promise<Layer | Refusal> {
  if (!mayAdministerSite(caller, siteId)) return onlyOwn;
  if ((chargerId === undefined) === (parentIdTag === undefined)) {
    return invalidInput('chargerId', 'Give either chargerId or parentIdTag.');
  }
  if (parentIdTag !== undefined) {
    return checkIdentifier('parentIdTag', parentIdTag) ?? { scope: 'GROUP', key: parentIdTag };
  }
  // The override of a charger that has left the site stays behind, and must be removable.
  if (!mustBeThere) return { scope: 'CHARGER', key: chargerId ?? '' };
  const [charger] = await chargers.byIds([chargerId ?? '']);
  if (charger?.siteId === siteId) return { scope: 'CHARGER', key: charger.id };
  return chargerNotFound(chargerId ?? '', `at site "${siteId}"`);
}

/** Checks the policy that results for every combination of an overridden charger and an overridden group. */
function checkLayers(policies: SitePolicies): InputRefusal | undefined {
  const chargers = policies.overrides.filter(({ scope }) => scope === 'CHARGER').map(({ key }) => key);
  const groups = policies.overrides.filter(({ scope }) => scope === 'GROUP').map(({ key }) => key);
  for (const chargerId of [undefined, ...chargers]) {
    for (const group of [undefined, ...groups]) {
      const wrong = checkTogether(resolvePolicy(policies, { chargerId, group }));
      if (!wrong) continue;
      const where = [chargerId && `charger "${chargerId}"`, group && `group "${group}"`].filter(Boolean).join(', ');
      return where ? { ...wrong, message: `${wrong.message} (for ${where})` } : wrong;
    }
  }
  return undefined;
}

const checkId = (id: string) =>
  /^[A-Za-z0-9._-]{1,64}$/.test(id)
    ? undefined
    : invalidInput('id', 'It must have 1 to 64 letters, digits, ".", "_" or "-".');
const checkName = (name: string) =>
  name.trim().length > 0 && name.length <= 200 ? undefined : invalidInput('name', 'It must have 1 to 200 characters.');
const checkTimeZone = (name: string) =>
  isTimeZone(name) ? undefined : invalidInput('timeZone', `"${name}" is not an IANA time zone such as Europe/Berlin.`);
