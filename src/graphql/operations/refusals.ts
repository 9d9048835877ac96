// The refusals as GraphQL types: one interface, and a type for each kind of fact that a client acts on.
import {
  type ClassType,
  createUnionType,
  Field,
  ID,
  Int,
  InterfaceType,
  ObjectType,
  registerEnumType,
} from 'type-graphql';
import { isRefusal, type RefusalCode, refusals } from '../../model/refusals/refusal.ts';

type Codes = { readonly [Code in keyof typeof refusals]: Code };

/** The codes of the table as a GraphQL enum. */
export const RefusalCodeEnum = Object.fromEntries(Object.keys(refusals).map((code) => [code, code])) as Codes;
registerEnumType(RefusalCodeEnum, {
  name: 'RefusalCode',
  description: 'Why something was refused. More codes may come.',
  valuesConfig: refusals,
});

@InterfaceType({ description: 'Why a request was refused. Nothing was changed unless the type says so.' })
export abstract class Refusal {
  @Field(() => RefusalCodeEnum, { description: 'The reason, for programs.' })
  code!: RefusalCode;

  @Field(() => String, { description: 'For people: what is wrong and what to do, in English.' })
  message!: string;
}

@ObjectType({ implements: Refusal, description: 'A field of the input is wrong.' })
export class InvalidInput extends Refusal {
  @Field(() => String, { description: 'Name of the input field.' })
  field!: string;
}

@ObjectType({ implements: Refusal, description: 'There is no such thing, or it is not yours to see.' })
export class NotFound extends Refusal {}

@ObjectType({ implements: Refusal, description: 'The role of the caller does not allow it.' })
export class NotAllowed extends Refusal {}

@ObjectType({ implements: Refusal, description: 'Something else depends on it.' })
export class InUse extends Refusal {}

@ObjectType({ implements: Refusal, description: 'The idTag may not reserve.' })
export class IdTagRefused extends Refusal {
  @Field(() => String, { nullable: true, description: 'The idTag, or the group, as it was given.' })
  idTag!: string;
}

@ObjectType({ implements: Refusal, description: 'The connector, or every connector of the charger, is held.' })
export class ConnectorTaken extends Refusal {
  @Field(() => ID, { description: 'The charger.' })
  chargerId!: string;

  @Field(() => Int, { description: 'The connector asked for; 0: any of the charger.' })
  connectorId!: number;

  @Field(() => Date, {
    description: 'When the hold or the booking begins; if there are several, that of the first to end.',
  })
  reservedFrom!: Date;

  @Field(() => Date, { description: 'When that hold or booking ends at the latest.' })
  reservedUntil!: Date;

  @Field(() => Boolean, { description: 'Whether the same request with `preempt` would replace that hold or booking.' })
  mayPreempt!: boolean;
}

@ObjectType({ implements: Refusal, description: 'No connector of the site that fits is free for the whole window.' })
export class NoConnectorFree extends Refusal {
  @Field(() => ID, { description: 'The site.' })
  siteId!: string;
}

@ObjectType({ implements: Refusal, description: 'The charger cannot do what was asked.' })
export class ReservationNotSupported extends Refusal {
  @Field(() => ID, { description: 'The charger.' })
  chargerId!: string;
}

@ObjectType({ implements: Refusal, description: 'A live reservation of the charger has the reservationId.' })
export class ReservationIdInUse extends Refusal {
  @Field(() => Int, { description: 'The reservationId as it was given.' })
  reservationId!: number;
}

@ObjectType({ implements: Refusal, description: 'The idempotencyKey belongs to another request of the same caller.' })
export class IdempotencyKeyReused extends Refusal {
  @Field(() => String, { description: 'The key as it was given.' })
  idempotencyKey!: string;
}

/** The result of a mutation or query: what was asked for, or one of the refusals it may be answered with. */
export const resultUnion = <Success extends object>({
  name,
  description,
  success,
  refusals: types,
}: {
  readonly name: string;
  readonly description: string;
  readonly success: ClassType<Success>;
  readonly refusals: readonly ClassType<Refusal>[];
}) =>
  createUnionType({
    name,
    description,
    types: () => [success, ...types] as [ClassType<Success>, ...ClassType<Refusal>[]],
    resolveType: (value) => (isRefusal(value) ? refusals[value.code].type : success),
  });
