// How a site is used, and who is blocked for abusing it: for those who run it.
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
import type { LiftBlock, ReadBlocks } from '../../administration/blocks.ts';
import { present } from '../../common/present.ts';
import { isRefusal } from '../../model/refusals/refusal.ts';
import type { ReadUsage } from '../../reports/read-usage.ts';
import type { UsageBucket } from '../../storage/reservations/usage.repository.ts';
import type { ApiContext } from '../operations/context.ts';
import { InvalidInput, NotAllowed, NotFound, resultUnion } from '../operations/refusals.ts';
import { PolicyReasonType } from './policy-type.graphql.ts';
import { Removed } from './site.graphql.ts';

const UsageBucketEnum: Record<UsageBucket, UsageBucket> = { HOUR: 'HOUR', DAY: 'DAY', WEEK: 'WEEK', MONTH: 'MONTH' };
registerEnumType(UsageBucketEnum, {
  name: 'UsageBucket',
  description: 'A span of the site’s calendar.',
  valuesConfig: {
    HOUR: { description: 'An hour.' },
    DAY: { description: 'A day.' },
    WEEK: { description: 'A week, from Monday.' },
    MONTH: { description: 'A month.' },
  },
});

@ObjectType({ description: 'How often something was refused for one reason.' })
class RefusedBy {
  @Field(() => String, { description: 'The rule of the policy, the code of the refusal, or the charger’s answer.' })
  reason!: string;

  @Field(() => Int, { description: 'How often.' })
  count!: number;
}

@ObjectType({ description: 'What became of reservations.' })
class UsageCounts {
  @Field(() => Int, { description: 'Reservations and bookings made.' })
  made!: number;

  @Field(() => Int, { description: 'Used by the holder, or its group.' })
  used!: number;

  @Field(() => Int, { description: 'Nobody came.' })
  noShows!: number;

  @Field(() => Int, { description: 'Cancelled by anybody.' })
  cancelled!: number;

  @Field(() => Int, { description: 'Of those, cancelled by the holder so late that it counts.' })
  lateCancels!: number;

  @Field(() => Int, { description: 'Dropped by the charger.' })
  removed!: number;

  @Field(() => Int, { description: 'Never reached the charger, or never settled.' })
  failed!: number;

  @Field(() => Int, { description: 'Requests refused, by the policy, for what is held already, or by the charger.' })
  refused!: number;

  @Field(() => Float, { description: 'Hours for which chargers held reservations that have ended.' })
  reservedHours!: number;

  @Field(() => Float, {
    nullable: true,
    description: 'Minutes from the start of a reservation until its use: the median; null: none was used.',
  })
  medianWaitMinutes?: number;

  @Field(() => [RefusedBy], { description: 'Refusals by reason, the most frequent first.' })
  refusedBy!: RefusedBy[];
}

@ObjectType({ description: 'What became of reservations in one span.' })
class UsageInBucketType extends UsageCounts {
  @Field(() => Date, { description: 'Where the span begins.' })
  from!: Date;
}

@ObjectType({ description: 'Somebody who did not come, cancelled late or was refused.' })
class OffenderType {
  @Field(() => String, { description: 'The idTag, or the group that reserved alone.' })
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

  @Field(() => [OffenderType], { description: 'At most ten: the most no-shows and late cancels first.' })
  topOffenders!: OffenderType[];
}

const ReservationUsageResult = resultUnion({
  name: 'ReservationUsageResult',
  description: 'The usage, or why it is not told.',
  success: ReservationUsageType,
  refusals: [InvalidInput, NotFound, NotAllowed],
});

@ObjectType('ReservationBlock', { description: 'An idTag, or a group, that may not reserve for a time.' })
class ReservationBlockType {
  @Field(() => String, { nullable: true, description: 'The idTag; null: it is a group.' })
  idTag?: string;

  @Field(() => String, { nullable: true, description: 'The group; null: it is an idTag.' })
  parentIdTag?: string;

  @Field(() => [PolicyReasonType], { description: 'For what.' })
  reasons!: PolicyReasonType[];

  @Field(() => Date, { description: 'Until when.' })
  blockedUntil!: Date;
}

@ObjectType('ReservationBlocks', { description: 'Who may not reserve at a site for a time.' })
class ReservationBlocksType {
  @Field(() => [ReservationBlockType], { description: 'idTags and groups.' })
  blocks!: ReservationBlockType[];
}

const ReservationBlocksResult = resultUnion({
  name: 'ReservationBlocksResult',
  description: 'The blocks, or why they are not told.',
  success: ReservationBlocksType,
  refusals: [NotFound, NotAllowed],
});

@InputType({ description: 'Whose block is lifted: an idTag’s, or a group’s.' })
class LiftReservationBlockInput {
  @Field(() => ID, { description: 'The site.' })
  siteId!: string;

  @Field(() => String, { nullable: true, description: 'The idTag; or else give `parentIdTag`.' })
  idTag?: string | null;

  @Field(() => String, { nullable: true, description: 'The group; or else give `idTag`.' })
  parentIdTag?: string | null;
}

const LiftReservationBlockResult = resultUnion({
  name: 'LiftReservationBlockResult',
  description: 'That it was lifted, or why not.',
  success: Removed,
  refusals: [InvalidInput, NotFound, NotAllowed],
});

@Resolver()
export class UsageResolver {
  constructor(
    private readonly readUsage: ReadUsage,
    private readonly readBlocks: ReadBlocks,
    private readonly liftBlock: LiftBlock,
  ) {}

  @Query(() => ReservationUsageResult, {
    description: 'How the reservations of a site were used, by what ended in that time. Admins, and its operators.',
  })
  reservationUsage(
    @Arg('siteId', () => ID, { description: 'The site.' }) siteId: string,
    @Arg('from', () => Date, { description: 'From.' }) from: Date,
    @Arg('to', () => Date, { description: 'Until.' }) to: Date,
    @Arg('bucket', () => UsageBucketEnum, { defaultValue: 'DAY', description: 'The span of each row.' })
    bucket: UsageBucket,
    @Ctx() { caller }: ApiContext,
  ) {
    return this.readUsage(caller, { siteId, from, to, bucket });
  }

  @Query(() => ReservationBlocksResult, {
    description:
      'The idTags and groups that may not reserve at a site for a time: for no-shows, late cancels or serial re-reservations. Admins, and its operators.',
  })
  async reservationBlocks(
    @Arg('siteId', () => ID, { description: 'The site.' }) siteId: string,
    @Ctx() { caller }: ApiContext,
  ) {
    const blocks = await this.readBlocks(caller, siteId);
    return isRefusal(blocks) ? blocks : { blocks };
  }

  @Mutation(() => LiftReservationBlockResult, {
    description: 'Lifts a block: what was before it counts no more. Admins, and operators of the site.',
  })
  liftReservationBlock(
    @Arg('input', () => LiftReservationBlockInput, { description: 'Whose block.' }) input: LiftReservationBlockInput,
    @Ctx() { caller }: ApiContext,
  ) {
    const { siteId, ...who } = input;
    return this.liftBlock(caller, { siteId, ...present(who) });
  }
}
