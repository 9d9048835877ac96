// Reads and lifts a site's blocks: idTags and groups that may not reserve for a time, because of no-shows, late cancels
// or re-reservations.
import { addMs, MINUTE_MS } from '../common/clock.ts';
import type { Caller } from '../model/access/caller.ts';
import { mayAdministerSite } from '../model/access/rights.ts';
import { checkIdentifier, invalidInput } from '../model/refusals/input.ts';
import { siteNotFound } from '../model/refusals/not-found.ts';
import type { Refusal } from '../model/refusals/refusal.ts';
import { blocks, latestOf, type PolicyReason } from '../model/site/decide.ts';
import { largestAnywhere, resolvePolicy } from '../model/site/policy.ts';
import type { AdministrationPorts } from './ports.ts';

/** The block of an idTag or of a group: exactly one of the two is set. */
export interface ReservationBlock {
  readonly idTag?: string;
  readonly parentIdTag?: string;
  readonly reasons: readonly PolicyReason[];
  readonly blockedUntil: Date;
}

export interface LiftBlockInput {
  readonly siteId: string;
  readonly idTag?: string;
  readonly parentIdTag?: string;
}

const onlyOperators: Refusal = {
  code: 'FORBIDDEN',
  message: 'Only admins and the operators of the site may see and lift blocks.',
};

export async function readBlocks(
  ports: AdministrationPorts,
  caller: Caller,
  siteId: string,
): Promise<readonly ReservationBlock[] | Refusal> {
  const { strikes, policies, clock } = ports;

  if (!mayAdministerSite(caller, siteId)) return onlyOperators;
  const known = await policies.ofSite(siteId);
  if (!known) return siteNotFound(siteId);
  const now = clock.now();
  const back = largestAnywhere(known, 'abuseWindowMinutes') + largestAnywhere(known, 'blockMinutes');
  const found = await strikes.ofSite(siteId, addMs(now, -back * MINUTE_MS));
  return found.flatMap(({ idTag, group, parentIdTag, strikes: of }) => {
    // A charger may have its own limits: a block in force anywhere at the site is shown.
    const places = known.overrides.filter(({ scope }) => scope === 'CHARGER').map(({ key }) => key);
    const policies = [undefined, ...places].map((chargerId) => resolvePolicy(known, { chargerId, group }));
    const facts =
      idTag === undefined ? { strikesOfIdTag: [], strikesOfGroup: of } : { strikesOfIdTag: of, strikesOfGroup: [] };
    const standing = policies.flatMap((policy) => blocks(policy, facts, now));
    const reasons = standing.filter(({ rule }, index) => standing.findIndex((one) => one.rule === rule) === index);
    const blockedUntil = latestOf(standing);
    if (!blockedUntil) return [];
    const who = idTag === undefined ? { parentIdTag: parentIdTag ?? group ?? '' } : { idTag };
    return [{ ...who, reasons, blockedUntil }];
  });
}

/** Pardons the idTag or the group: its strikes up to now no longer count. */
export async function liftBlock(
  ports: AdministrationPorts,
  caller: Caller,
  { siteId, idTag, parentIdTag }: LiftBlockInput,
): Promise<{ readonly id: string } | Refusal> {
  const { strikes, policies, clock } = ports;

  if (!mayAdministerSite(caller, siteId)) return onlyOperators;
  if ((idTag === undefined) === (parentIdTag === undefined))
    return invalidInput('idTag', 'Give either idTag or parentIdTag.');
  const wrong = checkIdentifier('idTag', idTag) ?? checkIdentifier('parentIdTag', parentIdTag);
  if (wrong) return wrong;
  if (!(await policies.ofSite(siteId))) return siteNotFound(siteId);
  const who =
    idTag === undefined
      ? { scope: 'GROUP' as const, key: parentIdTag ?? '' }
      : { scope: 'ID_TAG' as const, key: idTag };
  await strikes.pardon(siteId, who, clock.now(), caller.subject);
  return { id: who.key };
}
