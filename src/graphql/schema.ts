// Builds the GraphQL schema from the resolvers. It must not know their dependencies: app/api.ts makes the resolvers.
import 'reflect-metadata';
import { type GraphQLSchema, isInterfaceType, isObjectType } from 'graphql';
import { GraphQLDateTime } from 'graphql-scalars';
import { buildSchemaSync, getMetadataStorage, type NonEmptyArray } from 'type-graphql';
import type { Audit } from '../audit/audit.ts';
import { guardOperations, stopWhenAborted } from './operations/guard.ts';
import { ApiKeyResolver } from './types/api-key.graphql.ts';
import { AuditResolver } from './types/audit.graphql.ts';
import { AvailabilityResolver } from './types/availability.graphql.ts';
import { ChargerResolver, ConnectorResolver } from './types/charger.graphql.ts';
import { ChargerSecurityResolver } from './types/charger-security.graphql.ts';
import { ConnectorChangedResolver } from './types/connector-changed.graphql.ts';
import { EventsResolver } from './types/events.graphql.ts';
import { IdTagResolver } from './types/id-tag.graphql.ts';
import { ReservationResolver } from './types/reservation.graphql.ts';
import { ReservationChangedResolver } from './types/reservation-changed.graphql.ts';
import { SiteResolver } from './types/site.graphql.ts';
import { UsageResolver } from './types/usage.graphql.ts';
import { WebhookResolver } from './types/webhook.graphql.ts';

const resolvers = [
  ApiKeyResolver,
  AuditResolver,
  ReservationResolver,
  ReservationChangedResolver,
  EventsResolver,
  AvailabilityResolver,
  UsageResolver,
  WebhookResolver,
  ChargerResolver,
  ChargerSecurityResolver,
  ConnectorResolver,
  ConnectorChangedResolver,
  IdTagResolver,
  SiteResolver,
] as const;

/** Subscriptions read the event log; type-graphql's own pub/sub is never used. */
const noPubSub = {
  publish: () => {
    throw new Error('Events come from the event log');
  },
  subscribe: () => {
    throw new Error('Events come from the event log');
  },
};

/** Without instances and an audit log, the schema can be printed but not executed. */
export function buildApiSchema(instances: readonly object[] = [], audit?: Audit): GraphQLSchema {
  const byClass = new Map<unknown, object>(instances.map((one) => [one.constructor, one]));
  const schema = buildSchemaSync({
    resolvers: resolvers as unknown as NonEmptyArray<(typeof resolvers)[number]>,
    container: { get: (resolver) => byClass.get(resolver) },
    scalarsMap: [{ type: Date, scalar: GraphQLDateTime }],
    validate: false,
    pubSub: noPubSub,
  });
  markContextReaders(schema);
  guardOperations(schema, audit);
  showEventsThemselves(schema);
  return schema;
}

/**
 * Replaces the resolvers of subscription fields, which only return their event: type-graphql would convert the
 * arguments again for each event, which takes longer.
 */
function showEventsThemselves(schema: GraphQLSchema): void {
  for (const field of Object.values(schema.getSubscriptionType()?.getFields() ?? {})) field.resolve = (event) => event;
}

/**
 * Marks fields whose resolver gets the context with `extensions.readsContext`: they may show different callers
 * different things.
 */
function markContextReaders(schema: GraphQLSchema): void {
  const { fieldResolvers, subscriptions, objectTypes } = getMetadataStorage();
  const readers = [...fieldResolvers, ...subscriptions].filter(({ params }) =>
    (params ?? []).some(({ kind }) => kind === 'context' || kind === 'info' || kind === 'custom'),
  );
  for (const reader of readers) {
    const ofType = 'getObjectType' in reader ? reader.getObjectType?.() : undefined;
    const name = ofType ? objectTypes.find(({ target }) => target === ofType)?.name : 'Subscription';
    const type = schema.getType(name ?? '');
    const field = isObjectType(type) ? type.getFields()[reader.schemaName ?? reader.methodName] : undefined;
    if (!field) throw new Error(`${name}.${reader.methodName} is not in the schema`);
    field.extensions = { ...field.extensions, readsContext: true };
    if (ofType) stopWhenAborted(field);
  }
  // A field selected on an interface may be resolved by that field of any type that implements the interface.
  for (const type of Object.values(schema.getTypeMap())) {
    if (!isInterfaceType(type)) continue;
    const types = schema.getPossibleTypes(type);
    for (const field of Object.values(type.getFields())) {
      const readsContext = types.some((one) => one.getFields()[field.name]?.extensions.readsContext);
      if (readsContext) field.extensions = { ...field.extensions, readsContext };
    }
  }
}
