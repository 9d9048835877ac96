// API keys in the GraphQL API: admins list, create and revoke the keys of machine clients.

import {
  Arg,
  Args,
  Ctx,
  Field,
  FieldResolver,
  ID,
  InputType,
  Mutation,
  ObjectType,
  Query,
  Resolver,
  Root,
} from 'type-graphql';
import { createApiKey, revokeApiKey } from '../../administration/manage-api-keys.ts';
import { type AdministrationPorts } from '../../administration/ports.ts';
import { fromNewestKey, newestKey } from '../../common/page.ts';
import { present } from '../../common/present.ts';
import type { ApiKey } from '../../model/access/api-key.ts';
import type { Role } from '../../model/access/caller.ts';
import type { ApiContext } from '../operations/context.ts';
import { type Page, PageArgs, pageTypes, readPage } from '../operations/page.ts';
import { InvalidInput, NotAllowed, NotFound, resultUnion } from '../operations/refusals.ts';
import { RoleEnum } from './role.graphql.ts';

@ObjectType('ApiKey', {
  description: 'A credential of a machine client. The key itself is returned only once, when it is created.',
})
class ApiKeyType {
  @Field(() => ID, { description: 'Id of the key; not a secret.' })
  id!: string;

  @Field(() => String, { description: 'Human-readable name.' })
  name!: string;

  @Field(() => [String], { description: 'Its permissions, for example `reservations:read`.' })
  scopes!: string[];

  @Field(() => Date, { description: 'When the key was created.' })
  createdAt!: Date;

  @Field(() => String, { description: 'Subject of the caller who created it.' })
  createdBy!: string;

  @Field(() => Date, { description: 'When it expires; from then on it is refused.' })
  expiresAt!: Date;

  @Field(() => Date, { nullable: true, description: 'When it was last used, to the minute; null: never.' })
  lastUsedAt?: Date;

  @Field(() => Date, { nullable: true, description: 'When it was revoked; null if it was not.' })
  revokedAt?: Date;

  @Field(() => String, { nullable: true, description: 'Subject of the caller who revoked it.' })
  revokedBy?: string;
}

@ObjectType({ description: 'A new API key, with its secret.' })
class CreatedApiKey {
  @Field(() => ApiKeyType, { description: 'The key as it is stored.' })
  apiKey!: ApiKey;

  @Field(() => String, {
    description: 'The key itself: send it as `Authorization: Bearer …`. It cannot be read again.',
  })
  secret!: string;
}

@InputType({ description: 'An API key to create. It cannot have a permission that its creator lacks.' })
class CreateApiKeyInput {
  @Field(() => String, { description: 'Human-readable name of the client that uses the key.' })
  name!: string;

  @Field(() => RoleEnum, { description: 'The role of the client.' })
  role!: Role;

  @Field(() => [String], { nullable: true, description: 'The sites of an OPERATOR; empty for other roles.' })
  sites?: string[] | null;

  @Field(() => [String], { nullable: true, description: 'The idTags of a DRIVER; empty for other roles.' })
  idTags?: string[] | null;

  @Field(() => [String], {
    nullable: true,
    description: 'The groups that a DRIVER may reserve for without an idTag; empty for other roles.',
  })
  groups?: string[] | null;

  @Field(() => [String], {
    nullable: true,
    description: 'Its permissions, for example `reservations:read`. Default: every permission of the role.',
  })
  scopes?: string[] | null;

  @Field(() => Date, { nullable: true, description: 'When it expires; default: in 365 days.' })
  expiresAt?: Date | null;
}

const CreateApiKeyResult = resultUnion({
  name: 'CreateApiKeyResult',
  description: 'The new key, or the reason why none was created.',
  success: CreatedApiKey,
  refusals: [InvalidInput, NotAllowed],
});

const RevokeApiKeyResult = resultUnion({
  name: 'RevokeApiKeyResult',
  description: 'The revoked key, or the reason why it was not revoked.',
  success: ApiKeyType,
  refusals: [NotFound, NotAllowed],
});

const ApiKeyConnection = pageTypes(ApiKeyType, 'ApiKey', 'API keys');

@Resolver(() => ApiKeyType)
export class ApiKeyResolver {
  constructor(private readonly ports: AdministrationPorts) {}

  @Query(() => ApiKeyConnection, { name: 'apiKeys', description: 'The API keys, newest first. Admins only.' })
  list(@Args(() => PageArgs) page: PageArgs): Promise<Page<ApiKey>> {
    return readPage(page, newestKey, (limit, after) => this.ports.apiKeys.page(limit, fromNewestKey(after)));
  }

  @Mutation(() => CreateApiKeyResult, {
    description:
      'Creates an API key for a machine client. Admins only, and only with a token: an API key cannot create another.',
  })
  createApiKey(
    @Arg('input', () => CreateApiKeyInput, { description: 'The key.' }) input: CreateApiKeyInput,
    @Ctx() { caller }: ApiContext,
  ) {
    const { name, role, ...rest } = input;
    return createApiKey(this.ports, caller, { name, role, ...present(rest) });
  }

  @Mutation(() => RevokeApiKeyResult, {
    description:
      'Revokes an API key for good. Its open connections end within a minute, and the webhooks it created are paused. Admins only.',
  })
  revokeApiKey(@Arg('id', () => ID, { description: 'Its id.' }) id: string, @Ctx() { caller }: ApiContext) {
    return revokeApiKey(this.ports, caller, id);
  }

  @FieldResolver(() => RoleEnum, { description: 'The role of the client.' })
  role(@Root() { reach }: ApiKey): Role {
    return reach.role;
  }

  @FieldResolver(() => [String], { description: 'The sites of an OPERATOR; empty for other roles.' })
  sites(@Root() { reach }: ApiKey): readonly string[] {
    return reach.role === 'OPERATOR' ? reach.sites : [];
  }

  @FieldResolver(() => [String], { description: 'The idTags of a DRIVER; empty for other roles.' })
  idTags(@Root() { reach }: ApiKey): readonly string[] {
    return reach.role === 'DRIVER' ? reach.idTags : [];
  }

  @FieldResolver(() => [String], {
    description: 'The groups that a DRIVER may reserve for without an idTag; empty for other roles.',
  })
  groups(@Root() { reach }: ApiKey): readonly string[] {
    return reach.role === 'DRIVER' ? reach.groups : [];
  }
}
