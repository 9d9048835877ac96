// GraphQL API of a site's usage and of its blocks for abuse, for admins and operators of the site.
import {
  Arg,
  Ctx,
  Field,
  Float,
  ID,
  InputType,
  Int,
  Mutation,
  ObjectType,
  Query,
  Resolver,
  registerEnumType,
} from 'type-graphql';
import { liftBlock, readBlocks } from '../../administration/blocks.ts';
import { type AdministrationPorts } from '../../administration/ports.ts';
import { present } from '../../common/present.ts';
import { isRefusal } from '../../model/refusals/refusal.ts';
import { type ReportPorts, readUsage } from '../../reports/read-usage.ts';
import type { UsageBucket } from '../../storage/reservations/usage.repository.ts';
import type { ApiContext } from '../operations/context.ts';
import { InvalidInput, NotAllowed, NotFound, resultUnion } from '../operations/refusals.ts';
import { PolicyReasonType } from './policy-type.graphql.ts';
import { Removed } from './site.graphql.ts';

const UsageBucketEnum: Record<UsageBucket, UsageBucket> = { HOUR: 'HOUR', DAY: 'DAY', WEEK: 'WEEK', MONTH: 'MONTH' };
registerEnumType(UsageBucketEnum, {
  name: 'UsageBucket',
  description: 'A unit of the site’s calendar by which usage is counted.',
  valuesConfig: {
    HOUR: { description: 'An hour.' },
    DAY: { description: 'A day.' },
    WEEK: { description: 'A week, from Monday.' },
    MONTH: { description: 'A month.' },
  },
});

@ObjectType({ description: 'How often requests were refused for one reason.' })
class RefusedBy {
  @Field(() => String, { description: 'The rule of the policy, the code of the refusal, or the charger’s answer.' })
  reason!: string;

  @Field(() => Int, { description: 'How often.' })
  count!: number;
}

@ObjectType({ description: 'Counts of what happened to reservations.' })
class UsageCounts {
  @Field(() => Int, { description: 'Reservations and bookings made.' })
  made!: number;

  @Field(() => Int, { description: 'Reservations used by the holder or its group.' })
  used!: number;

  @Field(() => Int, { description: 'Reservations that expired unused.' })
  noShows!: number;

  @Field(() => Int, { description: 'Reservations cancelled, by anybody.' })
  cancelled!: number;

  @Field(() => Int, { description: 'Cancelled reservations whose holder cancelled late by the policy.' })
  lateCancels!: number;

  @Field(() => Int, { description: 'Reservations dropped by the charger.' })
  removed!: number;

  @Field(() => Int, { description: 'Reservations that never reached the charger, or whose outcome was never settled.' })
  failed!: number;

  @Field(() => Int, {
    description: 'Requests refused, by this server (policy, existing holds or other reasons) or by the charger.',
  })
  refused!: number;

  @Field(() => Float, { description: 'Hours for which chargers held the reservations that ended.' })
  reservedHours!: number;

  @Field(() => Float, {
    nullable: true,
    description: 'Median time from the start of a reservation until its use, in minutes; null: none was used.',
  })
  medianWaitMinutes?: number;

  @Field(() => [RefusedBy], { description: 'Refusals by reason, the most frequent first.' })
  refusedBy!: RefusedBy[];
}

@ObjectType({ description: 'Counts of what happened to reservations in one span.' })
class UsageInBucketType extends UsageCounts {
  @Field(() => Date, { description: 'When the span begins.' })
  from!: Date;
}

@ObjectType({ description: 'An idTag or a group with no-shows, late cancels or refused requests.' })
class OffenderType {
  @Field(() => String, { description: 'The idTag, or the parentIdTag of reservations made for a group alone.' })
  idTag!: string;

  @Field(() => Int, { description: 'No-shows.' })
  noShows!: number;

  @Field(() => Int, { description: 'Late cancels.' })
  lateCancels!: number;

  @Field(() => Int, { description: 'Refused requests.' })
  refused!: number;
}

@ObjectType('ReservationUsage', { description: 'How the reservations of a site were used, counted by their events.' })
class ReservationUsageType extends UsageCounts {
  @Field(() => [UsageInBucketType], { description: 'The spans in which something happened, in order.' })
  buckets!: UsageInBucketType[];

  @Field(() => [OffenderType], { description: 'At most ten: those with the most no-shows and late cancels first.' })
  topOffenders!: OffenderType[];
}

const ReservationUsageResult = resultUnion({
  name: 'ReservationUsageResult',
  description: 'The usage, or why the request was refused.',
  success: ReservationUsageType,
  refusals: [InvalidInput, NotFound, NotAllowed],
});

@ObjectType('ReservationBlock', { description: 'An idTag or a group that may not reserve for a time.' })
class ReservationBlockType {
  @Field(() => String, { nullable: true, description: 'The blocked idTag; null if a group is blocked.' })
  idTag?: string;

  @Field(() => String, { nullable: true, description: 'The blocked group; null if an idTag is blocked.' })
  parentIdTag?: string;

  @Field(() => [PolicyReasonType], { description: 'For what.' })
  reasons!: PolicyReasonType[];

  @Field(() => Date, { description: 'Until when.' })
  blockedUntil!: Date;
}

@ObjectType('ReservationBlocks', { description: 'The idTags and groups that may not reserve at a site for a time.' })
class ReservationBlocksType {
  @Field(() => [ReservationBlockType], { description: 'The block of each idTag and group.' })
  blocks!: ReservationBlockType[];
}

const ReservationBlocksResult = resultUnion({
  name: 'ReservationBlocksResult',
  description: 'The blocks, or why the request was refused.',
  success: ReservationBlocksType,
  refusals: [NotFound, NotAllowed],
});

@InputType({ description: 'Names the idTag or the group whose block is lifted.' })
class LiftReservationBlockInput {
  @Field(() => ID, { description: 'The site.' })
  siteId!: string;

  @Field(() => String, { nullable: true, description: 'The idTag. Give either this or `parentIdTag`.' })
  idTag?: string | null;

  @Field(() => String, { nullable: true, description: 'The group. Give either this or `idTag`.' })
  parentIdTag?: string | null;
}

const LiftReservationBlockResult = resultUnion({
  name: 'LiftReservationBlockResult',
  description: 'The idTag or the group, or why its block was not lifted.',
  success: Removed,
  refusals: [InvalidInput, NotFound, NotAllowed],
});

@Resolver()
export class UsageResolver {
  constructor(
    private readonly administration: AdministrationPorts,
    private readonly reports: ReportPorts,
  ) {}

  @Query(() => ReservationUsageResult, {
    description:
      'How the reservations of a site were used, counted from the events of that time. For admins and operators of the site.',
  })
  reservationUsage(
    @Arg('siteId', () => ID, { description: 'The site.' }) siteId: string,
    @Arg('from', () => Date, { description: 'The start of the range.' }) from: Date,
    @Arg('to', () => Date, { description: 'The end of the range.' }) to: Date,
    @Arg('bucket', () => UsageBucketEnum, { defaultValue: 'DAY', description: 'The span of each bucket.' })
    bucket: UsageBucket,
    @Ctx() { caller }: ApiContext,
  ) {
    return readUsage(this.reports, caller, { siteId, from, to, bucket });
  }

  @Query(() => ReservationBlocksResult, {
    description:
      'The idTags and groups that may not reserve at a site for a time, because of no-shows, late cancels or re-reservations. For admins and operators of the site.',
  })
  async reservationBlocks(
    @Arg('siteId', () => ID, { description: 'The site.' }) siteId: string,
    @Ctx() { caller }: ApiContext,
  ) {
    const blocks = await readBlocks(this.administration, caller, siteId);
    return isRefusal(blocks) ? blocks : { blocks };
  }

  @Mutation(() => LiftReservationBlockResult, {
    description:
      'Lifts a block: earlier no-shows, late cancels and re-reservations no longer count. For admins and operators of the site.',
  })
  liftReservationBlock(
    @Arg('input', () => LiftReservationBlockInput, { description: 'The site and the holder whose block is lifted.' })
    input: LiftReservationBlockInput,
    @Ctx() { caller }: ApiContext,
  ) {
    const { siteId, ...who } = input;
    return liftBlock(this.administration, caller, { siteId, ...present(who) });
  }
}
