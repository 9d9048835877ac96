// What each field of a policy means and may be: the one table from which input is checked and the API described.
import { isIdentifier } from '../../common/identifier.ts';
import { type InputRefusal, invalidInput } from '../refusals/input.ts';
import { isTimeOfDay, type OpeningHours } from './opening-hours.ts';
import { intruderStatuses, overstayActions, type PolicyFields, type ReservationPolicy } from './policy.ts';

interface Flag {
  readonly kind: 'flag';
}
/** A whole number; `unit` stands in its name. */
interface Whole {
  readonly kind: 'whole';
  readonly min: number;
  readonly max: number;
  /** Null: no limit. */
  readonly isOptional: boolean;
}
interface Special {
  readonly kind: 'groups' | 'hours';
}
interface Choice {
  readonly kind: 'choice';
  readonly of: 'OverstayAction' | 'IntruderStatus';
  readonly values: readonly string[];
}

export type PolicyField = (Flag | Whole | Choice | Special) & { readonly description: string };

const YEAR = 525_600;
const flag = (description: string): PolicyField => ({ kind: 'flag', description });
const whole = (description: string, { min = 0, max = YEAR } = {}): PolicyField => ({
  ...{ kind: 'whole', min, max, isOptional: false },
  description,
});
const optionalMinutes = (description: string, max = YEAR): PolicyField => ({
  ...{ kind: 'whole', min: 0, max, isOptional: true },
  description,
});
const optionalCount = (description: string, min = 0): PolicyField => ({
  ...{ kind: 'whole', min, max: 1_000_000, isOptional: true },
  description,
});

export const policyFields: { readonly [K in keyof ReservationPolicy]: PolicyField } = {
  enabled: flag('Whether reservations are taken at all.'),
  minDurationMinutes: whole('The shortest reservation, in minutes.'),
  maxDurationMinutes: whole('The longest reservation, in minutes; extensions count.', { min: 1 }),
  defaultDurationMinutes: whole('How long a reservation lasts that names no end, in minutes.', { min: 1 }),
  maxLeadTimeMinutes: optionalMinutes('How far ahead a booking may begin, in minutes; 0: none ahead; null: no limit.'),
  maxActivePerIdTag: optionalCount('How many live reservations and bookings one idTag has here; null: no limit.'),
  maxActivePerGroup: optionalCount('How many live reservations and bookings one group has here; null: no limit.'),
  maxPerDayPerIdTag: optionalCount(
    'How many reservations of one idTag begin on one day of the site’s time zone, ended ones included; null: no limit.',
  ),
  cooldownMinutes: whole('How long after one reservation of an idTag its next may begin, in minutes.'),
  overlappingAllowed: flag('Whether one idTag may have several reservations at a time here.'),
  minFreeConnectors: whole('How many connectors of the site stay free for those without a reservation.', {
    max: 1_000_000,
  }),
  connectorZeroAllowed: flag('Whether the connector may be left to the charger (connectorId 0).'),
  allowedGroups: { kind: 'groups', description: 'The groups (parentIdTag) that may reserve; null: everybody.' },
  openingHours: {
    kind: 'hours',
    description: 'When reservations may lie, in the site’s time zone; null: always; an empty list: never.',
  },
  extensionAllowed: flag('Whether a reservation may be extended.'),
  maxExtensions: optionalCount('How often one reservation may be extended; null: no limit.'),
  changeUntilMinutes: optionalMinutes(
    'Extending and moving end so many minutes before a booking begins, or before a hold that has begun ends; null: no limit.',
  ),
  extensionMayReplace: flag(
    'Whether a charger that refuses an extension is told to cancel and to hold the connector under a fresh reservationId.',
  ),
  cancelUntilMinutes: optionalMinutes(
    'A driver cancels a booking no later than so many minutes before it begins; null: at any time.',
  ),
  noShowTimeoutMinutes: optionalMinutes(
    'A holder who has not come so many minutes after the start loses the reservation; null: it holds until its expiry date.',
  ),
  endingNoticeMinutes: optionalMinutes(
    'The holder is told so many minutes before the reservation ends (event ENDING_SOON); null: not at all.',
  ),
  activationTimeoutMinutes: whole(
    'For how long after its start a booking is tried on a charger that is offline or occupied, in minutes.',
  ),
  overstayAction: {
    kind: 'choice',
    of: 'OverstayAction',
    values: overstayActions,
    description: 'What becomes of a booking whose connector is still in use by somebody else when it begins.',
  },
  intruderStatus: {
    kind: 'choice',
    of: 'IntruderStatus',
    values: intruderStatuses,
    description: 'What a charger is told of an idTag when everything it could use is held for others.',
  },
  precheckStatus: flag(
    'Whether a connector that is known to be in use or out of order is refused before the charger is asked.',
  ),
  serverSideHoldAllowed: flag(
    'Whether a charger that cannot be reserved is held by this server, which then refuses everybody else.',
  ),
  priority: whole('Rank of the group, set by its override: a higher one may pre-empt a lower one.', { max: 1000 }),
  preemptionAllowed: flag('Whether a reservation of this policy may be pre-empted by a group of higher priority.'),
  noShowLimit: optionalCount('So many no-shows of one idTag within the window block it; null: never.', 1),
  noShowLimitPerGroup: optionalCount('So many no-shows of one group within the window block it; null: never.', 1),
  lateCancelMinutes: optionalMinutes(
    'A driver’s cancel counts as late less than so many minutes before a booking begins, or more than that after a hold began; null: never.',
  ),
  lateCancelLimit: optionalCount('So many late cancels of one idTag within the window block it; null: never.', 1),
  lateCancelLimitPerGroup: optionalCount(
    'So many late cancels of one group within the window block it; null: never.',
    1,
  ),
  reReservationMinutes: optionalMinutes(
    'A reservation counts as a re-reservation when it is made so soon after one of the same idTag on the same charger that ended unused; null: never.',
  ),
  reReservationLimit: optionalCount('So many re-reservations of one idTag within the window block it; null: never.', 1),
  reReservationLimitPerGroup: optionalCount(
    'So many re-reservations of one group within the window block it; null: never.',
    1,
  ),
  abuseWindowMinutes: whole('The window over which no-shows, late cancels and re-reservations count, in minutes.', {
    min: 1,
  }),
  blockMinutes: whole('How long a block lasts, in minutes, from the strike that reached the limit.', { min: 1 }),
};

export const policyFieldNames = Object.keys(policyFields) as (keyof ReservationPolicy)[];

const MAX_GROUPS = 1000;
const MAX_HOURS = 100;

/** The first field that cannot be, by itself. */
export function checkFields(fields: PolicyFields): InputRefusal | undefined {
  for (const name of policyFieldNames) {
    const value = fields[name];
    if (value === undefined) continue;
    const wrong = checkField(policyFields[name], value);
    if (wrong) return invalidInput(name, wrong);
  }
  return undefined;
}

function checkField(field: PolicyField, value: NonNullable<PolicyFields[keyof ReservationPolicy]> | null) {
  switch (field.kind) {
    case 'flag':
      return typeof value === 'boolean' ? undefined : 'It must be true or false.';
    case 'choice':
      return field.values.includes(String(value)) ? undefined : `It must be one of ${field.values.join(', ')}.`;
    case 'whole': {
      if (value === null && field.isOptional) return undefined;
      const isWhole = typeof value === 'number' && Number.isInteger(value) && value >= field.min && value <= field.max;
      return isWhole
        ? undefined
        : `It must be from ${field.min} to ${field.max}${field.isOptional ? ', or null' : ''}.`;
    }
    case 'groups': {
      if (value === null) return undefined;
      const groups = value as readonly string[];
      if (groups.length > MAX_GROUPS) return `It must have at most ${MAX_GROUPS} entries.`;
      return groups.every(isIdentifier) ? undefined : 'Each entry must have 1 to 255 printable characters.';
    }
    case 'hours': {
      if (value === null) return undefined;
      const hours = value as readonly OpeningHours[];
      if (hours.length > MAX_HOURS) return `It must have at most ${MAX_HOURS} entries.`;
      const wrong = hours.find(
        ({ opens, closes }) => !isTimeOfDay(opens) || !isTimeOfDay(closes) || opens === '24:00' || closes === '00:00',
      );
      return wrong && `"${wrong.opens}" to "${wrong.closes}" is not a time from 00:00 to one until 24:00.`;
    }
    default:
      return field satisfies never;
  }
}

/** Fields that must fit each other, in a policy as it would hold. */
export function checkTogether(policy: ReservationPolicy): InputRefusal | undefined {
  const { minDurationMinutes: min, maxDurationMinutes: max, defaultDurationMinutes: standard } = policy;
  const least = Math.max(min, 1);
  if (max < least) return invalidInput('maxDurationMinutes', `It must be from ${least} to ${YEAR}.`);
  if (standard < least || standard > max) {
    return invalidInput('defaultDurationMinutes', `It must be from ${least} to ${max}.`);
  }
  for (const [limit, needed] of [
    ['lateCancelLimit', 'lateCancelMinutes'],
    ['lateCancelLimitPerGroup', 'lateCancelMinutes'],
    ['reReservationLimit', 'reReservationMinutes'],
    ['reReservationLimitPerGroup', 'reReservationMinutes'],
  ] as const) {
    if (policy[limit] !== null && policy[needed] === null)
      return invalidInput(needed, `${limit} counts by it: set it.`);
  }
  return undefined;
}
