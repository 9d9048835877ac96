// The subscription to what chargers say of their connectors and of themselves.
import {
  Arg,
  Field,
  ID,
  InputType,
  Int,
  ObjectType,
  Resolver,
  Root,
  registerEnumType,
  Subscription,
} from 'type-graphql';
import { maySeeSite } from '../auth/caller.ts';
import { present } from '../common/present.ts';
import type { ConnectorEvent, LogEvent } from '../event-log/event.ts';
import type { ApiContext } from '../graphql/context.ts';
import { ConnectorStateEnum } from './connector-state.graphql.ts';

enum ConnectorEventTypeEnum {
  STATE_CHANGED = 'STATE_CHANGED',
  CONNECTED = 'CONNECTED',
  DISCONNECTED = 'DISCONNECTED',
}
registerEnumType(ConnectorEventTypeEnum, {
  name: 'ConnectorEventType',
  description: 'What happened to a connector, or (connectorId 0) to the whole charger. More types may come.',
  valuesConfig: {
    STATE_CHANGED: { description: 'The charger says that the connector is in another state.' },
    CONNECTED: { description: 'The charger connected.' },
    DISCONNECTED: { description: 'The charger lost its connection.' },
  },
});

@ObjectType('ConnectorEvent', { description: 'A change of a connector, or of its charger’s connection.' })
class ConnectorEventObject {
  @Field(() => String, { description: 'Position in the log of events; opaque.' })
  cursor!: string;

  @Field(() => Date, { description: 'When the server learned of it.' })
  at!: Date;

  @Field(() => ConnectorEventTypeEnum, { description: 'What happened.' })
  type!: ConnectorEventTypeEnum;

  @Field(() => ID, { description: 'The site.' })
  siteId!: string;

  @Field(() => ID, { description: 'The charger.' })
  chargerId!: string;

  @Field(() => Int, { description: 'The connector; 0: the whole charger.' })
  connectorId!: number;

  @Field(() => ConnectorStateEnum, { nullable: true, description: 'The state before; null where it was not known.' })
  from?: ConnectorStateEnum;

  @Field(() => ConnectorStateEnum, { nullable: true, description: 'Of STATE_CHANGED: the state after.' })
  to?: ConnectorStateEnum;

  @Field(() => String, { nullable: true, description: 'The charger’s error code, in OCPP’s words; null: no error.' })
  errorCode?: string;
}

@InputType({ description: 'Which events; what is left out does not filter.' })
class ConnectorEventFilter {
  @Field(() => ID, { nullable: true, description: 'At this site.' })
  siteId?: string | null;

  @Field(() => ID, { nullable: true, description: 'Of this charger.' })
  chargerId?: string | null;

  @Field(() => Int, { nullable: true, description: 'Of this connector; 0: of the whole charger.' })
  connectorId?: number | null;
}

@Resolver()
export class ConnectorChangedResolver {
  @Subscription(() => ConnectorEventObject, {
    description: 'Every change of the connectors that match and that the caller may see, as it happens.',
    subscribe: ({ args, context }) => {
      const { caller, events } = context as ApiContext;
      const filter = present(args.filter ?? {}) as { siteId?: string; chargerId?: string; connectorId?: number };
      return events(
        (event: LogEvent): event is ConnectorEvent =>
          event.kind === 'CONNECTOR' &&
          maySeeSite(caller, event.siteId) &&
          (filter.siteId === undefined || event.siteId === filter.siteId) &&
          (filter.chargerId === undefined || event.chargerId === filter.chargerId) &&
          (filter.connectorId === undefined || event.connectorId === filter.connectorId),
        args.after,
      ) as never;
    },
  })
  connectorChanged(
    @Root() event: ConnectorEvent,
    @Arg('filter', () => ConnectorEventFilter, { nullable: true, description: 'Which events; without it, all.' })
    _filter?: ConnectorEventFilter,
    @Arg('after', () => String, {
      nullable: true,
      description: 'The `cursor` of the last event seen, or `eventCursor`: first comes all that was missed since.',
    })
    _after?: string,
  ): ConnectorEvent {
    return event;
  }
}
