// Who calls, and what that caller may see and do. The one place that knows the roles.
import { sameId } from '../id-tag/id-tag.ts';
import type { Reservation } from '../reservation/reservation.ts';

interface Token {
  readonly subject: string;
  readonly expiresAt: Date;
}

export type Caller =
  /** Reserves with its own idTags, or for its groups, and sees the reservations of both. */
  | (Token & { readonly role: 'DRIVER'; readonly idTags: readonly string[]; readonly groups: readonly string[] })
  /** Everything at its sites. */
  | (Token & { readonly role: 'OPERATOR'; readonly sites: readonly string[] })
  | (Token & { readonly role: 'ADMIN' });

export const mayUseIdTag = (caller: Caller, idTag: string): boolean =>
  caller.role !== 'DRIVER' || caller.idTags.some((own) => sameId(own, idTag));

/** May reserve for the group alone: its members are who uses it. */
export const mayUseGroup = (caller: Caller, parentIdTag: string): boolean =>
  caller.role !== 'DRIVER' || caller.groups.some((own) => sameId(own, parentIdTag));

/** Drivers look for chargers at every site; an operator sees only its own. */
export const maySeeSite = (caller: Caller, siteId: string): boolean =>
  caller.role !== 'OPERATOR' || caller.sites.includes(siteId);

export const mayAdministerSite = (caller: Caller, siteId: string): boolean =>
  caller.role === 'ADMIN' || (caller.role === 'OPERATOR' && caller.sites.includes(siteId));

/** A driver sees what its idTags hold, and what is held for its groups alone. */
export function maySeeReservation(
  caller: Caller,
  { siteId, idTag, parentIdTag }: Pick<Reservation, 'siteId' | 'idTag' | 'parentIdTag'>,
): boolean {
  if (caller.role !== 'DRIVER') return maySeeSite(caller, siteId);
  if (idTag !== undefined) return mayUseIdTag(caller, idTag);
  return parentIdTag !== undefined && mayUseGroup(caller, parentIdTag);
}

/** Two callers with the same see the same. */
export function rightsOf(caller: Caller): string {
  const set = (ids: readonly string[]) => [...new Set(ids)].toSorted();
  const folded = (ids: readonly string[]) => set(ids.map((id) => id.toLowerCase()));
  switch (caller.role) {
    case 'DRIVER':
      return JSON.stringify([caller.role, folded(caller.idTags), folded(caller.groups)]);
    case 'OPERATOR':
      return JSON.stringify([caller.role, set(caller.sites)]);
    case 'ADMIN':
      return caller.role;
    default:
      return caller satisfies never;
  }
}

interface Share {
  readonly siteIds?: readonly string[];
  /** Held by one of these, or, with `groups`, for one of those alone. */
  readonly idTags?: readonly string[];
  readonly groups?: readonly string[];
}

/** The caller's share of reservations, cut down to a site and a holder where these are asked for. */
export function reservationShare(caller: Caller, asked: { readonly siteId?: string; readonly idTag?: string }): Share {
  const { siteId, idTag } = asked;
  const { siteIds } = siteScope(caller);
  const { idTags, groups } = caller.role === 'DRIVER' ? caller : {};
  const sites = siteId === undefined ? siteIds : (siteIds ?? [siteId]).filter((one) => one === siteId);
  const holders = idTag === undefined ? idTags : (idTags ?? [idTag]).filter((one) => sameId(one, idTag));
  return {
    ...(sites && { siteIds: sites }),
    ...(holders && { idTags: holders }),
    // Whoever asks for an idTag does not ask for what a group holds alone.
    ...(groups && idTag === undefined && { groups }),
  };
}

/** The caller's share of a list of sites or chargers. */
export const siteScope = (caller: Caller): { siteIds?: readonly string[] } =>
  caller.role === 'OPERATOR' ? { siteIds: caller.sites } : {};
