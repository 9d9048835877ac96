// The audit log in the GraphQL API, for admins only.
import { Args, ArgsType, Field, ID, InputType, ObjectType, Query, Resolver, registerEnumType } from 'type-graphql';
import { noCursor } from '../../common/page.ts';
import { present } from '../../common/present.ts';
import type { Source } from '../../model/access/audit-entry.ts';
import type { Role } from '../../model/access/caller.ts';
import type { AuditFilter, AuditRepository, KeptAuditEntry } from '../../storage/access/audit.repository.ts';
import { type Page, PageArgs, pageTypes, readPage } from '../operations/page.ts';
import { RoleEnum } from './role.graphql.ts';

const ViaEnum: Record<Source['via'], Source['via']> = {
  GRAPHQL: 'GRAPHQL',
  WEBSOCKET: 'WEBSOCKET',
  EVENT_STREAM: 'EVENT_STREAM',
  REST: 'REST',
};
registerEnumType(ViaEnum, {
  name: 'Via',
  description: 'The interface through which a request came.',
  valuesConfig: {
    GRAPHQL: { description: 'GraphQL over HTTP.' },
    WEBSOCKET: { description: 'GraphQL over WebSocket.' },
    EVENT_STREAM: { description: 'GraphQL over Server-Sent Events.' },
    REST: { description: 'A REST route.' },
  },
});

@ObjectType('AuditEntry', { description: 'A requested change and its result. An entry is never modified.' })
class AuditEntryType {
  @Field(() => ID, { description: 'Number of the entry in the log.' })
  id!: string;

  @Field(() => Date, { description: 'When the change was done, refused or failed.' })
  at!: Date;

  @Field(() => String, {
    description: 'Who requested the change: the subject of the token, or `api-key:` and the id of the key.',
  })
  subject!: string;

  @Field(() => RoleEnum, { description: 'The role of the caller.' })
  role!: Role;

  @Field(() => ID, { nullable: true, description: 'Id of the API key used; null if it was a token.' })
  apiKeyId?: string;

  @Field(() => String, { description: 'Address of the client.' })
  address!: string;

  @Field(() => ViaEnum, { description: 'Interface of the request.' })
  via!: Source['via'];

  @Field(() => String, { description: 'Name of the mutation.' })
  operation!: string;

  @Field(() => String, {
    nullable: true,
    description: 'Key of the object that was changed or created, or was meant to be.',
  })
  target?: string;

  @Field(() => String, {
    description:
      'The input as JSON, with secrets masked; cut after 4000 characters, or after 1000 if the result is not OK.',
  })
  input!: string;

  @Field(() => String, {
    description: 'OK, the code of the refusal, or FAULT: the change failed and its outcome is unknown.',
  })
  result!: string;
}

@InputType({ description: 'Which audit entries to return; an absent field does not filter.' })
class AuditFilterInput {
  @Field(() => String, { nullable: true, description: 'Only entries of this subject.' })
  subject?: string | null;

  @Field(() => String, { nullable: true, description: 'Only entries of this mutation.' })
  operation?: string | null;

  @Field(() => String, {
    nullable: true,
    description: 'Only entries about this charger, site, idTag or reservation, by its key.',
  })
  target?: string | null;

  @Field(() => String, { nullable: true, description: 'Only entries with this result.' })
  result?: string | null;

  @Field(() => Date, { nullable: true, description: 'Only entries from this instant on.' })
  from?: Date | null;

  @Field(() => Date, { nullable: true, description: 'Until then.' })
  to?: Date | null;
}

@ArgsType()
class AuditEntriesArgs extends PageArgs {
  @Field(() => AuditFilterInput, { nullable: true, description: 'Which entries to return; absent: all.' })
  filter?: AuditFilterInput | null;
}

const AuditEntryConnection = pageTypes(AuditEntryType, 'AuditEntry', 'audit entries');

@Resolver()
export class AuditResolver {
  constructor(private readonly entries: AuditRepository) {}

  @Query(() => AuditEntryConnection, {
    description:
      'The audit log: who requested which change, from where, and with what result; newest first. Admins only.',
  })
  auditEntries(@Args(() => AuditEntriesArgs) { filter, ...page }: AuditEntriesArgs): Promise<Page<KeptAuditEntry>> {
    return readPage(
      page,
      ({ id }) => [id],
      (limit, after) => this.entries.page(present(filter ?? {}) as AuditFilter, limit, after && toId(after)),
    );
  }
}

function toId([id = '']: readonly string[]): string {
  if (!/^\d{1,18}$/.test(id)) throw noCursor();
  return id;
}
