// The audit log in the API: for admins.
import { Args, ArgsType, Field, ID, InputType, ObjectType, Query, Resolver, registerEnumType } from 'type-graphql';
import { noCursor } from '../../common/page.ts';
import { present } from '../../common/present.ts';
import type { Source } from '../../model/access/audit-entry.ts';
import type { Role } from '../../model/access/caller.ts';
import type { AuditFilter, AuditRepository, KeptAuditEntry } from '../../storage/access/audit.repository.ts';
import { type Page, PageArgs, pageTypes, readPage } from '../operations/page.ts';
import { RoleEnum } from './api-key.graphql.ts';

const ViaEnum: Record<Source['via'], Source['via']> = {
  GRAPHQL: 'GRAPHQL',
  WEBSOCKET: 'WEBSOCKET',
  EVENT_STREAM: 'EVENT_STREAM',
  REST: 'REST',
};
registerEnumType(ViaEnum, {
  name: 'Via',
  description: 'By which of the ways in a request came.',
  valuesConfig: {
    GRAPHQL: { description: 'GraphQL over HTTP.' },
    WEBSOCKET: { description: 'GraphQL over WebSocket.' },
    EVENT_STREAM: { description: 'GraphQL over Server-Sent Events.' },
    REST: { description: 'A REST route.' },
  },
});

@ObjectType('AuditEntry', { description: 'A change that somebody asked for, and what came of it. It never changes.' })
class AuditEntryType {
  @Field(() => ID, { description: 'Its number in the log.' })
  id!: string;

  @Field(() => Date, { description: 'When it was done, or refused.' })
  at!: Date;

  @Field(() => String, { description: 'Who asked: the subject of the token, or `api-key:` and its id.' })
  subject!: string;

  @Field(() => RoleEnum, { description: 'As what.' })
  role!: Role;

  @Field(() => ID, { nullable: true, description: 'With which API key; null: with a token.' })
  apiKeyId?: string;

  @Field(() => String, { description: 'From which address.' })
  address!: string;

  @Field(() => ViaEnum, { description: 'By which way.' })
  via!: Source['via'];

  @Field(() => String, { description: 'The mutation.' })
  operation!: string;

  @Field(() => String, { nullable: true, description: 'The key of what was changed or made, or was to be.' })
  target?: string;

  @Field(() => String, {
    description:
      'What was asked for, as JSON, without secrets; cut after 4000 characters, of what was refused after 1000.',
  })
  input!: string;

  @Field(() => String, {
    description: 'OK; or the code of the refusal; or FAULT: it failed, and what came of it is not known.',
  })
  result!: string;
}

@InputType({ description: 'Which entries; what is left out does not filter.' })
class AuditFilterInput {
  @Field(() => String, { nullable: true, description: 'Of this subject.' })
  subject?: string | null;

  @Field(() => String, { nullable: true, description: 'This mutation.' })
  operation?: string | null;

  @Field(() => String, { nullable: true, description: 'Of this charger, site, idTag or reservation, by its key.' })
  target?: string | null;

  @Field(() => String, { nullable: true, description: 'With this result.' })
  result?: string | null;

  @Field(() => Date, { nullable: true, description: 'From then on.' })
  from?: Date | null;

  @Field(() => Date, { nullable: true, description: 'Until then.' })
  to?: Date | null;
}

@ArgsType()
class AuditEntriesArgs extends PageArgs {
  @Field(() => AuditFilterInput, { nullable: true, description: 'Which entries; without it, all.' })
  filter?: AuditFilterInput | null;
}

const AuditEntryConnection = pageTypes(AuditEntryType, 'AuditEntry', 'audit entries');

@Resolver()
export class AuditResolver {
  constructor(private readonly entries: AuditRepository) {}

  @Query(() => AuditEntryConnection, {
    description: 'Who asked for which change, from where, and what came of it: the newest first. Admins.',
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
