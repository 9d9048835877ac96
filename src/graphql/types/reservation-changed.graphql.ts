// The subscription reservationChanged: every step of the reservations that a caller may see.
import {
  Arg,
  Field,
  FieldResolver,
  ID,
  InputType,
  Int,
  ObjectType,
  Resolver,
  Root,
  registerEnumType,
  Subscription,
} from 'type-graphql';
import { eventInterest } from '../../model/access/caller-interest.ts';
import { type Start, toCursor } from '../../model/events/cursor.ts';
import { isEndedByOthers, type ReservationEvent } from '../../model/events/event.ts';
import type { Reservation } from '../../model/reservation/reservation.ts';
import type { ApiContext } from '../operations/context.ts';
import { Watch } from '../operations/watch.ts';
import { AFTER, EventType, eventFilter, presentState, SNAPSHOT_LEFT } from './event-type.graphql.ts';
import { ReasonEnum, ReservationStatusEnum, ReservationType } from './reservation-type.graphql.ts';

@InputType({ description: 'Selects events; a field that is left out does not filter.' })
class ReservationEventFilter {
  @Field(() => ID, { nullable: true, description: 'Only events at this site.' })
  siteId?: string | null;

  @Field(() => ID, { nullable: true, description: 'Only events on this charger.' })
  chargerId?: string | null;

  @Field(() => Int, {
    nullable: true,
    description: 'Only events on this connector; 0: of reservations where the charger chooses.',
  })
  connectorId?: number | null;

  @Field(() => ID, { nullable: true, description: 'Only events of this reservation, by its key in this API.' })
  reservationId?: string | null;

  @Field(() => String, { nullable: true, description: 'Only events of reservations with this holder.' })
  idTag?: string | null;
}

enum EventTypeEnum {
  SCHEDULED = 'SCHEDULED',
  REQUESTED = 'REQUESTED',
  POSTPONED = 'POSTPONED',
  ACCEPTED = 'ACCEPTED',
  REJECTED = 'REJECTED',
  OUTCOME_UNKNOWN = 'OUTCOME_UNKNOWN',
  EXTENDED = 'EXTENDED',
  REPLACED = 'REPLACED',
  FAILED = 'FAILED',
  CANCEL_REQUESTED = 'CANCEL_REQUESTED',
  CANCELLED = 'CANCELLED',
  USED = 'USED',
  EXPIRED = 'EXPIRED',
  REMOVED = 'REMOVED',
  BREACHED = 'BREACHED',
  ENDING_SOON = 'ENDING_SOON',
  SNAPSHOT = 'SNAPSHOT',
}
registerEnumType(EventTypeEnum, {
  name: 'ReservationEventType',
  description: 'What happened to a reservation. More types may come.',
  valuesConfig: {
    SCHEDULED: { description: 'It was booked for later.' },
    REQUESTED: { description: 'It was stored, or its start has come; the charger is being asked.' },
    POSTPONED: { description: 'Its start has come, but the charger is not ready: it will be asked again.' },
    ACCEPTED: { description: 'The charger holds the connector.' },
    REJECTED: { description: 'The charger refused.' },
    OUTCOME_UNKNOWN: { description: 'The charger did not answer; it may hold the connector.' },
    EXTENDED: { description: 'It holds until a later expiry date.' },
    REPLACED: { description: 'To extend it, the charger is asked to hold it under a fresh reservationId.' },
    FAILED: { description: 'It never reached the charger, or its outcome was not learned in time.' },
    CANCEL_REQUESTED: { description: 'Somebody cancelled it; the cancellation is being sent to the charger.' },
    CANCELLED: { description: 'It was cancelled.' },
    USED: { description: 'The holder, or its group, started a transaction.' },
    EXPIRED: { description: 'It reached its expiry date unused.' },
    REMOVED: { description: 'The charger dropped it.' },
    ENDING_SOON: { description: 'It ends soon, unless it is extended; the policy says how many minutes before.' },
    SNAPSHOT: {
      description: 'Not an event but a reservation that is live now, sent first to subscribers with `snapshot: true`.',
    },
    BREACHED: { description: 'Somebody else charges on the held connector although refused.' },
  },
});

enum ActorEnum {
  DRIVER = 'DRIVER',
  OPERATOR = 'OPERATOR',
  ADMIN = 'ADMIN',
  CHARGER = 'CHARGER',
  SERVER = 'SERVER',
}
registerEnumType(ActorEnum, {
  name: 'Actor',
  description: 'Who caused an event.',
  valuesConfig: {
    DRIVER: { description: 'A driver.' },
    OPERATOR: { description: 'An operator.' },
    ADMIN: { description: 'An admin.' },
    CHARGER: { description: 'The charger.' },
    SERVER: { description: 'This server: its clock, or a timeout.' },
  },
});

@ObjectType('ReservationEvent', { implements: EventType, description: 'A step of a reservation.' })
class ReservationEventType extends EventType {
  @Field(() => EventTypeEnum, { description: 'What happened.' })
  type!: EventTypeEnum;

  @Field(() => ReservationStatusEnum, { nullable: true, description: 'The status before; null for the first event.' })
  from?: ReservationStatusEnum;

  @Field(() => ReservationStatusEnum, { description: 'The status after.' })
  to!: ReservationStatusEnum;

  @Field(() => ReasonEnum, { nullable: true, description: 'Why; null where the event needs no reason.' })
  reason?: ReasonEnum;

  @Field(() => ActorEnum, { description: 'Who caused it.' })
  actor!: ActorEnum;

  @Field(() => ReservationType, { description: 'The reservation as of this event, whatever has happened since.' })
  reservation!: ReservationType;

  @Field(() => Int, { nullable: true, description: SNAPSHOT_LEFT })
  snapshotLeft?: number;
}

/** A live reservation, as one of the first messages of a subscription. */
type PresentReservation = Omit<ReservationEvent, 'type'> & { readonly type: 'SNAPSHOT'; readonly snapshotLeft: number };

@Resolver(() => ReservationEventType)
export class ReservationChangedResolver {
  @Subscription(() => ReservationEventType, {
    description: 'Every step of the reservations that match and that the caller may see, as it happens.',
    subscribe: ({ args, context }) => {
      const { caller, now } = context as ApiContext;
      const interest = eventInterest(caller, ['RESERVATION'], eventFilter(args.filter));
      const readLive = async (limit: number) => {
        const { start, reservations } = await now.liveOf(interest, limit);
        return { start, rows: reservations };
      };
      return new Watch(interest, {
        after: args.after,
        ...(args.snapshot && { present: () => presentState(readLive, toPresent) }),
      });
    },
  })
  reservationChanged(
    @Root() event: ReservationEvent,
    @Arg('filter', () => ReservationEventFilter, {
      nullable: true,
      description: 'Selects events; without it, all are sent.',
    })
    _filter?: ReservationEventFilter,
    @Arg('after', () => String, { nullable: true, description: AFTER })
    _after?: string,
    @Arg('snapshot', () => Boolean, {
      defaultValue: false,
      description: 'Sends first the live reservations that match (type SNAPSHOT), then every change since that state.',
    })
    _snapshot?: boolean,
  ): ReservationEvent {
    return event;
  }

  @FieldResolver(() => Boolean, {
    description:
      'Whether somebody other than its holder ended it, or is ending it, so that the holder must be notified.',
  })
  isEndedByOthers(@Root() event: ReservationEvent): boolean {
    return isEndedByOthers(event);
  }
}

function toPresent(reservation: Reservation, snapshotLeft: number, start: Start): PresentReservation {
  const { siteId, chargerId, connectorId, status, createdAt } = reservation;
  const reason = 'reason' in reservation ? reservation.reason : undefined;
  return {
    kind: 'RESERVATION',
    type: 'SNAPSHOT',
    cursor: toCursor(start),
    at: createdAt,
    actor: 'SERVER',
    siteId,
    chargerId,
    connectorId,
    to: status,
    ...(reason && { reason }),
    reservation,
    snapshotLeft,
  };
}
