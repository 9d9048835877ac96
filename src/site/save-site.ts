// Administration of sites: save and remove.
import { type Caller, mayAdministerSite } from '../auth/caller.ts';
import { invalidInput, type Refusal } from '../common/refusal.ts';
import { defaultPolicy, type ReservationPolicy } from './policy.ts';
import type { SiteRepository } from './site.repository.ts';
import { isTimeZone, type Site } from './site.ts';

export interface SaveSiteInput {
  readonly id: string;
  readonly name: string;
  readonly timeZone: string;
  /** What is absent stays as it is; in a new site it takes the default. */
  readonly policy: Partial<ReservationPolicy>;
}

export type SaveSite = (caller: Caller, input: SaveSiteInput) => Promise<Site | Refusal>;
export type RemoveSite = (caller: Caller, id: string) => Promise<{ readonly id: string } | Refusal>;

/** Admins make sites; an operator changes its own. */
export const saveSite =
  (sites: SiteRepository): SaveSite =>
  async (caller, input) => {
    const { id, name, timeZone } = input;
    if (!mayAdministerSite(caller, id)) return onlyOwn;
    const [before] = await sites.byIds([id]);
    if (!before && caller.role !== 'ADMIN') return onlyOwn;
    const policy = { ...(before?.policy ?? defaultPolicy), ...input.policy };
    const wrong = checkId(id) ?? checkName(name) ?? checkTimeZone(timeZone) ?? checkDurations(policy);
    if (wrong) return wrong;
    const site = { id, name, timeZone, policy };
    await sites.save(site);
    return site;
  };

export const removeSite =
  (sites: SiteRepository): RemoveSite =>
  async (caller, id) => {
    if (caller.role !== 'ADMIN') return onlyOwn;
    switch (await sites.remove(id)) {
      case 'REMOVED':
        return { id };
      case 'NOT_FOUND':
        return { code: 'SITE_NOT_FOUND', message: `There is no site "${id}".` };
      case 'IN_USE':
        return { code: 'IN_USE', message: `Site "${id}" has, or had, chargers; its history is kept.` };
    }
  };

const onlyOwn: Refusal = { code: 'FORBIDDEN', message: 'Admins make and remove sites; an operator changes its own.' };

const checkId = (id: string) =>
  /^[A-Za-z0-9._-]{1,64}$/.test(id)
    ? undefined
    : invalidInput('id', 'It must have 1 to 64 letters, digits, ".", "_" or "-".');
const checkName = (name: string) =>
  name.trim().length > 0 && name.length <= 200 ? undefined : invalidInput('name', 'It must have 1 to 200 characters.');
const checkTimeZone = (name: string) =>
  isTimeZone(name) ? undefined : invalidInput('timeZone', `"${name}" is not an IANA time zone such as Europe/Berlin.`);

function checkDurations(policy: ReservationPolicy) {
  const { minDurationMinutes: min, maxDurationMinutes: max, defaultDurationMinutes: standard } = policy;
  if (min < 0) return invalidInput('minDurationMinutes', 'It must be 0 or more.');
  if (max < Math.max(min, 1) || max > 525_600) {
    return invalidInput('maxDurationMinutes', `It must be from ${Math.max(min, 1)} to 525600.`);
  }
  if (standard < Math.max(min, 1) || standard > max) {
    return invalidInput('defaultDurationMinutes', `It must be from ${Math.max(min, 1)} to ${max}.`);
  }
  return undefined;
}
