// What may be reserved, and when: read beforehand.

import { Arg, Args, ArgsType, Ctx, Field, ID, Int, ObjectType, Query, Resolver } from 'type-graphql';
import { present } from '../../common/present.ts';
import type { RefusalCode } from '../../model/refusals/refusal.ts';
import { isRefusal } from '../../model/refusals/refusal.ts';
import type { ReadAvailability, ReadOptions } from '../../reserving/reservation-options.ts';
import type { ApiContext } from '../operations/context.ts';
import { IdTagRefused, InvalidInput, NotFound, RefusalCodeEnum, resultUnion } from '../operations/refusals.ts';
import { PolicyReasonType, PolicyType } from './policy-type.graphql.ts';

@ObjectType({ description: 'A time.' })
class TimeWindow {
  @Field(() => Date, { description: 'From.' })
  from!: Date;

  @Field(() => Date, { description: 'Until.' })
  until!: Date;
}

@ObjectType({ description: 'A time at which a connector is neither held nor booked, and the site is open.' })
class FreeWindow extends TimeWindow {
  @Field(() => ID, { description: 'The charger.' })
  chargerId!: string;

  @Field(() => Int, { description: 'The connector.' })
  connectorId!: number;
}

@ObjectType({ description: 'What stands in the way besides the policy.' })
class Obstacle {
  @Field(() => RefusalCodeEnum, { description: 'For programs.' })
  code!: RefusalCode;

  @Field(() => String, { description: 'For people, in English.' })
  message!: string;
}

@ObjectType('ReservationOptions', { description: 'What a caller may do at a place now.' })
class ReservationOptionsType {
  @Field(() => Boolean, {
    description: 'Whether a reserveNow for the default duration would be put to the charger now.',
  })
  isAllowed!: boolean;

  @Field(() => [PolicyReasonType], { description: 'Every rule of the policy that forbids it now.' })
  reasons!: PolicyReasonType[];

  @Field(() => Obstacle, { nullable: true, description: 'What else stands in the way first.' })
  refusal?: Obstacle;

  @Field(() => PolicyType, { description: 'The policy that holds for this charger and this group.' })
  policy!: PolicyType;

  @Field(() => Int, { description: 'The version of the site’s policy.' })
  policyVersion!: number;

  @Field(() => Int, { description: 'The shortest reservation, in minutes.' })
  minDurationMinutes!: number;

  @Field(() => Int, {
    nullable: true,
    description:
      'The longest one from now on, in minutes: by the policy, the opening hours and the next booking; null: none.',
  })
  maxDurationMinutes?: number;

  @Field(() => Int, { description: 'How long one lasts that names no end, in minutes.' })
  defaultDurationMinutes!: number;

  @Field(() => Date, { nullable: true, description: 'A booking begins no later; null: no limit.' })
  latestStart?: Date;

  @Field(() => Int, {
    nullable: true,
    description: 'How many more live reservations the idTag, and its group, may have here; null: no limit.',
  })
  remainingActive?: number;

  @Field(() => Int, {
    nullable: true,
    description: 'How many more reservations of the idTag may begin today; null: no limit.',
  })
  remainingToday?: number;

  @Field(() => Date, {
    nullable: true,
    description: 'Until when the idTag, or its group, is blocked; null: it is not.',
  })
  blockedUntil?: Date;

  @Field(() => [FreeWindow], {
    description:
      'Free times of the connectors in question, within a day, or as far as the longest reservation reaches.',
  })
  freeWindows!: FreeWindow[];
}

const ReservationOptionsResult = resultUnion({
  name: 'ReservationOptionsResult',
  description: 'The options, or why there are none to tell.',
  success: ReservationOptionsType,
  refusals: [InvalidInput, NotFound, IdTagRefused],
});

@ArgsType()
class ReservationOptionsArgs {
  @Field(() => ID, { nullable: true, description: 'The charger; or else give `siteId`.' })
  chargerId?: string | null;

  @Field(() => ID, { nullable: true, description: 'Any connector of this site; or else give `chargerId`.' })
  siteId?: string | null;

  @Field(() => Int, { defaultValue: 0, description: 'The connector; 0: any of the charger.' })
  connectorId!: number;

  @Field(() => String, { description: 'Who would reserve; a driver’s own.' })
  idTag!: string;
}

@ObjectType('ConnectorAvailability', { description: 'When a connector is neither held nor booked.' })
class ConnectorAvailabilityType {
  @Field(() => ID, { description: 'The charger.' })
  chargerId!: string;

  @Field(() => Int, { description: 'The connector.' })
  connectorId!: number;

  @Field(() => [String], { description: 'Its plugs.' })
  plugTypes!: string[];

  @Field(() => [TimeWindow], { description: 'Its free times, in order.' })
  windows!: TimeWindow[];
}

@ObjectType('Availability', { description: 'When the connectors of a site are free.' })
class AvailabilityType {
  @Field(() => [ConnectorAvailabilityType], { description: 'Each connector, by charger and number.' })
  connectors!: ConnectorAvailabilityType[];
}

const AvailabilityResult = resultUnion({
  name: 'AvailabilityResult',
  description: 'The free times, or why there are none to tell.',
  success: AvailabilityType,
  refusals: [InvalidInput, NotFound],
});

@Resolver()
export class AvailabilityResolver {
  constructor(
    private readonly readOptions: ReadOptions,
    private readonly readAvailability: ReadAvailability,
  ) {}

  @Query(() => ReservationOptionsResult, {
    description: 'What this caller may reserve here now: durations, quota, free times, and why not.',
  })
  reservationOptions(
    @Args(() => ReservationOptionsArgs) { connectorId, idTag, ...place }: ReservationOptionsArgs,
    @Ctx() { caller }: ApiContext,
  ) {
    return this.readOptions(caller, { connectorId, idTag, ...present(place) });
  }

  @Query(() => AvailabilityResult, {
    description: 'The times at which the connectors of a site are neither held nor booked, within its opening hours.',
  })
  async availability(
    @Arg('siteId', () => ID, { description: 'The site.' }) siteId: string,
    @Arg('from', () => Date, { description: 'From.' }) from: Date,
    @Arg('to', () => Date, { description: 'Until; at most 366 days later.' }) to: Date,
    @Arg('plugType', () => String, { nullable: true, description: 'Only connectors with that plug.' })
    plugType: string | null | undefined,
    @Ctx() { caller }: ApiContext,
  ) {
    const found = await this.readAvailability(caller, { siteId, from, to, ...present({ plugType }) });
    return isRefusal(found) ? found : { connectors: found };
  }
}
