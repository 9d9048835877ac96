// The fields of a policy, with their meaning and values: the one table by which input is checked and the API is
// described.
import { isIdentifier } from '../../common/identifier.ts';
import { type InputRefusal, invalidInput } from '../refusals/input.ts';
import { isTimeOfDay, type OpeningHours } from './opening-hours.ts';
import { intruderStatuses, overstayActions, type PolicyFields, type ReservationPolicy } from './policy.ts';

interface Flag {
  readonly kind: 'flag';
}
/** A whole number; the name of the field carries its unit. */
interface Whole {
  readonly kind: 'whole';
  readonly min: number;
  readonly max: number;
  /** Whether null is allowed: no limit, or never. */
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
  kind: 'whole',
  min,
  max,
  isOptional: false,
  description,
});
const optionalMinutes = (description: string, max = YEAR): PolicyField => ({
  kind: 'whole',
  min: 0,
  max,
  isOptional: true,
  description,
});
const optionalCount = (description: string, min = 0): PolicyField => ({
  kind: 'whole',
  min,
  max: 1_000_000,
  isOptional: true,
  description,
});

export const policyFields: { readonly [K in keyof ReservationPolicy]: PolicyField } = {
  enabled: flag('Whether reservations are taken at all.'),
  minDurationMinutes: whole('The shortest reservation, in minutes.'),
  maxDurationMinutes: whole('The longest reservation, in minutes; extensions count.', { min: 1 }),
  defaultDurationMinutes: whole(
    'Duration of a reservation whose request gives neither an end nor a duration, in minutes.',
    { min: 1 },
  ),
  maxLeadTimeMinutes: optionalMinutes(
    'How far ahead a booking may begin, in minutes; 0: not in the future; null: no limit.',
  ),
  maxActivePerIdTag: optionalCount('How many live reservations and bookings one idTag may have here; null: no limit.'),
  maxActivePerGroup: optionalCount('How many live reservations and bookings one group may have here; null: no limit.'),
  maxPerDayPerIdTag: optionalCount(
    'How many reservations of one idTag may begin on one day of the site’s time zone, ended ones included; null: no limit.',
  ),
  cooldownMinutes: whole('The shortest pause between two reservations of one idTag, in minutes.'),
  overlappingAllowed: flag('Whether one idTag may have several reservations at a time here.'),
  minFreeConnectors: whole('How many connectors of the site must stay free for drivers without a reservation.', {
    max: 1_000_000,
  }),
  connectorZeroAllowed: flag(
    'Whether a reservation may leave the choice of the connector to the charger (connectorId 0).',
  ),
  allowedGroups: { kind: 'groups', description: 'The groups (parentIdTag) that may reserve; null: everybody.' },
  openingHours: {
    kind: 'hours',
    description:
      'The hours in which a reservation must lie, in the site’s time zone; null: always; an empty list: never.',
  },
  extensionAllowed: flag('Whether a reservation may be extended.'),
  maxExtensions: optionalCount('How often one reservation may be extended; null: no limit.'),
  changeUntilMinutes: optionalMinutes(
    'A reservation can be extended or moved until this many minutes before it begins, or, once begun, before it ends; null: no limit.',
  ),
  extensionMayReplace: flag(
    'Whether, if a charger refuses an extension, the server cancels the reservation there and reserves the connector again under a new reservationId.',
  ),
  cancelUntilMinutes: optionalMinutes(
    'A driver may cancel a booking until this many minutes before it begins; null: at any time.',
  ),
  noShowTimeoutMinutes: optionalMinutes(
    'A holder who has not come this many minutes after the start (or after the charger accepted the reservation, if later) loses it; null: the reservation lasts until its expiryDate.',
  ),
  endingNoticeMinutes: optionalMinutes(
    'How many minutes before the end of the reservation the holder is notified (event ENDING_SOON); null: no notice.',
  ),
  activationTimeoutMinutes: whole(
    'How long after its start a booking is tried again while its connector is occupied, or its charger is offline or refuses, in minutes.',
  ),
  overstayAction: {
    kind: 'choice',
    of: 'OverstayAction',
    values: overstayActions,
    description: 'What happens to a booking whose connector is still in use by somebody else when the booking begins.',
  },
  intruderStatus: {
    kind: 'choice',
    of: 'IntruderStatus',
    values: intruderStatuses,
    description:
      'The status that a charger receives for an idTag when every connector it could use is held for others.',
  },
  precheckStatus: flag(
    'Whether a reservation for now is refused without asking the charger if the connector is known to be in use or out of order.',
  ),
  serverSideHoldAllowed: flag(
    'Whether this server itself holds the connectors of a charger that does not support reservations, by refusing all other idTags.',
  ),
  priority: whole('Rank of a group, set in the group’s override: a higher rank may pre-empt a lower one.', {
    max: 1000,
  }),
  preemptionAllowed: flag('Whether a reservation of this policy may be pre-empted by a group of higher priority.'),
  noShowLimit: optionalCount('How many no-shows of one idTag within abuseWindowMinutes block it; null: never.', 1),
  noShowLimitPerGroup: optionalCount(
    'How many no-shows of one group within abuseWindowMinutes block it; null: never.',
    1,
  ),
  lateCancelMinutes: optionalMinutes(
    'A driver’s cancel counts as late less than this many minutes before a booking begins, or more than this many minutes after the start of a reservation made for now; null: never.',
  ),
  lateCancelLimit: optionalCount(
    'How many late cancels of one idTag within abuseWindowMinutes block it; null: never.',
    1,
  ),
  lateCancelLimitPerGroup: optionalCount(
    'How many late cancels of one group within abuseWindowMinutes block it; null: never.',
    1,
  ),
  reReservationMinutes: optionalMinutes(
    'A reservation counts as a re-reservation if it is made within this many minutes after an unused one of the same idTag on the same charger ended; null: never.',
  ),
  reReservationLimit: optionalCount(
    'How many re-reservations of one idTag within abuseWindowMinutes block it; null: never.',
    1,
  ),
  reReservationLimitPerGroup: optionalCount(
    'How many re-reservations of one group within abuseWindowMinutes block it; null: never.',
    1,
  ),
  abuseWindowMinutes: whole('The window in which no-shows, late cancels and re-reservations are counted, in minutes.', {
    min: 1,
  }),
  blockMinutes: whole(
    'How long a block lasts, in minutes, from the no-show, late cancel or re-reservation that reached the limit.',
    { min: 1 },
  ),
};

export const policyFieldNames = Object.keys(policyFields) as (keyof ReservationPolicy)[];

const MAX_GROUPS = 1000;
const MAX_HOURS = 100;

/** The first field whose value is invalid by itself. */
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
      return (
        wrong &&
        `"${wrong.opens}" to "${wrong.closes}" is not valid: it must open at 00:00 to 23:59 and close at 00:01 to 24:00.`
      );
    }
    default:
      return field satisfies never;
  }
}

/** Checks fields against each other, in a policy that is resolved from its layers. */
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
      return invalidInput(needed, `It must be set, because ${limit} is set.`);
  }
  return undefined;
}
