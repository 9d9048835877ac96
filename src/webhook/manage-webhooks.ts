// Administers webhooks: creates, changes, pauses and removes them, rotates their secrets, and resumes them from any
// position of the log. An operator administers those that are limited to its own sites.
import { randomUUID } from 'node:crypto';
import { addMs, type Clock } from '../common/clock.ts';
import { isUuid } from '../common/identifier.ts';
import type { Feed } from '../event-log/feed.ts';
import { NoCursor, resumeAt } from '../event-log/resume.ts';
import type { Caller } from '../model/access/caller.ts';
import { may, mayAdministerSites } from '../model/access/rights.ts';
import { isBehind, type Position } from '../model/events/cursor.ts';
import { secretText, type Webhook } from '../model/events/webhook.ts';
import { checkIdentifier, type InputRefusal, invalidInput } from '../model/refusals/input.ts';
import { isRefusal, type Refusal } from '../model/refusals/refusal.ts';
import { CursorExpired } from '../storage/events/event-log.repository.ts';
import type { WebhookRepository } from '../storage/events/webhook.repository.ts';
import type { Target } from './target.ts';

export interface SaveWebhookInput {
  /** Absent: a new webhook is created. */
  readonly id?: string;
  readonly name: string;
  readonly url: string;
  readonly siteIds?: readonly string[];
  readonly types?: readonly string[];
}

/** `secret` is returned only when it is created or rotated. */
export interface SavedWebhook {
  readonly webhook: Webhook;
  readonly secret?: string;
}

export interface WebhookPorts {
  readonly webhooks: WebhookRepository;
  readonly feed: Pick<Feed, 'bounds'>;
  /** Absent: webhooks are off, and every change is refused with WEBHOOKS_OFF. */
  readonly delivery?: {
    readonly target: Target;
    readonly secretKey: string;
    /** Makes this process look at once for webhooks to deliver to. */
    readonly look: () => void;
  };
  readonly clock: Clock;
}

const LIMITS = { ofAll: 1000, ofOne: 50 };
const MAX_LIST = 200;
const DAY_MS = 86_400_000;
const TYPE = /^(reservation|connector)\.[a-z_]{1,40}$/;

/** Creates a webhook, or changes one that has an `id`. */
export async function saveWebhook(
  { webhooks, feed, delivery, clock }: WebhookPorts,
  caller: Caller,
  { id, name, url, siteIds, types }: SaveWebhookInput,
): Promise<SavedWebhook | Refusal> {
  if (!delivery) return webhooksOff;
  if (!mayAdministerSites(caller, siteIds) || !may(caller, 'events:read')) return onlyOwn;
  const wrong =
    checkIdentifier('name', name) ?? checkList('siteIds', siteIds) ?? checkList('types', types) ?? checkTypes(types);
  if (wrong) return wrong;
  const before = id === undefined ? undefined : await findOwn(webhooks, caller, id);
  if (before && isRefusal(before)) return before;
  const wrongTarget = await delivery.target.check(url);
  if (wrongTarget) return invalidInput('url', wrongTarget);
  const settings = { name, url, ...(siteIds && { siteIds }), ...(types && { types }) };
  if (before) return changed(delivery, before.id, await webhooks.update(before.id, settings, clock.now()));
  const { end } = await feed.bounds();
  const made = await webhooks.insert(randomUUID(), settings, end, clock.now(), caller.subject, LIMITS);
  if (!made) return invalidInput('id', TOO_MANY);
  delivery.look();
  return { webhook: made, secret: secretText(delivery.secretKey, made) };
}

export async function removeWebhook(
  { webhooks, delivery }: WebhookPorts,
  caller: Caller,
  id: string,
): Promise<{ readonly id: string } | Refusal> {
  if (!delivery) return webhooksOff;
  const found = await findOwn(webhooks, caller, id);
  if (isRefusal(found)) return found;
  const isRemoved = await webhooks.remove(found.id);
  delivery.look();
  return isRemoved ? { id: found.id } : notFound(id);
}

export async function pauseWebhook(
  { webhooks, delivery }: WebhookPorts,
  caller: Caller,
  id: string,
): Promise<SavedWebhook | Refusal> {
  if (!delivery) return webhooksOff;
  const found = await findOwn(webhooks, caller, id);
  return isRefusal(found) ? found : changed(delivery, id, await webhooks.pause(found.id));
}

/** Resumes where the webhook stopped, or after a cursor: all events since then are delivered, again if need be. */
export async function resumeWebhook(
  { webhooks, feed, delivery, clock }: WebhookPorts,
  caller: Caller,
  id: string,
  after: string | undefined,
): Promise<SavedWebhook | Refusal> {
  if (!delivery) return webhooksOff;
  const found = await findOwn(webhooks, caller, id);
  if (isRefusal(found)) return found;
  // If the log was trimmed beyond the stored position, delivery resumes at the present start of the log.
  const { horizon } = await feed.bounds();
  const shortened = isBehind(horizon, found.position) ? horizon : undefined;
  const at = after === undefined ? shortened : await placeOf(feed, after);
  if (at && isRefusal(at)) return at;
  return changed(delivery, id, await webhooks.resume(found.id, clock.now(), at));
}

/** Changes the secret; for a day messages are signed with the old one as well. */
export async function rotateWebhookSecret(
  { webhooks, delivery, clock }: WebhookPorts,
  caller: Caller,
  id: string,
): Promise<SavedWebhook | Refusal> {
  if (!delivery) return webhooksOff;
  const found = await findOwn(webhooks, caller, id);
  if (isRefusal(found)) return found;
  const rotated = await webhooks.rotateSecret(found.id, addMs(clock.now(), DAY_MS));
  if (!rotated) return notFound(id);
  delivery.look();
  return { webhook: rotated, secret: secretText(delivery.secretKey, rotated) };
}

async function findOwn(webhooks: WebhookRepository, caller: Caller, id: string): Promise<Webhook | Refusal> {
  const found = isUuid(id) ? await webhooks.find(id) : undefined;
  return found && mayAdministerSites(caller, found.siteIds) ? found : notFound(id);
}

function changed(
  { look }: NonNullable<WebhookPorts['delivery']>,
  id: string,
  webhook: Webhook | undefined,
): SavedWebhook | Refusal {
  look();
  return webhook ? { webhook } : notFound(id);
}

async function placeOf(feed: Pick<Feed, 'bounds'>, after: string): Promise<Position | InputRefusal> {
  try {
    return (await resumeAt(feed, after)).position;
  } catch (error) {
    if (error instanceof NoCursor) return invalidInput('after', error.message);
    if (!(error instanceof CursorExpired)) throw error;
    return invalidInput('after', 'The event log no longer reaches back to that cursor.');
  }
}

function checkList(field: string, names: readonly string[] | undefined): InputRefusal | undefined {
  if (names === undefined) return undefined;
  if (names.length === 0 || names.length > MAX_LIST)
    return invalidInput(field, `It must have 1 to ${MAX_LIST} entries.`);
  return names.map((one) => checkIdentifier(field, one)).find((one) => one !== undefined);
}

function checkTypes(types: readonly string[] = []): InputRefusal | undefined {
  const bad = types.find((one) => !TYPE.test(one));
  return bad === undefined
    ? undefined
    : invalidInput(
        'types',
        `"${bad}" is not an event type; use types such as reservation.accepted or connector.state_changed.`,
      );
}

const TOO_MANY = `There may be ${LIMITS.ofOne} webhooks of one creator, and ${LIMITS.ofAll} in all; remove some first.`;

const onlyOwn: Refusal = {
  code: 'FORBIDDEN',
  message:
    'An operator must name the sites of a webhook, all of them its own; only an admin may leave them out. The caller also needs the permission events:read.',
};
const webhooksOff: Refusal = {
  code: 'WEBHOOKS_OFF',
  message: 'Webhooks are off: this server has no key for their secrets. Set WEBHOOK_SECRET_KEY in its configuration.',
};
const notFound = (id: string): Refusal => ({ code: 'WEBHOOK_NOT_FOUND', message: `There is no webhook "${id}".` });
