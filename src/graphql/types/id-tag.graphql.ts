// GraphQL API of idTags and of authorization.
import {
  Arg,
  Args,
  Ctx,
  Field,
  ID,
  InputType,
  Int,
  Mutation,
  ObjectType,
  Query,
  Resolver,
  registerEnumType,
} from 'type-graphql';
import { type AdministrationPorts } from '../../administration/ports.ts';
import { removeIdTag, saveIdTag } from '../../administration/save-id-tag.ts';
import { type AuthorizingPorts, authorizeIdTag } from '../../charging/authorize-id-tag.ts';
import { present } from '../../common/present.ts';
import { maySeeSite, mayUseIdTag } from '../../model/access/rights.ts';
import type { IdTag } from '../../model/charger/id-tag.ts';
import type { Authorization } from '../../model/reservation/authorize.ts';
import type { ApiContext } from '../operations/context.ts';
import { badInput, forbidden } from '../operations/errors.ts';
import { type Page, PageArgs, pageTypes, readPage } from '../operations/page.ts';
import { InvalidInput, NotAllowed, NotFound, resultUnion } from '../operations/refusals.ts';
import { Removed } from './site.graphql.ts';

enum TokenTypeEnum {
  CENTRAL = 'CENTRAL',
  EMAID = 'EMAID',
  ISO14443 = 'ISO14443',
  ISO15693 = 'ISO15693',
  KEY_CODE = 'KEY_CODE',
  LOCAL = 'LOCAL',
  MAC_ADDRESS = 'MAC_ADDRESS',
  NO_AUTHORIZATION = 'NO_AUTHORIZATION',
}
registerEnumType(TokenTypeEnum, {
  name: 'TokenType',
  description: 'The type of an idTag. OCPP 2.x compares it together with the idTag; OCPP 1.6 has no types.',
  valuesConfig: {
    CENTRAL: { description: 'Made by a server, for example for an app.' },
    EMAID: { description: 'Contract id of ISO 15118.' },
    ISO14443: { description: 'RFID card of ISO 14443: the usual one.' },
    ISO15693: { description: 'RFID card of ISO 15693.' },
    KEY_CODE: { description: 'Code typed in at the charger.' },
    LOCAL: { description: 'Made by the charger.' },
    MAC_ADDRESS: { description: 'MAC address of the vehicle.' },
    NO_AUTHORIZATION: { description: 'No authorization needed.' },
  },
});

enum IdTagStatusEnum {
  ACCEPTED = 'ACCEPTED',
  BLOCKED = 'BLOCKED',
}
registerEnumType(IdTagStatusEnum, {
  name: 'IdTagStatus',
  description: 'Whether an idTag may be used.',
  valuesConfig: {
    ACCEPTED: { description: 'The idTag may be used.' },
    BLOCKED: { description: 'The idTag may not be used.' },
  },
});

enum AuthorizationStatus {
  ACCEPTED = 'ACCEPTED',
  RESERVED = 'RESERVED',
  BLOCKED = 'BLOCKED',
  EXPIRED = 'EXPIRED',
  INVALID = 'INVALID',
}
registerEnumType(AuthorizationStatus, {
  name: 'AuthorizationStatus',
  description: 'Whether an idTag may start a transaction.',
  valuesConfig: {
    ACCEPTED: { description: 'The idTag may start a transaction.' },
    RESERVED: { description: 'The connector, or every connector of the charger, is held for somebody else.' },
    BLOCKED: { description: 'The idTag is blocked.' },
    EXPIRED: { description: 'The idTag has expired.' },
    INVALID: { description: 'The idTag is not known here.' },
  },
});

@ObjectType('IdTag', { description: 'A driver’s credential.' })
class IdTagType {
  @Field(() => ID, { description: 'The credential itself; compared without regard to case.' })
  idTag!: string;

  @Field(() => TokenTypeEnum, { description: 'The type of the credential.' })
  tokenType!: TokenTypeEnum;

  @Field(() => String, { nullable: true, description: 'The group it belongs to.' })
  parentIdTag?: string;

  @Field(() => IdTagStatusEnum, { description: 'Whether it may be used.' })
  status!: IdTagStatusEnum;

  @Field(() => Date, { nullable: true, description: 'When the idTag expires; null: never.' })
  expiryDate?: Date;
}

@ObjectType('Authorization', {
  description: 'Whether an idTag may start a transaction at a charger or a connector now.',
})
class AuthorizationType {
  @Field(() => AuthorizationStatus, { description: 'The decision.' })
  status!: AuthorizationStatus;

  @Field(() => Date, { nullable: true, description: 'If RESERVED: when the hold ends at the latest.' })
  reservedUntil?: Date;
}

@InputType({ description: 'An idTag to create or change.' })
class SaveIdTagInput {
  @Field(() => ID, { description: 'The credential: 1 to 255 printable characters (20 for OCPP 1.6, 36 for 2.0.1).' })
  idTag!: string;

  @Field(() => TokenTypeEnum, { defaultValue: TokenTypeEnum.ISO14443, description: 'The type of the credential.' })
  tokenType!: TokenTypeEnum;

  @Field(() => String, { nullable: true, description: 'The group it belongs to.' })
  parentIdTag?: string | null;

  @Field(() => IdTagStatusEnum, { defaultValue: IdTagStatusEnum.ACCEPTED, description: 'Whether it may be used.' })
  status!: IdTagStatusEnum;

  @Field(() => Date, { nullable: true, description: 'When the idTag expires; null: never.' })
  expiryDate?: Date | null;
}

const SaveIdTagResult = resultUnion({
  name: 'SaveIdTagResult',
  description: 'The saved idTag, or why it was not saved.',
  success: IdTagType,
  refusals: [InvalidInput, NotAllowed],
});

const RemoveIdTagResult = resultUnion({
  name: 'RemoveIdTagResult',
  description: 'The removed idTag, or why it was not removed.',
  success: Removed,
  refusals: [NotFound, NotAllowed],
});

const IdTagConnection = pageTypes(IdTagType, 'IdTag', 'idTags');

@Resolver(() => IdTagType)
export class IdTagResolver {
  constructor(
    private readonly ports: AdministrationPorts,
    private readonly charging: AuthorizingPorts,
  ) {}

  @Query(() => AuthorizationType, {
    nullable: true,
    description:
      'Whether this idTag may start a transaction here now; null if there is no such charger, or if you may not see it.',
  })
  async authorization(
    @Arg('chargerId', () => ID, { description: 'The charger.' }) chargerId: string,
    @Arg('connectorId', () => Int, { defaultValue: 0, description: 'The connector; 0: any connector of the charger.' })
    connectorId: number,
    @Arg('idTag', () => String, { description: 'The idTag that wants to start; a driver may give only its own.' })
    idTag: string,
    @Ctx() { caller, load }: ApiContext,
  ): Promise<Authorization | undefined> {
    if (connectorId < 0) throw badInput('connectorId', 'It must be 0 or more.');
    if (!mayUseIdTag(caller, idTag)) throw forbidden('A driver may ask only for its own idTags.');
    const charger = await load.charger(chargerId);
    if (!charger || !maySeeSite(caller, charger.siteId)) return undefined;
    return authorizeIdTag(this.charging, chargerId, connectorId, idTag, this.ports.clock.now());
  }

  @Query(() => IdTagConnection, {
    name: 'idTags',
    description: 'All idTags, in ascending order. For admins and operators.',
  })
  list(@Args(() => PageArgs) page: PageArgs): Promise<Page<IdTag>> {
    return readPage(
      page,
      ({ idTag }) => [idTag],
      (limit, after) => this.ports.idTags.page(limit, after?.[0]),
    );
  }

  @Mutation(() => SaveIdTagResult, { description: 'Creates or changes an idTag. For admins.' })
  saveIdTag(@Arg('input', () => SaveIdTagInput, { description: 'The idTag.' }) input: SaveIdTagInput) {
    const { idTag, tokenType, status } = input;
    const { parentIdTag, expiryDate } = present(input);
    return saveIdTag(this.ports, { idTag, tokenType, status, ...present({ parentIdTag, expiryDate }) });
  }

  @Mutation(() => RemoveIdTagResult, {
    description: 'Removes an idTag: it can no longer start a transaction. For admins.',
  })
  removeIdTag(@Arg('idTag', () => ID, { description: 'The idTag.' }) idTag: string) {
    return removeIdTag(this.ports, idTag);
  }
}
