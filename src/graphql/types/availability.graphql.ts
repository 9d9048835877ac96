// Queries for the connectors and times that can be reserved: reservationOptions and availability.
import { Arg, Args, ArgsType, Ctx, Field, ID, Int, ObjectType, Query, Resolver } from 'type-graphql';
import { present } from '../../common/present.ts';
import type { RefusalCode } from '../../model/refusals/refusal.ts';
import { isRefusal } from '../../model/refusals/refusal.ts';
import { type ReservingPorts } from '../../reserving/ports.ts';
import { readAvailability, reservationOptions } from '../../reserving/reservation-options.ts';
import type { ApiContext } from '../operations/context.ts';
import { IdTagRefused, InvalidInput, NotFound, RefusalCodeEnum, resultUnion } from '../operations/refusals.ts';
import { PolicyReasonType, PolicyType } from './policy-type.graphql.ts';

@ObjectType({ description: 'A time.' })
class TimeWindow {
  @Field(() => Date, { description: 'Its start.' })
  from!: Date;

  @Field(() => Date, { description: 'Its end.' })
  until!: Date;
}

@ObjectType({ description: 'A time in which a connector is neither held nor booked, and the site is open.' })
class FreeWindow extends TimeWindow {
  @Field(() => ID, { description: 'The charger.' })
  chargerId!: string;

  @Field(() => Int, { description: 'The connector.' })
  connectorId!: number;
}

@ObjectType({ description: 'An obstacle other than the policy.' })
class Obstacle {
  @Field(() => RefusalCodeEnum, { description: 'The reason, for programs.' })
  code!: RefusalCode;

  @Field(() => String, { description: 'For people, in English.' })
  message!: string;
}

@ObjectType('ReservationOptions', { description: 'What the caller may reserve at a charger or a site now.' })
class ReservationOptionsType {
  @Field(() => Boolean, {
    description: 'Whether a reserveNow for the default duration would be sent to the charger now.',
  })
  isAllowed!: boolean;

  @Field(() => [PolicyReasonType], { description: 'Every rule of the policy that forbids a reservation now.' })
  reasons!: PolicyReasonType[];

  @Field(() => Obstacle, { nullable: true, description: 'The first obstacle, if it is not the policy.' })
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
      'The longest reservation from now on, in minutes, by the policy, the opening hours and the next booking; null: none is possible.',
  })
  maxDurationMinutes?: number;

  @Field(() => Int, {
    description: 'Duration of a reservation whose request gives neither an end nor a duration, in minutes.',
  })
  defaultDurationMinutes!: number;

  @Field(() => Date, { nullable: true, description: 'The latest start of a booking; null: no limit.' })
  latestStart?: Date;

  @Field(() => Int, {
    nullable: true,
    description:
      'How many more live reservations the idTag may have here, by its own limit and its group’s; null: no limit.',
  })
  remainingActive?: number;

  @Field(() => Int, {
    nullable: true,
    description: 'How many more reservations of the idTag may begin today; null: no limit.',
  })
  remainingToday?: number;

  @Field(() => Date, {
    nullable: true,
    description: 'When the block of the idTag, or of its group, ends; null: it is not blocked.',
  })
  blockedUntil?: Date;

  @Field(() => [FreeWindow], {
    description:
      'Free times of the connectors asked for, in the next 24 hours, or as far as the longest reservation of the site may reach.',
  })
  freeWindows!: FreeWindow[];
}

const ReservationOptionsResult = resultUnion({
  name: 'ReservationOptionsResult',
  description: 'The options, or why the request was refused.',
  success: ReservationOptionsType,
  refusals: [InvalidInput, NotFound, IdTagRefused],
});

@ArgsType()
class ReservationOptionsArgs {
  @Field(() => ID, { nullable: true, description: 'The charger. Give either this or `siteId`.' })
  chargerId?: string | null;

  @Field(() => ID, {
    nullable: true,
    description: 'The site, any connector of which will do. Give either this or `chargerId`.',
  })
  siteId?: string | null;

  @Field(() => Int, { defaultValue: 0, description: 'The connector; 0: any connector of the charger.' })
  connectorId!: number;

  @Field(() => String, { description: 'The idTag that would reserve; a driver may give only its own.' })
  idTag!: string;
}

@ObjectType('ConnectorAvailability', {
  description: 'The times in which a connector is neither held nor booked, and the site is open.',
})
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
  @Field(() => [ConnectorAvailabilityType], { description: 'Each connector, ordered by charger and connectorId.' })
  connectors!: ConnectorAvailabilityType[];
}

const AvailabilityResult = resultUnion({
  name: 'AvailabilityResult',
  description: 'The free times, or why the request was refused.',
  success: AvailabilityType,
  refusals: [InvalidInput, NotFound],
});

@Resolver()
export class AvailabilityResolver {
  constructor(private readonly ports: ReservingPorts) {}

  @Query(() => ReservationOptionsResult, {
    description: 'What the caller may reserve here now: durations, quotas and free times, and the reasons against.',
  })
  reservationOptions(
    @Args(() => ReservationOptionsArgs) { connectorId, idTag, ...place }: ReservationOptionsArgs,
    @Ctx() { caller }: ApiContext,
  ) {
    return reservationOptions(this.ports, caller, { connectorId, idTag, ...present(place) });
  }

  @Query(() => AvailabilityResult, {
    description: 'The times at which the connectors of a site are neither held nor booked, within its opening hours.',
  })
  async availability(
    @Arg('siteId', () => ID, { description: 'The site.' }) siteId: string,
    @Arg('from', () => Date, { description: 'The start of the range.' }) from: Date,
    @Arg('to', () => Date, { description: 'The end of the range, at most 366 days after its start.' }) to: Date,
    @Arg('plugType', () => String, { nullable: true, description: 'Only connectors with this plug.' })
    plugType: string | null | undefined,
    @Ctx() { caller }: ApiContext,
  ) {
    const found = await readAvailability(this.ports, caller, { siteId, from, to, ...present({ plugType }) });
    return isRefusal(found) ? found : { connectors: found };
  }
}
