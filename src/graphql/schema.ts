// The schema from its resolvers. It must not know what they need: app.ts makes them.
import 'reflect-metadata';
import type { GraphQLSchema } from 'graphql';
import { GraphQLDateTime } from 'graphql-scalars';
import { buildSchemaSync, type NonEmptyArray } from 'type-graphql';
import { AvailabilityResolver } from '../availability/availability.graphql.ts';
import { ChargerResolver, ConnectorResolver } from '../charger/charger.graphql.ts';
import { ConnectorChangedResolver } from '../charger/connector-changed.graphql.ts';
import { IdTagResolver } from '../id-tag/id-tag.graphql.ts';
import { ReservationResolver } from '../reservation/reservation.graphql.ts';
import { ReservationChangedResolver } from '../reservation/reservation-changed.graphql.ts';
import { SiteResolver } from '../site/site.graphql.ts';
import { UsageResolver } from '../usage/usage.graphql.ts';

const resolvers = [
  ReservationResolver,
  ReservationChangedResolver,
  AvailabilityResolver,
  UsageResolver,
  ChargerResolver,
  ConnectorResolver,
  ConnectorChangedResolver,
  IdTagResolver,
  SiteResolver,
] as const;

/** Subscriptions read the event log; the library's own event source is never used. */
const noPubSub = {
  publish: () => {
    throw new Error('Events come from the event log');
  },
  subscribe: () => {
    throw new Error('Events come from the event log');
  },
};

/** Without instances the schema can be printed, not executed. */
export function buildApiSchema(instances: readonly object[] = []): GraphQLSchema {
  const byClass = new Map<unknown, object>(instances.map((one) => [one.constructor, one]));
  return buildSchemaSync({
    resolvers: resolvers as unknown as NonEmptyArray<(typeof resolvers)[number]>,
    container: { get: (resolver) => byClass.get(resolver) },
    scalarsMap: [{ type: Date, scalar: GraphQLDateTime }],
    validate: false,
    pubSub: noPubSub,
  });
}
