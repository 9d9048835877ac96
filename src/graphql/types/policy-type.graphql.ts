// GraphQL types of a reservation policy, whose fields come from the table in policy-fields.ts, and of the refusals by a
// policy.
import { Field, ID, InputType, Int, ObjectType, registerEnumType } from 'type-graphql';
import type { PolicyRule } from '../../model/site/decide.ts';
import { weekdays } from '../../model/site/opening-hours.ts';
import type { IntruderStatus, OverstayAction, PolicyFields, ReservationPolicy } from '../../model/site/policy.ts';
import { type PolicyField, policyFieldNames, policyFields } from '../../model/site/policy-fields.ts';
import { Refusal } from '../operations/refusals.ts';

const WeekdayEnum = Object.fromEntries(weekdays.map((day) => [day, day]));
registerEnumType(WeekdayEnum, {
  name: 'Weekday',
  description: 'A day of the week, in the site’s time zone.',
  valuesConfig: Object.fromEntries(
    weekdays.map((day) => [day, { description: `${day[0]}${day.slice(1).toLowerCase()}.` }]),
  ),
});

const OverstayActionEnum: Record<OverstayAction, OverstayAction> = { WAIT: 'WAIT', MOVE: 'MOVE' };
registerEnumType(OverstayActionEnum, {
  name: 'OverstayAction',
  description: 'What happens to a booking whose connector is still in use by somebody else when the booking begins.',
  valuesConfig: {
    WAIT: { description: 'The booking waits, for at most activationTimeoutMinutes.' },
    MOVE: {
      description: 'The booking moves to another free connector of the site that fits; while there is none, it waits.',
    },
  },
});

const IntruderStatusEnum: Record<IntruderStatus, IntruderStatus> = {
  NOT_AT_THIS_TIME: 'NOT_AT_THIS_TIME',
  BLOCKED: 'BLOCKED',
  INVALID: 'INVALID',
};
registerEnumType(IntruderStatusEnum, {
  name: 'IntruderStatus',
  description:
    'The status that a charger receives for an idTag when everything it could use is held for others: OCPP has no status that says so.',
  valuesConfig: {
    NOT_AT_THIS_TIME: { description: 'NotAtThisTime in OCPP 2.x, Blocked in 1.6.' },
    BLOCKED: { description: 'Blocked.' },
    INVALID: { description: 'Invalid.' },
  },
});

const choices = { OverstayAction: OverstayActionEnum, IntruderStatus: IntruderStatusEnum };

@ObjectType({ description: 'Open times of one weekday.' })
@InputType('OpeningHoursInput', { description: 'Open times of one weekday.' })
class OpeningHours {
  @Field(() => WeekdayEnum, { description: 'The day on which the open time begins.' })
  weekday!: string;

  @Field(() => String, { description: 'From, HH:MM.' })
  opens!: string;

  @Field(() => String, {
    description:
      'Until, HH:MM; 24:00 is midnight at the end of the day; a time at or before `opens` is on the next day.',
  })
  closes!: string;
}

@ObjectType('ReservationPolicy', { description: 'The rules for reservations.' })
export class PolicyType {}

@ObjectType({
  description:
    'The policy fields of an override; null: not overridden, or, in a field that may be null, overridden with null.',
})
class PolicyOverrideFields {}

@InputType({
  description:
    'Policy fields. In a site, a field left out keeps its value, or takes its default in a new site; in an override, a field left out is not overridden.',
})
export class ReservationPolicyInput {}

const isNullable = (field: PolicyField): boolean =>
  field.kind === 'groups' || field.kind === 'hours' || (field.kind === 'whole' && field.isOptional);

function typeOf(field: PolicyField) {
  switch (field.kind) {
    case 'flag':
      return () => Boolean;
    case 'whole':
      return () => Int;
    case 'choice':
      return () => choices[field.of];
    case 'groups':
      return () => [String];
    case 'hours':
      return () => [OpeningHours];
  }
}

for (const name of policyFieldNames) {
  const field = policyFields[name];
  const { description } = field;
  Field(typeOf(field), { nullable: isNullable(field), description })(PolicyType.prototype, name);
  for (const partial of [PolicyOverrideFields, ReservationPolicyInput])
    Field(typeOf(field), { nullable: true, description })(partial.prototype, name);
}

/**
 * The fields that the client gave. A null is kept where the field allows it (no limit, or never), and dropped
 * elsewhere.
 */
export function toFields(input: ReservationPolicyInput | null | undefined): PolicyFields {
  const said = (input ?? {}) as Partial<Record<keyof ReservationPolicy, unknown>>;
  const entries = policyFieldNames.flatMap((name) => {
    const value = said[name];
    if (value === undefined || (value === null && !isNullable(policyFields[name]))) return [];
    return [[name, name === 'openingHours' && value ? (value as object[]).map((one) => ({ ...one })) : value] as const];
  });
  return Object.fromEntries(entries);
}

const PolicyScopeEnum = { SITE: 'SITE', CHARGER: 'CHARGER', GROUP: 'GROUP' } as const;
registerEnumType(PolicyScopeEnum, {
  name: 'PolicyScope',
  description:
    'Whom a layer of a policy applies to. A group’s layer overrides a charger’s, and a charger’s overrides the site’s.',
  valuesConfig: {
    SITE: { description: 'The whole site.' },
    CHARGER: { description: 'One charger.' },
    GROUP: { description: 'One group: the holders of a parentIdTag.' },
  },
});

@ObjectType({ description: 'An override: the policy fields in which one charger or one group differs from its site.' })
export class PolicyOverrideType {
  @Field(() => PolicyScopeEnum, { description: 'CHARGER or GROUP.' })
  scope!: string;

  @Field(() => ID, { description: 'The charger’s id, or the parentIdTag.' })
  key!: string;

  @Field(() => PolicyOverrideFields, { description: 'The fields that are overridden.' })
  fields!: PolicyOverrideFields;
}

@ObjectType('PolicyChange', { description: 'A version of a site’s policy: who changed what, and when.' })
export class PolicyChangeType {
  @Field(() => Int, { description: 'Number of the version: grows by one with each change at the site.' })
  version!: number;

  @Field(() => PolicyScopeEnum, { description: 'Which layer was changed.' })
  scope!: string;

  @Field(() => ID, { description: 'The charger’s id, or the parentIdTag; empty for the site.' })
  key!: string;

  @Field(() => PolicyOverrideFields, {
    nullable: true,
    description: 'All fields of the layer after the change; null: the override was removed.',
  })
  fields?: PolicyOverrideFields;

  @Field(() => String, { description: 'The site’s time zone after the change.' })
  timeZone!: string;

  @Field(() => String, { description: 'Subject of the token of the caller who made the change.' })
  changedBy!: string;

  @Field(() => Date, { description: 'When.' })
  changedAt!: Date;
}

/** The type makes the compiler require every rule of the model. */
export const PolicyRuleEnum: { readonly [Rule in PolicyRule]: Rule } = {
  ENABLED: 'ENABLED',
  ALLOWED_GROUPS: 'ALLOWED_GROUPS',
  MIN_DURATION: 'MIN_DURATION',
  MAX_DURATION: 'MAX_DURATION',
  MAX_LEAD_TIME: 'MAX_LEAD_TIME',
  OPENING_HOURS: 'OPENING_HOURS',
  CONNECTOR_ZERO_ALLOWED: 'CONNECTOR_ZERO_ALLOWED',
  MAX_ACTIVE_PER_ID_TAG: 'MAX_ACTIVE_PER_ID_TAG',
  MAX_ACTIVE_PER_GROUP: 'MAX_ACTIVE_PER_GROUP',
  MAX_PER_DAY_PER_ID_TAG: 'MAX_PER_DAY_PER_ID_TAG',
  COOLDOWN: 'COOLDOWN',
  OVERLAPPING_ALLOWED: 'OVERLAPPING_ALLOWED',
  MIN_FREE_CONNECTORS: 'MIN_FREE_CONNECTORS',
  NO_SHOW_LIMIT: 'NO_SHOW_LIMIT',
  NO_SHOW_LIMIT_PER_GROUP: 'NO_SHOW_LIMIT_PER_GROUP',
  LATE_CANCEL_LIMIT: 'LATE_CANCEL_LIMIT',
  LATE_CANCEL_LIMIT_PER_GROUP: 'LATE_CANCEL_LIMIT_PER_GROUP',
  RE_RESERVATION_LIMIT: 'RE_RESERVATION_LIMIT',
  RE_RESERVATION_LIMIT_PER_GROUP: 'RE_RESERVATION_LIMIT_PER_GROUP',
  EXTENSION_ALLOWED: 'EXTENSION_ALLOWED',
  MAX_EXTENSIONS: 'MAX_EXTENSIONS',
  CHANGE_UNTIL: 'CHANGE_UNTIL',
  CANCEL_UNTIL: 'CANCEL_UNTIL',
};
registerEnumType(PolicyRuleEnum, {
  name: 'PolicyRule',
  description: 'A rule of a reservation policy, named after the policy field that sets it. More rules may be added.',
  valuesConfig: {
    ENABLED: { description: 'Whether reservations are taken at all.' },
    ALLOWED_GROUPS: { description: 'Which groups may reserve.' },
    MIN_DURATION: { description: 'The shortest reservation.' },
    MAX_DURATION: { description: 'The longest reservation.' },
    MAX_LEAD_TIME: { description: 'How far ahead a booking may begin.' },
    OPENING_HOURS: { description: 'The hours in which a reservation must lie.' },
    CONNECTOR_ZERO_ALLOWED: { description: 'Whether the charger may choose the connector.' },
    MAX_ACTIVE_PER_ID_TAG: { description: 'How many live reservations one idTag may have.' },
    MAX_ACTIVE_PER_GROUP: { description: 'How many live reservations one group may have.' },
    MAX_PER_DAY_PER_ID_TAG: { description: 'How many reservations of one idTag may begin on one day.' },
    COOLDOWN: { description: 'The pause between two reservations of one idTag.' },
    OVERLAPPING_ALLOWED: { description: 'Whether one idTag may have several reservations at a time.' },
    MIN_FREE_CONNECTORS: { description: 'How many connectors of the site must stay free.' },
    NO_SHOW_LIMIT: { description: 'The idTag is blocked for no-shows.' },
    NO_SHOW_LIMIT_PER_GROUP: { description: 'The group is blocked for no-shows.' },
    LATE_CANCEL_LIMIT: { description: 'The idTag is blocked for late cancels.' },
    LATE_CANCEL_LIMIT_PER_GROUP: { description: 'The group is blocked for late cancels.' },
    RE_RESERVATION_LIMIT: {
      description: 'The idTag is blocked for reserving again soon after leaving reservations unused.',
    },
    RE_RESERVATION_LIMIT_PER_GROUP: {
      description: 'The group is blocked for reserving again soon after leaving reservations unused.',
    },
    EXTENSION_ALLOWED: { description: 'Whether a reservation may be extended.' },
    MAX_EXTENSIONS: { description: 'How often a reservation may be extended.' },
    CHANGE_UNTIL: { description: 'Until when a reservation may be extended or moved.' },
    CANCEL_UNTIL: { description: 'Until when a driver may cancel a booking.' },
  },
});

@ObjectType({ description: 'A policy rule that forbids the request.' })
export class PolicyReasonType {
  @Field(() => PolicyRuleEnum, { description: 'The rule.' })
  rule!: PolicyRule;

  @Field(() => String, { description: 'For people, in English.' })
  message!: string;

  @Field(() => Int, { nullable: true, description: 'The limit in minutes, if the rule has one.' })
  limitMinutes?: number;

  @Field(() => Int, { nullable: true, description: 'The limit as a count, if the rule has one.' })
  limitCount?: number;

  @Field(() => Date, {
    nullable: true,
    description: 'When the rule would allow the request, as far as is known now; null: no such time is known.',
  })
  allowedFrom?: Date;
}

@ObjectType({ implements: Refusal, description: 'The policy of the site forbids the request.' })
export class PolicyRefused extends Refusal {
  @Field(() => [PolicyReasonType], { description: 'Every rule that forbids the request.' })
  reasons!: PolicyReasonType[];
}
