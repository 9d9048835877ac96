// A site's reservation policy: its fields, their defaults, and which of its layers holds for whom. Pure.
// It must not know how a request is judged by it (decide.ts), nor where it is stored.
import type { OpeningHours } from './opening-hours.ts';

/** `null` is "no limit". Minutes and counts are whole numbers; what each field means and may be: policy-fields.ts. */
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

/** What becomes of a booking whose connector is still charging somebody else when it begins. */
export type OverstayAction = 'WAIT' | 'MOVE';

/** What a charger is told of an idTag for which nothing is open, for OCPP has no word for "reserved". */
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

/** What one layer says; what it leaves out, the layer below says. */
export type PolicyFields = Partial<ReservationPolicy>;

export type PolicyScope = 'SITE' | 'CHARGER' | 'GROUP';

export interface PolicyOverride {
  readonly scope: Exclude<PolicyScope, 'SITE'>;
  /** The charger's id, or the parentIdTag. */
  readonly key: string;
  readonly fields: PolicyFields;
}

/** All that a site says, as of one version. */
export interface SitePolicies {
  readonly siteId: string;
  readonly timeZone: string;
  readonly version: number;
  readonly fields: PolicyFields;
  readonly overrides: readonly PolicyOverride[];
}

/** For whom, and where: the group's word counts before the charger's, the charger's before the site's. */
export function resolvePolicy(
  { fields, overrides }: SitePolicies,
  { chargerId, group }: { readonly chargerId?: string | undefined; readonly group?: string | undefined } = {},
): ReservationPolicy {
  const ofCharger = overrides.find(({ scope, key }) => scope === 'CHARGER' && key === chargerId);
  const ofGroup = overrides.find(({ scope, key }) => scope === 'GROUP' && key.toLowerCase() === group?.toLowerCase());
  return { ...defaultPolicy, ...fields, ...ofCharger?.fields, ...ofGroup?.fields };
}

/** Whether any layer of the site sets the field otherwise than the default. */
export const isSetAnywhere = ({ fields, overrides }: SitePolicies, ...names: (keyof ReservationPolicy)[]): boolean =>
  [fields, ...overrides.map((one) => one.fields)].some((layer) =>
    names.some((name) => layer[name] !== undefined && layer[name] !== defaultPolicy[name]),
  );

type NumberField = {
  [K in keyof ReservationPolicy]: ReservationPolicy[K] extends number | null ? K : never;
}[keyof ReservationPolicy];

/** The largest value that any layer gives the field. */
export const largestAnywhere = ({ fields, overrides }: SitePolicies, name: NumberField): number =>
  Math.max(...[defaultPolicy, fields, ...overrides.map((one) => one.fields)].map((layer) => layer[name] ?? 0));
