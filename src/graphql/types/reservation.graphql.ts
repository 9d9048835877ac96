// Reservations in the API: the mutations that make, move, extend and end them, and the queries.
import {
  Arg,
  Args,
  ArgsType,
  Ctx,
  Field,
  FieldResolver,
  ID,
  InputType,
  Int,
  Mutation,
  Query,
  Resolver,
  Root,
  registerEnumType,
} from 'type-graphql';
import { isUuid } from '../../common/identifier.ts';
import { fromNewestKey, newestKey } from '../../common/page.ts';
import { present } from '../../common/present.ts';
import { may, maySeeReservation, maySeeSite, reservationShare } from '../../model/access/rights.ts';
import type { CancelReason, Reservation } from '../../model/reservation/reservation.ts';
import { cancelReservation } from '../../reserving/cancel-reservation.ts';
import { extendReservation } from '../../reserving/extend-reservation.ts';
import { moveReservation } from '../../reserving/move-reservation.ts';
import { type ReservingPorts } from '../../reserving/ports.ts';
import { reserveNow } from '../../reserving/reserve-now.ts';
import { scheduleReservation } from '../../reserving/schedule-reservation.ts';
import type { ReservationFilter } from '../../storage/reservations/reservation.repository.ts';
import type { ApiContext } from '../operations/context.ts';
import { type Page, PageArgs, pageTypes, readPage } from '../operations/page.ts';
import {
  ConnectorTaken,
  IdempotencyKeyReused,
  IdTagRefused,
  InvalidInput,
  NoConnectorFree,
  NotAllowed,
  NotFound,
  ReservationIdInUse,
  ReservationNotSupported,
  resultUnion,
} from '../operations/refusals.ts';
import { ChargerType } from './charger.graphql.ts';
import { PolicyRefused } from './policy-type.graphql.ts';
import {
  ChargerOffline,
  ChargerRefused,
  ConnectorNotFree,
  ReservationEnded,
  ReservationNotSettled,
} from './reservation-refusals.graphql.ts';
import { ReservationStatusEnum, ReservationType } from './reservation-type.graphql.ts';
import { SiteType, siteOf } from './site.graphql.ts';

@InputType({ description: 'A connector to hold, or a choice of connectors, and for whom.' })
class HoldInput {
  @Field(() => ID, { nullable: true, description: 'The charger. Give either this or `siteId`.' })
  chargerId?: string | null;

  @Field(() => ID, { nullable: true, description: 'Any free connector of this site; or else give `chargerId`.' })
  siteId?: string | null;

  @Field(() => Int, { defaultValue: 0, description: 'The connector; 0: the charger chooses.' })
  connectorId!: number;

  @Field(() => String, {
    nullable: true,
    description: 'Any connector with that plug, for example CCS2: of the charger, or of the site.',
  })
  plugType?: string | null;

  @Field(() => String, {
    nullable: true,
    description: 'The idTag to hold it for; a driver may give only its own. Null: for the group alone.',
  })
  idTag?: string | null;

  @Field(() => String, { nullable: true, description: 'The group whose members may also use the reservation.' })
  parentIdTag?: string | null;

  @Field(() => Date, { nullable: true, description: 'When the hold ends; give either this or `durationMinutes`.' })
  expiryDate?: Date | null;

  @Field(() => Int, { nullable: true, description: 'How long to hold it. Default: set by the policy.' })
  durationMinutes?: number | null;

  @Field(() => Int, {
    nullable: true,
    description: 'The id on the charger, 1 to 2147483647. Default: the server assigns one.',
  })
  reservationId?: number | null;

  @Field(() => String, {
    nullable: true,
    description:
      'A retry with the same key and the same input, for example after a lost answer, returns the same reservation.',
  })
  idempotencyKey?: string | null;

  @Field(() => Boolean, {
    nullable: true,
    description:
      'Replaces reservations of lower priority, where the policy allows it (see `mayPreempt`), once their chargers have released them.',
  })
  preempt?: boolean | null;
}

@InputType({ description: 'A connector to hold now.' })
class ReserveNowInput extends HoldInput {
  @Field(() => Int, {
    nullable: true,
    description:
      'How long to wait for the charger, in milliseconds, before the reservation is returned as it stands. Default: until the charger answers or times out.',
  })
  waitMs?: number | null;
}

@InputType({ description: 'A connector to book for later.' })
class ScheduleReservationInput extends HoldInput {
  @Field(() => Date, { description: 'When the reservation begins.' })
  startsAt!: Date;
}

@InputType({ description: 'A reservation to move to another connector of its site.' })
class MoveReservationInput {
  @Field(() => ID, { description: 'Key of the reservation in this API.' })
  id!: string;

  @Field(() => ID, { nullable: true, description: 'The charger. Default: the same.' })
  chargerId?: string | null;

  @Field(() => Int, { description: 'The connector; 0: the charger chooses.' })
  connectorId!: number;
}

export enum CancelReasonEnum {
  DRIVER_REQUEST = 'DRIVER_REQUEST',
  OPERATOR_REQUEST = 'OPERATOR_REQUEST',
  POLICY = 'POLICY',
}
registerEnumType(CancelReasonEnum, {
  name: 'CancelReason',
  description: 'Why a reservation is cancelled.',
  valuesConfig: {
    DRIVER_REQUEST: { description: 'The driver asks for it: the only reason that a driver may give.' },
    OPERATOR_REQUEST: { description: 'An operator asks for it.' },
    POLICY: { description: 'The policy of the site asks for it.' },
  },
});

@InputType({ description: 'A reservation to cancel: by `id`, or by `chargerId` and `reservationId`.' })
class CancelReservationInput {
  @Field(() => ID, { nullable: true, description: 'Key of the reservation in this API.' })
  id?: string | null;

  @Field(() => ID, { nullable: true, description: 'The charger, together with `reservationId`.' })
  chargerId?: string | null;

  @Field(() => Int, { nullable: true, description: 'Its id on that charger.' })
  reservationId?: number | null;

  @Field(() => CancelReasonEnum, {
    nullable: true,
    description: 'Default: DRIVER_REQUEST for a driver, OPERATOR_REQUEST for everybody else.',
  })
  reason?: CancelReason | null;

  @Field(() => Boolean, {
    defaultValue: false,
    description:
      'Not for drivers: ends it at once, without waiting for the charger, which is sent the cancellation as soon as possible.',
  })
  force!: boolean;
}

@InputType({ description: 'A reservation to extend.' })
class ExtendReservationInput {
  @Field(() => ID, { description: 'Key of the reservation in this API.' })
  id!: string;

  @Field(() => Date, {
    description:
      'When the hold is to end; not before its present expiry date. It is safe to send the same request again.',
  })
  expiryDate!: Date;
}

const ReserveNowResult = resultUnion({
  name: 'ReserveNowResult',
  description:
    'The reservation: ACCEPTED, or as it stands when the charger has not answered (PENDING, UNKNOWN). Or why nothing is held.',
  success: ReservationType,
  refusals: [
    InvalidInput,
    NotFound,
    IdTagRefused,
    PolicyRefused,
    ConnectorTaken,
    NoConnectorFree,
    ConnectorNotFree,
    ChargerOffline,
    ChargerRefused,
    ReservationNotSupported,
    ReservationNotSettled,
    ReservationIdInUse,
    IdempotencyKeyReused,
    NotAllowed,
  ],
});

const ScheduleReservationResult = resultUnion({
  name: 'ScheduleReservationResult',
  description: 'The booking: SCHEDULED. Or why nothing is booked.',
  success: ReservationType,
  refusals: [
    InvalidInput,
    NotFound,
    IdTagRefused,
    PolicyRefused,
    ConnectorTaken,
    NoConnectorFree,
    ConnectorNotFree,
    ChargerOffline,
    ReservationNotSupported,
    ReservationNotSettled,
    ReservationIdInUse,
    IdempotencyKeyReused,
    NotAllowed,
  ],
});

const MoveReservationResult = resultUnion({
  name: 'MoveReservationResult',
  description: 'The new reservation, whose `movedFrom` is the old one. Or why it is not moved: the old one stays.',
  success: ReservationType,
  refusals: [
    InvalidInput,
    NotFound,
    IdTagRefused,
    PolicyRefused,
    ConnectorTaken,
    ConnectorNotFree,
    ChargerOffline,
    ChargerRefused,
    ReservationNotSupported,
    ReservationNotSettled,
    ReservationEnded,
    NotAllowed,
  ],
});

const ExtendReservationResult = resultUnion({
  name: 'ExtendReservationResult',
  description:
    'The reservation with its new expiry date, or UNKNOWN if the charger did not answer. Or why it is not extended.',
  success: ReservationType,
  refusals: [
    InvalidInput,
    NotFound,
    ReservationEnded,
    ReservationNotSettled,
    PolicyRefused,
    ConnectorTaken,
    ChargerOffline,
    ChargerRefused,
    NotAllowed,
  ],
});

const CancelReservationResult = resultUnion({
  name: 'CancelReservationResult',
  description:
    'The reservation: CANCELLED, or CANCELLING while the charger has not answered. Or why it is not (or not yet) cancelled.',
  success: ReservationType,
  refusals: [NotFound, ReservationEnded, PolicyRefused, ChargerRefused, ChargerOffline, InvalidInput, NotAllowed],
});

@InputType({ description: 'Selects reservations; a field that is left out does not filter.' })
class ReservationFilterInput {
  @Field(() => ID, { nullable: true, description: 'Only reservations at this site.' })
  siteId?: string | null;

  @Field(() => ID, { nullable: true, description: 'Only reservations on this charger.' })
  chargerId?: string | null;

  @Field(() => Int, {
    nullable: true,
    description: 'Only reservations on this connector; 0: those where the charger chooses.',
  })
  connectorId?: number | null;

  @Field(() => String, { nullable: true, description: 'Only reservations of this holder.' })
  idTag?: string | null;

  @Field(() => [ReservationStatusEnum], {
    nullable: true,
    description: 'Only reservations with one of these statuses.',
  })
  statuses?: ReservationStatusEnum[] | null;
}

@ArgsType()
class ReservationsArgs extends PageArgs {
  @Field(() => ReservationFilterInput, {
    nullable: true,
    description: 'Selects reservations; without it, all are returned.',
  })
  filter?: ReservationFilterInput | null;
}

const ReservationConnection = pageTypes(ReservationType, 'Reservation', 'reservations');

@Resolver(() => ReservationType)
export class ReservationResolver {
  constructor(private readonly ports: ReservingPorts) {}

  @Mutation(() => ReserveNowResult, {
    description: 'Holds a connector for an idTag, on the charger itself, until an expiry date.',
  })
  reserveNow(
    @Arg('input', () => ReserveNowInput, { description: 'The connector to hold.' }) input: ReserveNowInput,
    @Ctx() { caller }: ApiContext,
  ) {
    const { connectorId, ...rest } = input;
    return reserveNow(this.ports, caller, { connectorId, ...present(rest) });
  }

  @Mutation(() => ScheduleReservationResult, {
    description:
      'Books a connector for later: its window is held from now on, and the charger is asked when the window begins.',
  })
  scheduleReservation(
    @Arg('input', () => ScheduleReservationInput, { description: 'The connector to book.' })
    input: ScheduleReservationInput,
    @Ctx() { caller }: ApiContext,
  ) {
    const { connectorId, startsAt, ...rest } = input;
    return scheduleReservation(this.ports, caller, { connectorId, startsAt, ...present(rest) });
  }

  @Mutation(() => MoveReservationResult, {
    description:
      'Moves a reservation to another connector of its site: the new connector is held first, then the old reservation ends (CANCELLED, MOVED).',
  })
  moveReservation(
    @Arg('input', () => MoveReservationInput, { description: 'The reservation to move.' }) input: MoveReservationInput,
    @Ctx() { caller }: ApiContext,
  ) {
    const { id, connectorId, ...rest } = input;
    return moveReservation(this.ports, caller, { id, connectorId, ...present(rest) });
  }

  @Mutation(() => CancelReservationResult, {
    description: 'Ends a reservation and frees its connector, on the charger too.',
  })
  cancelReservation(
    @Arg('input', () => CancelReservationInput, { description: 'The reservation to cancel.' })
    input: CancelReservationInput,
    @Ctx() { caller }: ApiContext,
  ) {
    return cancelReservation(this.ports, caller, present(input));
  }

  @Mutation(() => ExtendReservationResult, {
    description:
      'Extends a reservation, on the charger too; the new expiry date counts once the charger has accepted it.',
  })
  extendReservation(
    @Arg('input', () => ExtendReservationInput, { description: 'The reservation to extend.' })
    input: ExtendReservationInput,
    @Ctx() { caller }: ApiContext,
  ) {
    return extendReservation(this.ports, caller, input);
  }

  @Query(() => ReservationType, {
    nullable: true,
    description: 'A reservation; null if there is none, or you may not see it.',
  })
  async reservation(
    @Arg('id', () => ID, { description: 'Key of the reservation in this API.' }) id: string,
    @Ctx() { caller }: ApiContext,
  ): Promise<Reservation | undefined> {
    const found = isUuid(id) ? await this.ports.reservations.byId(id) : undefined;
    return found && maySeeReservation(caller, found) ? found : undefined;
  }

  @Query(() => ReservationConnection, {
    name: 'reservations',
    description: 'The reservations the caller may see, the newest first.',
  })
  list(
    @Args(() => ReservationsArgs) { filter, ...page }: ReservationsArgs,
    @Ctx() { caller }: ApiContext,
  ): Promise<Page<Reservation>> {
    const { siteId, idTag, ...rest } = present(filter ?? {}) as PresentFilter;
    const wanted: ReservationFilter = { ...rest, ...reservationShare(caller, present({ siteId, idTag })) };
    return readPage(page, newestKey, (limit, after) =>
      this.ports.reservations.page(wanted, limit, fromNewestKey(after)),
    );
  }

  @FieldResolver(() => ChargerType, {
    nullable: true,
    description: 'The charger; null if it was removed, or you may not see it.',
  })
  async charger(@Root() { chargerId }: Reservation, @Ctx() { caller, load }: ApiContext) {
    if (!may(caller, 'chargers:read')) return undefined;
    const charger = await load.charger(chargerId);
    return charger && maySeeSite(caller, charger.siteId) ? charger : undefined;
  }

  @FieldResolver(() => SiteType, { description: 'The site.' })
  site(@Root() { siteId }: Reservation, @Ctx() context: ApiContext) {
    return siteOf(siteId, context);
  }
}

type PresentFilter = {
  siteId?: string;
  chargerId?: string;
  connectorId?: number;
  idTag?: string;
  statuses?: Reservation['status'][];
};
