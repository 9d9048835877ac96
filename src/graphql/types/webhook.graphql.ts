// Webhooks in the API.
import {
  Arg,
  Args,
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
  registerEnumType,
} from 'type-graphql';
import { fromNewestKey, newestKey } from '../../common/page.ts';
import { present } from '../../common/present.ts';
import { siteScope } from '../../model/access/rights.ts';
import { toCursor } from '../../model/events/cursor.ts';
import type { PauseReason, Webhook } from '../../model/events/webhook.ts';
import type { WebhookRepository } from '../../storage/events/webhook.repository.ts';
import type { ManageWebhooks } from '../../webhook/manage-webhooks.ts';
import type { ApiContext } from '../operations/context.ts';
import { type Page, PageArgs, pageTypes, readPage } from '../operations/page.ts';
import { InvalidInput, NotAllowed, NotFound, Refusal, resultUnion } from '../operations/refusals.ts';
import { Removed } from './site.graphql.ts';

const PauseReasonEnum: Record<PauseReason, PauseReason> = {
  REQUESTED: 'REQUESTED',
  UNREACHABLE: 'UNREACHABLE',
  GONE: 'GONE',
  CURSOR_EXPIRED: 'CURSOR_EXPIRED',
};
registerEnumType(PauseReasonEnum, {
  name: 'WebhookPauseReason',
  description: 'Why nothing is sent to a webhook. `resumeWebhook` goes on.',
  valuesConfig: {
    REQUESTED: { description: 'Somebody paused it.' },
    UNREACHABLE: { description: 'For a day nothing could be delivered.' },
    GONE: { description: 'It answered 410.' },
    CURSOR_EXPIRED: { description: 'The log of events does not reach back to what was delivered last.' },
  },
});

@ObjectType('Webhook', { description: 'An address that is told of events, by signed messages (Standard Webhooks).' })
class WebhookType {
  @Field(() => ID, { description: 'Its key.' })
  id!: string;

  @Field(() => String, { description: 'Name for people.' })
  name!: string;

  @Field(() => String, { description: 'Where messages are sent.' })
  url!: string;

  @Field(() => [String], { nullable: true, description: 'Of which sites; null: of all.' })
  siteIds?: readonly string[];

  @Field(() => [String], { nullable: true, description: 'Of which types, such as `reservation.accepted`; null: all.' })
  types?: readonly string[];

  @Field(() => PauseReasonEnum, { nullable: true, description: 'Why nothing is sent; null: it is.' })
  pausedFor?: PauseReason;

  @Field(() => Date, { nullable: true, description: 'When it last took a message.' })
  deliveredAt?: Date;

  @Field(() => Date, { nullable: true, description: 'Since when it takes none; null: it does.' })
  failingSince?: Date;

  @Field(() => Int, { description: 'Attempts since then.' })
  attempts!: number;

  @Field(() => String, { nullable: true, description: 'What went wrong last.' })
  lastError?: string;

  @Field(() => Date, { description: 'When it was made.' })
  createdAt!: Date;

  @Field(() => String, { description: 'Subject of who made it.' })
  createdBy!: string;
}

@ObjectType({ description: 'A webhook as saved.' })
class SavedWebhook {
  @Field(() => WebhookType, { description: 'The webhook.' })
  webhook!: Webhook;

  @Field(() => String, {
    nullable: true,
    description: 'The secret that signs its messages (`whsec_…`), when it was made or changed; it is not told again.',
  })
  secret?: string;
}

@ObjectType({ implements: Refusal, description: 'This server has no key for the secrets of webhooks.' })
class WebhooksOff extends Refusal {}

@InputType({ description: 'A webhook to make or to change.' })
class SaveWebhookInput {
  @Field(() => ID, { nullable: true, description: 'Its key; without it, a new one is made.' })
  id?: string | null;

  @Field(() => String, { description: 'Name for people.' })
  name!: string;

  @Field(() => String, { description: 'Where messages are sent: https, and no address of a private network.' })
  url!: string;

  @Field(() => [ID], {
    nullable: true,
    description: 'Of which sites. An operator names its own; admins may leave it out: all.',
  })
  siteIds?: string[] | null;

  @Field(() => [String], {
    nullable: true,
    description: 'Of which types, such as `reservation.accepted` or `connector.state_changed`. Default: all.',
  })
  types?: string[] | null;
}

const SaveWebhookResult = resultUnion({
  name: 'SaveWebhookResult',
  description: 'The webhook as it is now, or why nothing was changed.',
  success: SavedWebhook,
  refusals: [InvalidInput, NotFound, WebhooksOff, NotAllowed],
});

const RemoveWebhookResult = resultUnion({
  name: 'RemoveWebhookResult',
  description: 'That it was removed, or why not.',
  success: Removed,
  refusals: [NotFound, WebhooksOff, NotAllowed],
});

const WebhookConnection = pageTypes(WebhookType, 'Webhook', 'webhooks');

@Resolver(() => WebhookType)
export class WebhookResolver {
  constructor(
    private readonly webhooks: WebhookRepository,
    private readonly manage: ManageWebhooks,
  ) {}

  @Query(() => WebhookConnection, {
    name: 'webhooks',
    description: 'The webhooks, the newest first. Admins; operators those of their sites alone.',
  })
  list(@Args(() => PageArgs) page: PageArgs, @Ctx() { caller }: ApiContext): Promise<Page<Webhook>> {
    const { siteIds } = siteScope(caller);
    return readPage(page, newestKey, (limit, after) => this.webhooks.page(limit, fromNewestKey(after), siteIds));
  }

  @Mutation(() => SaveWebhookResult, {
    description:
      'Makes or changes a webhook. A new one is told of what happens from now on. One maker may have 50. Admins, and operators of its sites.',
  })
  saveWebhook(
    @Arg('input', () => SaveWebhookInput, { description: 'The webhook.' }) input: SaveWebhookInput,
    @Ctx() { caller }: ApiContext,
  ) {
    const { name, url, ...rest } = input;
    return this.manage.save(caller, { name, url, ...present(rest) });
  }

  @Mutation(() => RemoveWebhookResult, { description: 'Removes a webhook. Admins, and operators of its sites.' })
  removeWebhook(@Arg('id', () => ID, { description: 'Its key.' }) id: string, @Ctx() { caller }: ApiContext) {
    return this.manage.remove(caller, id);
  }

  @Mutation(() => SaveWebhookResult, {
    description: 'Sends nothing more to a webhook until it is resumed. Admins, and operators of its sites.',
  })
  pauseWebhook(@Arg('id', () => ID, { description: 'Its key.' }) id: string, @Ctx() { caller }: ApiContext) {
    return this.manage.pause(caller, id);
  }

  @Mutation(() => SaveWebhookResult, {
    description:
      'Goes on with a webhook, at once: from where it stopped, or, to tell it again, behind a cursor. Admins, and operators of its sites.',
  })
  resumeWebhook(
    @Arg('id', () => ID, { description: 'Its key.' }) id: string,
    @Arg('after', () => String, {
      nullable: true,
      description: 'The `cursor` of an event: all that came behind it is delivered again.',
    })
    after: string | null | undefined,
    @Ctx() { caller }: ApiContext,
  ) {
    return this.manage.resume(caller, id, after ?? undefined);
  }

  @Mutation(() => SaveWebhookResult, {
    description: 'Gives a webhook a new secret; for a day the old one signs, too. Admins, and operators of its sites.',
  })
  rotateWebhookSecret(@Arg('id', () => ID, { description: 'Its key.' }) id: string, @Ctx() { caller }: ApiContext) {
    return this.manage.rotateSecret(caller, id);
  }

  @FieldResolver(() => String, { description: 'Everything up to this place of the log of events was delivered.' })
  cursor(@Root() { position }: Webhook): string {
    return toCursor({ position });
  }
}
