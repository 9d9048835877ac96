// Chargers and connectors in the API.
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
  ObjectType,
  Query,
  Resolver,
  Root,
} from 'type-graphql';
import { type AdministrationPorts } from '../../administration/ports.ts';
import { removeCharger, saveCharger } from '../../administration/save-charger.ts';
import { present } from '../../common/present.ts';
import { may, maySeeReservation, maySeeSite, siteScope } from '../../model/access/rights.ts';
import type { Charger } from '../../model/charger/charger.ts';
import type { Connector } from '../../model/charger/connector.ts';
import type { Reservation } from '../../model/reservation/reservation.ts';
import type { ApiContext } from '../operations/context.ts';
import { type Page, PageArgs, pageTypes, readPage } from '../operations/page.ts';
import { InUse, InvalidInput, NotAllowed, NotFound, resultUnion } from '../operations/refusals.ts';
import { ConnectorStateEnum } from './connector-state.graphql.ts';
import { ReservationType } from './reservation-type.graphql.ts';
import { Removed, SiteType, siteOf } from './site.graphql.ts';

@ObjectType('Connector', {
  description: 'A place at a charger that can be reserved, for one vehicle at a time. In OCPP 2.x an EVSE.',
})
class ConnectorType {
  @Field(() => ID, { description: 'The charger it belongs to.' })
  chargerId!: string;

  @Field(() => Int, { description: 'Its number on the charger, from 1.' })
  connectorId!: number;

  @Field(() => ConnectorStateEnum, { description: 'The state that the charger last reported.' })
  state!: ConnectorStateEnum;

  @Field(() => String, {
    nullable: true,
    description: 'The charger’s own error code, in OCPP’s words; null: no error.',
  })
  errorCode?: string;

  @Field(() => [String], { description: 'Its plugs, as its operator named them, for example CCS2.' })
  plugTypes!: string[];

  @Field(() => Date, { nullable: true, description: 'When the charger last reported the state of this connector.' })
  stateAt?: Date;
}

@ObjectType('Charger', { description: 'The unit that holds one OCPP connection.' })
export class ChargerType {
  @Field(() => ID, { description: 'Its OCPP identity.' })
  id!: string;

  @Field(() => ID, { description: 'The site where it stands.' })
  siteId!: string;

  @Field(() => String, { description: 'Human-readable name.' })
  name!: string;

  @Field(() => Boolean, { description: 'Whether it is connected now.' })
  isConnected!: boolean;

  @Field(() => Date, { nullable: true, description: 'When it last connected, disconnected or sent a heartbeat.' })
  lastSeenAt?: Date;

  @Field(() => Date, { nullable: true, description: 'When it last reported that it had booted.' })
  bootedAt?: Date;

  @Field(() => Int, {
    nullable: true,
    description: 'By how many seconds its clock is ahead of the server’s (negative: behind), as measured last.',
  })
  clockSkewSeconds?: number;

  @Field(() => String, { nullable: true, description: 'OCPP version of its last connection: 1.6, 2.0.1 or 2.1.' })
  ocppVersion?: string;

  @Field(() => String, { nullable: true, description: 'Its maker, as the charger reported it.' })
  vendor?: string;

  @Field(() => String, { nullable: true, description: 'Its model, as the charger reported it.' })
  model?: string;

  @Field(() => String, { nullable: true, description: 'Its serial number, as the charger reported it.' })
  serialNumber?: string;

  @Field(() => String, { nullable: true, description: 'Its firmware, as the charger reported it.' })
  firmwareVersion?: string;

  @Field(() => Boolean, {
    nullable: true,
    description: 'Whether it supports reservations; null until it has reported that.',
  })
  supportsReservation?: boolean;

  @Field(() => Boolean, {
    nullable: true,
    description: 'Whether it can choose the connector itself; null until it has reported that.',
  })
  supportsConnectorZero?: boolean;
}

@InputType({ description: 'A connector of a charger.' })
class ConnectorInput {
  @Field(() => Int, { description: 'Its number on the charger, from 1.' })
  connectorId!: number;

  @Field(() => [String], { defaultValue: [], description: 'Its plugs, for example CCS2 or TYPE2.' })
  plugTypes!: string[];
}

@InputType({ description: 'A charger to create or to change.' })
class SaveChargerInput {
  @Field(() => ID, { description: 'Its OCPP identity: 1 to 48 letters, digits or any of *+=:|@._-' })
  id!: string;

  @Field(() => ID, { description: 'The site where it stands.' })
  siteId!: string;

  @Field(() => String, { nullable: true, description: 'Name for people. Default: its id.' })
  name?: string | null;

  @Field(() => String, {
    nullable: true,
    description:
      'Password of its Basic authentication, 16 to 64 characters; a new charger needs one. Changing it ends the connection.',
  })
  password?: string | null;

  @Field(() => Int, {
    nullable: true,
    description:
      'The lowest security profile by which it may log in: 1 password, 2 password over TLS, 3 certificate. It can be raised, not lowered. Default: as it is; 1 for a new charger.',
  })
  securityProfile?: number | null;

  @Field(() => [ConnectorInput], {
    defaultValue: [],
    description: 'Connectors to add or change. Not required: a charger reports its connectors itself.',
  })
  connectors!: ConnectorInput[];
}

@ArgsType()
class ChargersArgs extends PageArgs {
  @Field(() => ID, { nullable: true, description: 'Only the chargers of this site.' })
  siteId?: string | null;
}

const SaveChargerResult = resultUnion({
  name: 'SaveChargerResult',
  description: 'The charger as saved, or why it was not saved.',
  success: ChargerType,
  refusals: [InvalidInput, NotFound, NotAllowed],
});

const RemoveChargerResult = resultUnion({
  name: 'RemoveChargerResult',
  description: 'The removal, or why the charger was not removed.',
  success: Removed,
  refusals: [NotFound, InUse, NotAllowed],
});

const ChargerConnection = pageTypes(ChargerType, 'Charger', 'chargers');

@Resolver(() => ChargerType)
export class ChargerResolver {
  constructor(private readonly ports: AdministrationPorts) {}

  @Query(() => ChargerType, {
    nullable: true,
    description: 'A charger; null if there is none, or you may not see it.',
  })
  async charger(
    @Arg('id', () => ID, { description: 'Its OCPP identity.' }) id: string,
    @Ctx() { caller, load }: ApiContext,
  ): Promise<Charger | undefined> {
    const charger = await load.charger(id);
    return charger && maySeeSite(caller, charger.siteId) ? charger : undefined;
  }

  @Query(() => ChargerConnection, {
    name: 'chargers',
    description: 'The chargers the caller may see, in the order of their ids.',
  })
  list(
    @Args(() => ChargersArgs) { siteId, ...page }: ChargersArgs,
    @Ctx() { caller }: ApiContext,
  ): Promise<Page<Charger>> {
    const filter = siteId == null ? siteScope(caller) : { siteIds: maySeeSite(caller, siteId) ? [siteId] : [] };
    return readPage(
      page,
      ({ id }) => [id],
      (limit, after) => this.ports.chargers.page(filter, limit, after?.[0]),
    );
  }

  @Mutation(() => SaveChargerResult, {
    description: 'Creates or changes a charger. Admins, and operators of the site.',
  })
  saveCharger(
    @Arg('input', () => SaveChargerInput, { description: 'The charger.' }) input: SaveChargerInput,
    @Ctx() { caller }: ApiContext,
  ) {
    const { id, siteId, connectors, name, password, securityProfile } = input;
    return saveCharger(this.ports, caller, { id, siteId, connectors, ...present({ name, password, securityProfile }) });
  }

  @Mutation(() => RemoveChargerResult, {
    description: 'Removes a charger without live reservations and ends its connection. Its history stays.',
  })
  removeCharger(@Arg('id', () => ID, { description: 'Its OCPP identity.' }) id: string, @Ctx() { caller }: ApiContext) {
    return removeCharger(this.ports, caller, id);
  }

  @FieldResolver(() => SiteType, { description: 'The site where it stands.' })
  site(@Root() { siteId }: Charger, @Ctx() context: ApiContext) {
    return siteOf(siteId, context);
  }

  @FieldResolver(() => [ConnectorType], { description: 'Its connectors, in the order of their numbers.' })
  connectors(@Root() { id }: Charger, @Ctx() { load }: ApiContext): Promise<Connector[]> {
    return load.connectors(id);
  }
}

@Resolver(() => ConnectorType)
export class ConnectorResolver {
  @FieldResolver(() => ReservationType, {
    nullable: true,
    description: 'The reservation that holds it; null if there is none, or you may not see it.',
  })
  async reservation(
    @Root() connector: Connector,
    @Ctx() { caller, load }: ApiContext,
  ): Promise<Reservation | undefined> {
    if (!may(caller, 'reservations:read')) return undefined;
    const hold = await this.#holdOf(connector, load);
    return hold && maySeeReservation(caller, hold) ? hold : undefined;
  }

  @FieldResolver(() => Date, {
    nullable: true,
    description:
      'Until when it is held, whoever holds it; null: no reservation names this connector (one with connectorId 0 does not count).',
  })
  async reservedUntil(@Root() connector: Connector, @Ctx() { load }: ApiContext): Promise<Date | undefined> {
    return (await this.#holdOf(connector, load))?.expiryDate;
  }

  async #holdOf({ chargerId, connectorId }: Connector, load: ApiContext['load']): Promise<Reservation | undefined> {
    return (await load.holds(chargerId)).find((hold) => hold.connectorId === connectorId);
  }
}
