// The event log as queries, for clients that poll instead of subscribing.
import {
  Args,
  ArgsType,
  Ctx,
  Field,
  ID,
  InputType,
  Int,
  ObjectType,
  Query,
  Resolver,
  registerEnumType,
} from 'type-graphql';
import { eventInterest } from '../../model/access/caller-interest.ts';
import { toCursor } from '../../model/events/cursor.ts';
import type { LogEvent } from '../../model/events/event.ts';
import type { ApiContext } from '../operations/context.ts';
import { badInput } from '../operations/errors.ts';
import { PageInfo } from '../operations/page.ts';
import { resumeFrom } from '../operations/subscription.ts';
import { EventType, eventFilter } from './event-type.graphql.ts';

enum EventKindEnum {
  RESERVATION = 'RESERVATION',
  CONNECTOR = 'CONNECTOR',
}
registerEnumType(EventKindEnum, {
  name: 'EventKind',
  description: 'What an event is about. More kinds may come.',
  valuesConfig: {
    RESERVATION: { description: 'A step of a reservation: ReservationEvent.' },
    CONNECTOR: { description: 'A change of a connector or of its charger’s connection: ConnectorEvent.' },
  },
});

@InputType({ description: 'Which events; a field left out does not filter.' })
class EventFilterInput {
  @Field(() => [EventKindEnum], { nullable: true, description: 'Only events of these kinds.' })
  kinds?: EventKindEnum[] | null;

  @Field(() => ID, { nullable: true, description: 'Only events at this site.' })
  siteId?: string | null;

  @Field(() => ID, { nullable: true, description: 'Only events of this charger.' })
  chargerId?: string | null;

  @Field(() => Int, {
    nullable: true,
    description:
      'On this connector; 0: the whole charger, or reservations for which the charger chooses the connector.',
  })
  connectorId?: number | null;

  @Field(() => ID, { nullable: true, description: 'Only events of this reservation, by its key in this API.' })
  reservationId?: string | null;

  @Field(() => String, { nullable: true, description: 'Only events of reservations held for this idTag.' })
  idTag?: string | null;
}

const MAX_PAGE = 500;
/** Spans of 5000 events each that are searched for one page when few events match. */
const MAX_SPANS = 10;

@ArgsType()
class EventsArgs {
  @Field(() => EventFilterInput, { nullable: true, description: 'Selects events; without it, all are sent.' })
  filter?: EventFilterInput | null;

  @Field(() => String, {
    nullable: true,
    description: 'The `endCursor` of the page before, or any `cursor`; without it, from the oldest event that is kept.',
  })
  after?: string | null;

  @Field(() => Int, { defaultValue: 100, description: `How many at most: 1 to ${MAX_PAGE}.` })
  first!: number;
}

@ObjectType({ description: 'An event and its position in the log.' })
class EventEdge {
  @Field(() => String, { description: 'The `cursor` of the event.' })
  cursor!: string;

  @Field(() => EventType, { description: 'The event.' })
  node!: LogEvent;
}

@ObjectType({ description: 'A page of the log.' })
class EventConnection {
  @Field(() => [EventEdge], { description: 'The events, the oldest first.' })
  edges!: EventEdge[];

  @Field(() => PageInfo, {
    description:
      'Where the page stands. `endCursor`: how far the log was searched, even on an empty page; pass it as `after` for the next page.',
  })
  pageInfo!: PageInfo;
}

@Resolver()
export class EventsResolver {
  @Query(() => String, {
    description: 'The present end of the event log. A subscription with it as `after` misses nothing from now on.',
  })
  async eventCursor(@Ctx() { feed }: ApiContext): Promise<string> {
    return toCursor({ position: (await feed.bounds()).end });
  }

  @Query(() => EventConnection, {
    description:
      'Events that match and that the caller may see, in the order of the log. For clients that poll instead of subscribing.',
  })
  async events(
    @Args(() => EventsArgs) { filter, after, first }: EventsArgs,
    @Ctx() { caller, feed }: ApiContext,
  ): Promise<EventConnection> {
    if (first < 1 || first > MAX_PAGE) throw badInput('first', `It must be from 1 to ${MAX_PAGE}.`);
    const { kinds, ...rest } = filter ?? {};
    const interest = eventInterest(caller, kinds ?? ['RESERVATION', 'CONNECTOR'], eventFilter(rest));
    const { position } = after == null ? { position: (await feed.bounds()).horizon } : await resumeFrom(feed, after);
    let page = await feed.read(interest, position, first);
    for (let span = 1; page.entries.length === 0 && !page.isEnd && span < MAX_SPANS; span += 1) {
      page = await feed.read(interest, page.end, first);
    }
    const events = page.entries.map(({ event }) => event);
    return {
      edges: events.map((node) => ({ cursor: node.cursor, node })),
      pageInfo: {
        hasNextPage: !page.isEnd,
        hasPreviousPage: after != null,
        ...(events[0] && { startCursor: events[0].cursor }),
        endCursor: toCursor({ position: page.end }),
      },
    };
  }
}
