// API keys in the API: for those who administer machine clients.
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
  registerEnumType,
} from 'type-graphql';
import type { CreateApiKey, RevokeApiKey } from '../../administration/manage-api-keys.ts';
import { fromNewestKey, newestKey } from '../../common/page.ts';
import { present } from '../../common/present.ts';
import type { ApiKey } from '../../model/access/api-key.ts';
import type { Role } from '../../model/access/caller.ts';
import type { ApiKeyRepository } from '../../storage/access/api-key.repository.ts';
import type { ApiContext } from '../operations/context.ts';
import { type Page, PageArgs, pageTypes, readPage } from '../operations/page.ts';
import { InvalidInput, NotAllowed, NotFound, resultUnion } from '../operations/refusals.ts';

export const RoleEnum: Record<Role, Role> = { DRIVER: 'DRIVER', OPERATOR: 'OPERATOR', ADMIN: 'ADMIN' };
registerEnumType(RoleEnum, {
  name: 'Role',
  description: 'What a caller is.',
  valuesConfig: {
    DRIVER: { description: 'Reserves with its own idTags, or for its groups.' },
    OPERATOR: { description: 'Everything at its sites.' },
    ADMIN: { description: 'Everything.' },
  },
});

@ObjectType('ApiKey', { description: 'What a machine client calls with. The key itself is told only when it is made.' })
class ApiKeyType {
  @Field(() => ID, { description: 'Its id; no secret.' })
  id!: string;

  @Field(() => String, { description: 'Name for people.' })
  name!: string;

  @Field(() => [String], { description: 'What it may do, for example `reservations:read`.' })
  scopes!: string[];

  @Field(() => Date, { description: 'When it was made.' })
  createdAt!: Date;

  @Field(() => String, { description: 'Subject of who made it.' })
  createdBy!: string;

  @Field(() => Date, { description: 'From then on it is not good any more.' })
  expiresAt!: Date;

  @Field(() => Date, { nullable: true, description: 'When it was last used, to the minute; null: never.' })
  lastUsedAt?: Date;

  @Field(() => Date, { nullable: true, description: 'Since when it is not good any more; null: it was not revoked.' })
  revokedAt?: Date;

  @Field(() => String, { nullable: true, description: 'Subject of who revoked it.' })
  revokedBy?: string;
}

@ObjectType({ description: 'An API key that was made.' })
class CreatedApiKey {
  @Field(() => ApiKeyType, { description: 'What is kept of it.' })
  apiKey!: ApiKey;

  @Field(() => String, { description: 'The key itself: `Authorization: Bearer …`. It is not told again.' })
  secret!: string;
}

@InputType({ description: 'An API key to make. It can do no more than its maker.' })
class CreateApiKeyInput {
  @Field(() => String, { description: 'Name for people: what uses it.' })
  name!: string;

  @Field(() => RoleEnum, { description: 'What the client is.' })
  role!: Role;

  @Field(() => [String], { nullable: true, description: 'Of OPERATOR: its sites.' })
  sites?: string[] | null;

  @Field(() => [String], { nullable: true, description: 'Of DRIVER: its idTags.' })
  idTags?: string[] | null;

  @Field(() => [String], { nullable: true, description: 'Of DRIVER: the groups it reserves for alone.' })
  groups?: string[] | null;

  @Field(() => [String], {
    nullable: true,
    description: 'What it may do, for example `reservations:read`. Default: all that the role allows.',
  })
  scopes?: string[] | null;

  @Field(() => Date, { nullable: true, description: 'When it expires; default: in 365 days.' })
  expiresAt?: Date | null;
}

const CreateApiKeyResult = resultUnion({
  name: 'CreateApiKeyResult',
  description: 'The key, or why none was made.',
  success: CreatedApiKey,
  refusals: [InvalidInput, NotAllowed],
});

const RevokeApiKeyResult = resultUnion({
  name: 'RevokeApiKeyResult',
  description: 'The key as it is now, or why it was not revoked.',
  success: ApiKeyType,
  refusals: [NotFound, NotAllowed],
});

const ApiKeyConnection = pageTypes(ApiKeyType, 'ApiKey', 'API keys');

@Resolver(() => ApiKeyType)
export class ApiKeyResolver {
  constructor(
    private readonly keys: ApiKeyRepository,
    private readonly create: CreateApiKey,
    private readonly revoke: RevokeApiKey,
  ) {}

  @Query(() => ApiKeyConnection, { name: 'apiKeys', description: 'The API keys, the newest first. Admins.' })
  list(@Args(() => PageArgs) page: PageArgs): Promise<Page<ApiKey>> {
    return readPage(page, newestKey, (limit, after) => this.keys.page(limit, fromNewestKey(after)));
  }

  @Mutation(() => CreateApiKeyResult, {
    description: 'Makes an API key for a machine client. Admins, with a token: no API key makes another.',
  })
  createApiKey(
    @Arg('input', () => CreateApiKeyInput, { description: 'The key.' }) input: CreateApiKeyInput,
    @Ctx() { caller }: ApiContext,
  ) {
    const { name, role, ...rest } = input;
    return this.create(caller, { name, role, ...present(rest) });
  }

  @Mutation(() => RevokeApiKeyResult, {
    description:
      'Revokes an API key for good; what it has open ends within a minute, and the webhooks it made are paused. Admins.',
  })
  revokeApiKey(@Arg('id', () => ID, { description: 'Its id.' }) id: string, @Ctx() { caller }: ApiContext) {
    return this.revoke(caller, id);
  }

  @FieldResolver(() => RoleEnum, { description: 'What the client is.' })
  role(@Root() { reach }: ApiKey): Role {
    return reach.role;
  }

  @FieldResolver(() => [String], { description: 'Of OPERATOR: its sites.' })
  sites(@Root() { reach }: ApiKey): readonly string[] {
    return reach.role === 'OPERATOR' ? reach.sites : [];
  }

  @FieldResolver(() => [String], { description: 'Of DRIVER: its idTags.' })
  idTags(@Root() { reach }: ApiKey): readonly string[] {
    return reach.role === 'DRIVER' ? reach.idTags : [];
  }

  @FieldResolver(() => [String], { description: 'Of DRIVER: the groups it reserves for alone.' })
  groups(@Root() { reach }: ApiKey): readonly string[] {
    return reach.role === 'DRIVER' ? reach.groups : [];
  }
}
