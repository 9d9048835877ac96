// A site's reservation policy: its fields, their defaults, and how its layers resolve into the policy for one charger
// and group. Pure. It must not know how a request is decided (decide.ts), nor where policies are stored.
import type { OpeningHours } from './opening-hours.ts';

/**
 * `null` means no limit, or never. Minutes and counts are whole numbers. For the meaning and range of each field see
 * policy-fields.ts.
 */
export interface ReservationPolicy {
  readonly enabled: boolean;
  readonly minDurationMinutes: number;
  readonly maxDurationMinutes: number;
  readonly defaultDurationMinutes: number;
  readonly maxLeadTimeMinutes: number | null;
  readonly maxActivePerIdTag: number | null;
  readonly maxActivePerGroup: number | null;
  readonly maxPerDayPerIdTag: number | null;
  readonly cooldownMinutes: number;
  readonly overlappingAllowed: boolean;
  readonly minFreeConnectors: number;
  readonly connectorZeroAllowed: boolean;
  readonly allowedGroups: readonly string[] | null;
  readonly openingHours: readonly OpeningHours[] | null;
  readonly extensionAllowed: boolean;
  readonly maxExtensions: number | null;
  readonly changeUntilMinutes: number | null;
  readonly extensionMayReplace: boolean;
  readonly cancelUntilMinutes: number | null;
  readonly noShowTimeoutMinutes: number | null;
  readonly endingNoticeMinutes: number | null;
  readonly activationTimeoutMinutes: number;
  readonly overstayAction: OverstayAction;
  readonly intruderStatus: IntruderStatus;
  readonly precheckStatus: boolean;
  readonly serverSideHoldAllowed: boolean;
  readonly priority: number;
  readonly preemptionAllowed: boolean;
  readonly noShowLimit: number | null;
  readonly noShowLimitPerGroup: number | null;
  readonly lateCancelMinutes: number | null;
  readonly lateCancelLimit: number | null;
  readonly lateCancelLimitPerGroup: number | null;
  readonly reReservationMinutes: number | null;
  readonly reReservationLimit: number | null;
  readonly reReservationLimitPerGroup: number | null;
  readonly abuseWindowMinutes: number;
  readonly blockMinutes: number;
}

/** The fate of a booking whose connector is still in use by somebody else when the booking begins. */
export type OverstayAction = 'WAIT' | 'MOVE';

/**
 * The status that a charger receives for an idTag when every connector it could use is held for others: OCPP has no
 * status for that.
 */
export type IntruderStatus = 'NOT_AT_THIS_TIME' | 'BLOCKED' | 'INVALID';
export const intruderStatuses: readonly IntruderStatus[] = ['NOT_AT_THIS_TIME', 'BLOCKED', 'INVALID'];
export const overstayActions: readonly OverstayAction[] = ['WAIT', 'MOVE'];

const DAY = 24 * 60;

export const defaultPolicy: ReservationPolicy = {
  enabled: true,
  minDurationMinutes: 0,
  maxDurationMinutes: 180,
  defaultDurationMinutes: 30,
  maxLeadTimeMinutes: 30 * DAY,
  maxActivePerIdTag: null,
  maxActivePerGroup: null,
  maxPerDayPerIdTag: null,
  cooldownMinutes: 0,
  overlappingAllowed: true,
  minFreeConnectors: 0,
  connectorZeroAllowed: true,
  allowedGroups: null,
  openingHours: null,
  extensionAllowed: true,
  maxExtensions: null,
  changeUntilMinutes: null,
  extensionMayReplace: false,
  cancelUntilMinutes: null,
  noShowTimeoutMinutes: null,
  endingNoticeMinutes: null,
  activationTimeoutMinutes: 10,
  overstayAction: 'WAIT',
  intruderStatus: 'NOT_AT_THIS_TIME',
  precheckStatus: false,
  serverSideHoldAllowed: false,
  priority: 0,
  preemptionAllowed: false,
  noShowLimit: null,
  noShowLimitPerGroup: null,
  lateCancelMinutes: null,
  lateCancelLimit: null,
  lateCancelLimitPerGroup: null,
  reReservationMinutes: null,
  reReservationLimit: null,
  reReservationLimitPerGroup: null,
  abuseWindowMinutes: 30 * DAY,
  blockMinutes: DAY,
};

/** The fields that one layer sets; a field left out comes from the layer below. */
export type PolicyFields = Partial<ReservationPolicy>;

export type PolicyScope = 'SITE' | 'CHARGER' | 'GROUP';

export interface PolicyOverride {
  readonly scope: Exclude<PolicyScope, 'SITE'>;
  /** The charger's id, or the parentIdTag. */
  readonly key: string;
  readonly fields: PolicyFields;
}

/** All policy layers of a site, as of one version. */
export interface SitePolicies {
  readonly siteId: string;
  readonly timeZone: string;
  readonly version: number;
  readonly fields: PolicyFields;
  readonly overrides: readonly PolicyOverride[];
}

/**
 * The policy for a charger and a group: the group's override comes before the charger's, then the site's layer, then
 * the defaults.
 */
export function resolvePolicy(
  { fields, overrides }: SitePolicies,
  { chargerId, group }: { readonly chargerId?: string | undefined; readonly group?: string | undefined } = {},
): ReservationPolicy {
  const ofCharger = overrides.find(({ scope, key }) => scope === 'CHARGER' && key === chargerId);
  const ofGroup = overrides.find(({ scope, key }) => scope === 'GROUP' && key.toLowerCase() === group?.toLowerCase());
  return { ...defaultPolicy, ...fields, ...ofCharger?.fields, ...ofGroup?.fields };
}

/** Whether any layer of the site sets one of the fields to another value than its default. */
export const isSetAnywhere = ({ fields, overrides }: SitePolicies, ...names: (keyof ReservationPolicy)[]): boolean =>
  [fields, ...overrides.map((one) => one.fields)].some((layer) =>
    names.some((name) => layer[name] !== undefined && layer[name] !== defaultPolicy[name]),
  );

type NumberField = {
  [K in keyof ReservationPolicy]: ReservationPolicy[K] extends number | null ? K : never;
}[keyof ReservationPolicy];

/** The largest value of the field in any layer or the default; null counts as 0. */
export const largestAnywhere = ({ fields, overrides }: SitePolicies, name: NumberField): number =>
  Math.max(...[defaultPolicy, fields, ...overrides.map((one) => one.fields)].map((layer) => layer[name] ?? 0));
