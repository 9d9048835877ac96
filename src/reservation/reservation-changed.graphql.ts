// The subscription to every step of reservations.
import {
  Arg,
  Ctx,
  Field,
  ID,
  InputType,
  Int,
  ObjectType,
  Query,
  Resolver,
  Root,
  registerEnumType,
  Subscription,
} from 'type-graphql';
import { maySeeReservation } from '../auth/caller.ts';
import { present } from '../common/present.ts';
import type { LogEvent, ReservationEvent } from '../event-log/event.ts';
import type { ApiContext } from '../graphql/context.ts';
import { sameId } from '../id-tag/id-tag.ts';
import { isLive } from './reservation.ts';
import { ReasonEnum, ReservationStatusEnum, ReservationType } from './reservation-type.graphql.ts';

@InputType({ description: 'Which events; what is left out does not filter.' })
class ReservationEventFilter {
  @Field(() => ID, { nullable: true, description: 'At this site.' })
  siteId?: string | null;

  @Field(() => ID, { nullable: true, description: 'On this charger.' })
  chargerId?: string | null;

  @Field(() => Int, { nullable: true, description: 'On this connector; 0: where the charger chooses.' })
  connectorId?: number | null;

  @Field(() => ID, { nullable: true, description: 'Of this reservation, by its key in this API.' })
  reservationId?: string | null;

  @Field(() => String, { nullable: true, description: 'Of this holder.' })
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
    CANCEL_REQUESTED: { description: 'Somebody cancelled; the charger is being told.' },
    CANCELLED: { description: 'It was cancelled.' },
    USED: { description: 'The holder, or its group, started a transaction.' },
    EXPIRED: { description: 'It reached its expiry date unused.' },
    REMOVED: { description: 'The charger dropped it.' },
    ENDING_SOON: { description: 'It ends in so many minutes as the policy says, unless it is extended.' },
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

@ObjectType('ReservationEvent', { description: 'A step of a reservation.' })
class ReservationEventType {
  @Field(() => String, { description: 'Position in the log of events; opaque.' })
  cursor!: string;

  @Field(() => Date, { description: 'When it happened.' })
  at!: Date;

  @Field(() => EventTypeEnum, { description: 'What happened.' })
  type!: EventTypeEnum;

  @Field(() => ReservationStatusEnum, { nullable: true, description: 'The status before; null for the first event.' })
  from?: ReservationStatusEnum;

  @Field(() => ReservationStatusEnum, { description: 'The status after.' })
  to!: ReservationStatusEnum;

  @Field(() => ReasonEnum, { nullable: true, description: 'Why, where that needs a reason.' })
  reason?: ReasonEnum;

  @Field(() => ActorEnum, { description: 'Who caused it.' })
  actor!: ActorEnum;

  @Field(() => Boolean, {
    description: 'Whether it ended, or is being ended, by somebody else than its holder: what the holder must be told.',
  })
  isEndedByOthers!: boolean;

  @Field(() => ReservationType, { description: 'The reservation as of this event, whatever has happened since.' })
  reservation!: ReservationType;
}

@Resolver()
export class ReservationChangedResolver {
  @Query(() => String, {
    description: 'Where the log of events ends now. Who subscribes with it as `after` misses nothing from now on.',
  })
  eventCursor(@Ctx() { endCursor }: ApiContext): Promise<string> {
    return endCursor();
  }

  @Subscription(() => ReservationEventType, {
    description: 'Every step of the reservations that match and that the caller may see, as it happens.',
    subscribe: ({ args, context }) => {
      const { caller, events } = context as ApiContext;
      const filter = present(args.filter ?? {}) as PresentEventFilter;
      return events(
        (event): event is ReservationEvent => isWanted(event, filter) && maySeeReservation(caller, event.reservation),
        args.after,
      ) as never;
    },
  })
  reservationChanged(
    @Root() event: ReservationEvent,
    @Arg('filter', () => ReservationEventFilter, { nullable: true, description: 'Which events; without it, all.' })
    _filter?: ReservationEventFilter,
    @Arg('after', () => String, {
      nullable: true,
      description: 'The `cursor` of the last event seen, or `eventCursor`: first comes all that was missed since.',
    })
    _after?: string,
  ): ReservationEvent & { readonly isEndedByOthers: boolean } {
    return { ...event, isEndedByOthers: isEndedByOthers(event) };
  }
}

/** A use is the holder's own, and so is what it cancels or moves; everything else that ends it is done to the holder. */
function isEndedByOthers({ from, to, actor, reason }: ReservationEvent): boolean {
  const isEnd = !isLive(to) || to === 'CANCELLING';
  // What the holder began the server may finish; on its own account it moves only what is still a booking.
  const isOwnMove = reason === 'MOVED' && (actor === 'DRIVER' || (actor === 'SERVER' && from !== 'SCHEDULED'));
  return isEnd && to !== 'USED' && reason !== 'DRIVER_REQUEST' && !isOwnMove;
}

type PresentEventFilter = {
  siteId?: string;
  chargerId?: string;
  connectorId?: number;
  reservationId?: string;
  idTag?: string;
};

function isWanted(event: LogEvent, filter: PresentEventFilter): event is ReservationEvent {
  if (event.kind !== 'RESERVATION') return false;
  const { siteId, chargerId, connectorId, reservationId, idTag } = filter;
  return (
    (siteId === undefined || event.siteId === siteId) &&
    (chargerId === undefined || event.chargerId === chargerId) &&
    (connectorId === undefined || event.connectorId === connectorId) &&
    (reservationId === undefined || event.reservation.id === reservationId) &&
    (idTag === undefined || sameId(event.reservation.idTag, idTag))
  );
}
