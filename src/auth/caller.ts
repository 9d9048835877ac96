// Who calls, and what that caller may see and do. The one place that knows the roles.
import { sameId } from '../id-tag/id-tag.ts';
import type { Reservation } from '../reservation/reservation.ts';

interface Token {
  readonly subject: string;
  readonly expiresAt: Date;
}

export type Caller =
  /** Reserves with its own idTags and sees its own reservations. */
  | (Token & { readonly role: 'DRIVER'; readonly idTags: readonly string[] })
  /** Everything at its sites. */
  | (Token & { readonly role: 'OPERATOR'; readonly sites: readonly string[] })
  | (Token & { readonly role: 'ADMIN' });

export const mayUseIdTag = (caller: Caller, idTag: string): boolean =>
  caller.role !== 'DRIVER' || caller.idTags.some((own) => sameId(own, idTag));

/** Drivers look for chargers at every site; an operator sees only its own. */
export const maySeeSite = (caller: Caller, siteId: string): boolean =>
  caller.role !== 'OPERATOR' || caller.sites.includes(siteId);

export const mayAdministerSite = (caller: Caller, siteId: string): boolean =>
  caller.role === 'ADMIN' || (caller.role === 'OPERATOR' && caller.sites.includes(siteId));

export const maySeeReservation = (caller: Caller, reservation: Pick<Reservation, 'siteId' | 'idTag'>): boolean =>
  caller.role === 'DRIVER' ? mayUseIdTag(caller, reservation.idTag) : maySeeSite(caller, reservation.siteId);

/** The caller's share of a list of reservations. */
export const reservationScope = (caller: Caller): { siteIds?: readonly string[]; idTags?: readonly string[] } =>
  caller.role === 'DRIVER' ? { idTags: caller.idTags } : siteScope(caller);

/** The caller's share of a list of sites or chargers. */
export const siteScope = (caller: Caller): { siteIds?: readonly string[] } =>
  caller.role === 'OPERATOR' ? { siteIds: caller.sites } : {};
