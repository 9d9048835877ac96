// Decides who may do what: which operations (a permission, by role and scope), and on which objects (by sites, idTags
// and groups). GraphQL, its subscriptions and REST share these rules.
import { sameId } from '../charger/id-tag.ts';
import { belongsTo } from '../reservation/holder.ts';
import type { Reservation } from '../reservation/reservation.ts';
import { type Caller, type Permission, permissions, type Role } from './caller.ts';

const driver: readonly Permission[] = [
  'reservations:read',
  'reservations:write',
  'sites:read',
  'chargers:read',
  'events:read',
];
const operator: readonly Permission[] = [
  ...driver,
  'sites:write',
  'chargers:write',
  'id-tags:read',
  'reports:read',
  'webhooks:read',
  'webhooks:write',
];
const ofRole: Record<Role, readonly Permission[]> = { DRIVER: driver, OPERATOR: operator, ADMIN: permissions };

/** The permission that each operation needs, by the name of its GraphQL root field; REST routes use the same names. */
export const operations = {
  reservation: 'reservations:read',
  reservations: 'reservations:read',
  reservationOptions: 'reservations:read',
  availability: 'reservations:read',
  authorization: 'chargers:read',
  charger: 'chargers:read',
  chargers: 'chargers:read',
  site: 'sites:read',
  sites: 'sites:read',
  policyChanges: 'reports:read',
  reservationUsage: 'reports:read',
  reservationBlocks: 'reports:read',
  idTags: 'id-tags:read',
  events: 'events:read',
  eventCursor: 'events:read',
  reservationChanged: 'events:read',
  connectorChanged: 'events:read',
  reserveNow: 'reservations:write',
  scheduleReservation: 'reservations:write',
  moveReservation: 'reservations:write',
  extendReservation: 'reservations:write',
  cancelReservation: 'reservations:write',
  liftReservationBlock: 'sites:write',
  saveSite: 'sites:write',
  removeSite: 'sites:write',
  savePolicyOverride: 'sites:write',
  removePolicyOverride: 'sites:write',
  saveCharger: 'chargers:write',
  removeCharger: 'chargers:write',
  changeChargerPassword: 'chargers:write',
  renewChargerCertificate: 'chargers:write',
  revokeChargerCertificate: 'chargers:write',
  saveIdTag: 'id-tags:write',
  removeIdTag: 'id-tags:write',
  apiKeys: 'api-keys:read',
  createApiKey: 'api-keys:write',
  revokeApiKey: 'api-keys:write',
  auditEntries: 'audit:read',
  webhooks: 'webhooks:read',
  saveWebhook: 'webhooks:write',
  removeWebhook: 'webhooks:write',
  pauseWebhook: 'webhooks:write',
  resumeWebhook: 'webhooks:write',
  rotateWebhookSecret: 'webhooks:write',
} as const satisfies Record<string, Permission>;
export type OperationName = keyof typeof operations;

/** Scopes only restrict the permissions of the role; undefined: every permission of the role. */
export function permissionsOf(role: Role, scopes: readonly string[] | undefined): ReadonlySet<Permission> {
  return new Set(scopes ? ofRole[role].filter((one) => scopes.includes(one)) : ofRole[role]);
}

export const may = (caller: Caller, permission: Permission): boolean => caller.permissions.has(permission);

export const needsPermission = (permission: Permission): string =>
  `This needs the permission ${permission}, which the role or the scopes of the caller do not give.`;

export const mayUseIdTag = (caller: Caller, idTag: string): boolean =>
  caller.role !== 'DRIVER' || caller.idTags.some((own) => sameId(own, idTag));

/** Whether the caller may reserve for the group without naming an idTag; any member may then use the reservation. */
export const mayUseGroup = (caller: Caller, parentIdTag: string): boolean =>
  caller.role !== 'DRIVER' || caller.groups.some((own) => sameId(own, parentIdTag));

/** Drivers and admins see every site; an operator sees only its own sites. */
export const maySeeSite = (caller: Caller, siteId: string): boolean =>
  caller.role !== 'OPERATOR' || caller.sites.includes(siteId);

export const mayAdministerSite = (caller: Caller, siteId: string): boolean =>
  caller.role === 'ADMIN' || (caller.role === 'OPERATOR' && caller.sites.includes(siteId));

/** Whether the caller may administer every site, including sites that do not exist yet. */
export const mayAdministerEverySite = (caller: Caller): boolean => caller.role === 'ADMIN';

/** Whether the caller may administer all of these sites; undefined: every site. */
export const mayAdministerSites = (caller: Caller, siteIds: readonly string[] | undefined): boolean =>
  siteIds === undefined ? mayAdministerEverySite(caller) : siteIds.every((siteId) => mayAdministerSite(caller, siteId));

/**
 * Whether the caller (operator or admin) acts for any holder: it may cancel by force and is not bound by the policy's
 * rules for the holder.
 */
export const actsForOthers = (caller: Caller): boolean => caller.role !== 'DRIVER';

/** A driver sees the reservations of its idTags, and those of its groups that name no idTag. */
export function maySeeReservation(
  caller: Caller,
  reservation: Pick<Reservation, 'siteId' | 'idTag' | 'parentIdTag'>,
): boolean {
  return caller.role === 'DRIVER' ? belongsTo(reservation, caller) : maySeeSite(caller, reservation.siteId);
}

/** Equal texts mean equal rights: callers with the same text see the same data. */
export function rightsOf(caller: Caller): string {
  const set = (ids: readonly string[]) => [...new Set(ids)].toSorted();
  const folded = (ids: readonly string[]) => set(ids.map((id) => id.toLowerCase()));
  const allowed = [...caller.permissions].toSorted();
  switch (caller.role) {
    case 'DRIVER':
      return JSON.stringify([caller.role, allowed, folded(caller.idTags), folded(caller.groups)]);
    case 'OPERATOR':
      return JSON.stringify([caller.role, allowed, set(caller.sites)]);
    case 'ADMIN':
      return JSON.stringify([caller.role, allowed]);
    default:
      return caller satisfies never;
  }
}

interface Share {
  readonly siteIds?: readonly string[];
  /** Held for one of these idTags, or, without an idTag, for one of `groups`. */
  readonly idTags?: readonly string[];
  readonly groups?: readonly string[];
}

/** The reservations that the caller may see, narrowed to a site and a holder if the caller asks for them. */
export function reservationShare(caller: Caller, asked: { readonly siteId?: string; readonly idTag?: string }): Share {
  const { siteId, idTag } = asked;
  const { siteIds } = siteScope(caller);
  const { idTags, groups } = caller.role === 'DRIVER' ? caller : {};
  const sites = siteId === undefined ? siteIds : (siteIds ?? [siteId]).filter((one) => one === siteId);
  const holders = idTag === undefined ? idTags : (idTags ?? [idTag]).filter((one) => sameId(one, idTag));
  return {
    ...(sites && { siteIds: sites }),
    ...(holders && { idTags: holders }),
    // A filter by idTag leaves out what is held for a group without an idTag.
    ...(groups && idTag === undefined && { groups }),
  };
}

/** The sites that the caller's lists of sites and chargers are limited to; without `siteIds` there is no limit. */
export const siteScope = (caller: Caller): { siteIds?: readonly string[] } =>
  caller.role === 'OPERATOR' ? { siteIds: caller.sites } : {};
