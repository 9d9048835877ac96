// The subscription connectorChanged: state changes of connectors, and their chargers' connects and disconnects.
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
import { eventInterest } from '../../model/access/caller-interest.ts';
import { type Start, toCursor } from '../../model/events/cursor.ts';
import type { ConnectorEvent } from '../../model/events/event.ts';
import type { ConnectorNow } from '../../storage/chargers/connector.repository.ts';
import type { ApiContext } from '../operations/context.ts';
import { Watch } from '../operations/watch.ts';
import { ConnectorStateEnum } from './connector-state.graphql.ts';
import { AFTER, EventType, eventFilter, presentState, SNAPSHOT_LEFT } from './event-type.graphql.ts';

enum ConnectorEventTypeEnum {
  STATE_CHANGED = 'STATE_CHANGED',
  CONNECTED = 'CONNECTED',
  DISCONNECTED = 'DISCONNECTED',
  SNAPSHOT = 'SNAPSHOT',
}
registerEnumType(ConnectorEventTypeEnum, {
  name: 'ConnectorEventType',
  description: 'What happened to a connector, or (connectorId 0) to the whole charger. More types may come.',
  valuesConfig: {
    STATE_CHANGED: { description: 'The charger reported another state of the connector.' },
    CONNECTED: { description: 'The charger connected.' },
    DISCONNECTED: { description: 'The charger lost its connection.' },
    SNAPSHOT: { description: 'Not an event but the present state, sent first to subscribers with `snapshot: true`.' },
  },
});

@ObjectType('ConnectorEvent', {
  implements: EventType,
  description: 'A change of a connector, or of its charger’s connection.',
})
class ConnectorEventObject extends EventType {
  @Field(() => ConnectorEventTypeEnum, { description: 'What happened.' })
  type!: ConnectorEventTypeEnum;

  @Field(() => ConnectorStateEnum, {
    nullable: true,
    description: 'The state before; null unless the type is STATE_CHANGED and that state was known.',
  })
  from?: ConnectorStateEnum;

  @Field(() => ConnectorStateEnum, {
    nullable: true,
    description: 'The state after; null unless the type is STATE_CHANGED or SNAPSHOT.',
  })
  to?: ConnectorStateEnum;

  @Field(() => String, { nullable: true, description: 'The charger’s error code, in OCPP’s words; null: no error.' })
  errorCode?: string;

  @Field(() => Boolean, {
    nullable: true,
    description: 'Whether its charger is connected; null unless the type is SNAPSHOT.',
  })
  isChargerConnected?: boolean;

  @Field(() => Int, { nullable: true, description: SNAPSHOT_LEFT })
  snapshotLeft?: number;
}

/** A connector's present state, as one of the first messages of a subscription. */
type PresentConnector = Omit<ConnectorEvent, 'type'> & {
  readonly type: 'SNAPSHOT';
  readonly isChargerConnected: boolean;
  readonly snapshotLeft: number;
};

@InputType({ description: 'Selects events; a field that is left out does not filter.' })
class ConnectorEventFilter {
  @Field(() => ID, { nullable: true, description: 'Only events at this site.' })
  siteId?: string | null;

  @Field(() => ID, { nullable: true, description: 'Only events of this charger.' })
  chargerId?: string | null;

  @Field(() => Int, { nullable: true, description: 'Only events of this connector; 0: of the whole charger.' })
  connectorId?: number | null;
}

@Resolver()
export class ConnectorChangedResolver {
  @Subscription(() => ConnectorEventObject, {
    description: 'Every change of the connectors that match and that the caller may see, as it happens.',
    subscribe: ({ args, context }) => {
      const { caller, now } = context as ApiContext;
      const interest = eventInterest(caller, ['CONNECTOR'], eventFilter(args.filter));
      const readNow = async (limit: number) => {
        const { start, connectors } = await now.connectorsOf(interest, limit);
        return { start, rows: connectors };
      };
      return new Watch(interest, {
        after: args.after,
        ...(args.snapshot && { present: () => presentState(readNow, toPresent) }),
      });
    },
  })
  connectorChanged(
    @Root() event: ConnectorEvent,
    @Arg('filter', () => ConnectorEventFilter, {
      nullable: true,
      description: 'Selects events; without it, all are sent.',
    })
    _filter?: ConnectorEventFilter,
    @Arg('after', () => String, { nullable: true, description: AFTER })
    _after?: string,
    @Arg('snapshot', () => Boolean, {
      defaultValue: false,
      description:
        'Sends first the present state of the matching connectors (type SNAPSHOT), then every change since that state.',
    })
    _snapshot?: boolean,
  ): ConnectorEvent {
    return event;
  }
}

/** `at` is when the charger last reported the connector, or 1970-01-01 if it never has. */
function toPresent(connector: ConnectorNow, snapshotLeft: number, start: Start): PresentConnector {
  const { siteId, chargerId, connectorId, state, errorCode, stateAt = new Date(0), isConnected } = connector;
  return {
    kind: 'CONNECTOR',
    type: 'SNAPSHOT',
    cursor: toCursor(start),
    at: stateAt,
    siteId,
    chargerId,
    connectorId,
    to: state,
    ...(errorCode && { errorCode }),
    isChargerConnected: isConnected,
    snapshotLeft,
  };
}
