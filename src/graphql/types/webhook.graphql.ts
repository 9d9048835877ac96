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
import {
  pauseWebhook,
  removeWebhook,
  resumeWebhook,
  rotateWebhookSecret,
  saveWebhook,
  type WebhookPorts,
} from '../../webhook/manage-webhooks.ts';
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
  description: 'Why a webhook is paused. `resumeWebhook` starts it again.',
  valuesConfig: {
    REQUESTED: { description: 'Somebody paused it, or revoked the API key that created it.' },
    UNREACHABLE: { description: 'Nothing could be delivered for a day.' },
    GONE: { description: 'The receiver answered 410 (Gone).' },
    CURSOR_EXPIRED: { description: 'The event log no longer reaches back to what was delivered last.' },
  },
});

@ObjectType('Webhook', { description: 'An address that receives events as signed messages (Standard Webhooks).' })
class WebhookType {
  @Field(() => ID, { description: 'Its key.' })
  id!: string;

  @Field(() => String, { description: 'Human-readable name.' })
  name!: string;

  @Field(() => String, { description: 'Where messages are sent.' })
  url!: string;

  @Field(() => [String], { nullable: true, description: 'Sites whose events it receives; null: all.' })
  siteIds?: readonly string[];

  @Field(() => [String], {
    nullable: true,
    description: 'Event types that it receives, such as `reservation.accepted`; null: all.',
  })
  types?: readonly string[];

  @Field(() => PauseReasonEnum, { nullable: true, description: 'Why it is paused; null: it is not.' })
  pausedFor?: PauseReason;

  @Field(() => Date, { nullable: true, description: 'When a message was last delivered.' })
  deliveredAt?: Date;

  @Field(() => Date, { nullable: true, description: 'Since when deliveries fail; null: they do not.' })
  failingSince?: Date;

  @Field(() => Int, { description: 'Failed attempts in a row.' })
  attempts!: number;

  @Field(() => String, { nullable: true, description: 'Why the last attempt failed.' })
  lastError?: string;

  @Field(() => Date, { description: 'When it was created.' })
  createdAt!: Date;

  @Field(() => String, { description: 'Subject of the caller that created it.' })
  createdBy!: string;
}

@ObjectType({ description: 'A webhook as saved.' })
class SavedWebhook {
  @Field(() => WebhookType, { description: 'The webhook.' })
  webhook!: Webhook;

  @Field(() => String, {
    nullable: true,
    description:
      'The secret that signs its messages (`whsec_…`); present only when it was created or rotated, and never shown again.',
  })
  secret?: string;
}

@ObjectType({ implements: Refusal, description: 'Webhooks are off: this server has no key for their secrets.' })
class WebhooksOff extends Refusal {}

@InputType({ description: 'A webhook to create or to change.' })
class SaveWebhookInput {
  @Field(() => ID, { nullable: true, description: 'Its key; without it, a new webhook is created.' })
  id?: string | null;

  @Field(() => String, { description: 'Human-readable name.' })
  name!: string;

  @Field(() => String, { description: 'Where messages are sent: https, and no address of a private network.' })
  url!: string;

  @Field(() => [ID], {
    nullable: true,
    description:
      'Sites whose events it receives. An operator must name its own; an admin may leave this out for all sites.',
  })
  siteIds?: string[] | null;

  @Field(() => [String], {
    nullable: true,
    description:
      'Event types that it receives, such as `reservation.accepted` or `connector.state_changed`. Default: all.',
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
  description: 'The key of the removed webhook, or why it was not removed.',
  success: Removed,
  refusals: [NotFound, WebhooksOff, NotAllowed],
});

const WebhookConnection = pageTypes(WebhookType, 'Webhook', 'webhooks');

@Resolver(() => WebhookType)
export class WebhookResolver {
  constructor(private readonly ports: WebhookPorts) {}

  @Query(() => WebhookConnection, {
    name: 'webhooks',
    description: 'The webhooks, the newest first. Admins see all; operators those that are limited to their sites.',
  })
  list(@Args(() => PageArgs) page: PageArgs, @Ctx() { caller }: ApiContext): Promise<Page<Webhook>> {
    const { siteIds } = siteScope(caller);
    return readPage(page, newestKey, (limit, after) => this.ports.webhooks.page(limit, fromNewestKey(after), siteIds));
  }

  @Mutation(() => SaveWebhookResult, {
    description:
      'Creates or changes a webhook. A new one receives events from now on. One creator may have 50. Admins, and operators of its sites.',
  })
  saveWebhook(
    @Arg('input', () => SaveWebhookInput, { description: 'The webhook.' }) input: SaveWebhookInput,
    @Ctx() { caller }: ApiContext,
  ) {
    const { name, url, ...rest } = input;
    return saveWebhook(this.ports, caller, { name, url, ...present(rest) });
  }

  @Mutation(() => RemoveWebhookResult, { description: 'Removes a webhook. For admins and operators of its sites.' })
  removeWebhook(@Arg('id', () => ID, { description: 'Its key.' }) id: string, @Ctx() { caller }: ApiContext) {
    return removeWebhook(this.ports, caller, id);
  }

  @Mutation(() => SaveWebhookResult, {
    description: 'Pauses a webhook: nothing is sent to it until it is resumed. Admins, and operators of its sites.',
  })
  pauseWebhook(@Arg('id', () => ID, { description: 'Its key.' }) id: string, @Ctx() { caller }: ApiContext) {
    return pauseWebhook(this.ports, caller, id);
  }

  @Mutation(() => SaveWebhookResult, {
    description:
      'Resumes a webhook at once: from where it stopped or, to deliver events again, after a cursor. For admins and operators of its sites.',
  })
  resumeWebhook(
    @Arg('id', () => ID, { description: 'Its key.' }) id: string,
    @Arg('after', () => String, {
      nullable: true,
      description: 'The `cursor` of an event: all events after it are delivered again.',
    })
    after: string | null | undefined,
    @Ctx() { caller }: ApiContext,
  ) {
    return resumeWebhook(this.ports, caller, id, after ?? undefined);
  }

  @Mutation(() => SaveWebhookResult, {
    description:
      'Gives a webhook a new secret; for a day its messages are signed with the old one, too. Admins, and operators of its sites.',
  })
  rotateWebhookSecret(@Arg('id', () => ID, { description: 'Its key.' }) id: string, @Ctx() { caller }: ApiContext) {
    return rotateWebhookSecret(this.ports, caller, id);
  }

  @FieldResolver(() => String, { description: 'Everything up to this position in the event log was delivered.' })
  cursor(@Root() { position }: Webhook): string {
    return toCursor({ position });
  }
}
