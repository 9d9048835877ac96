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

interface Ports {
  readonly webhooks: WebhookRepository;
  readonly feed: Pick<Feed, 'bounds'>;
  readonly target: Target;
  readonly secretKey: string;
  readonly clock: Clock;
  /** Makes this process look at once for webhooks to deliver to. */
  readonly look: () => void;
}

export interface ManageWebhooks {
  save(caller: Caller, input: SaveWebhookInput): Promise<SavedWebhook | Refusal>;
  remove(caller: Caller, id: string): Promise<{ readonly id: string } | Refusal>;
  pause(caller: Caller, id: string): Promise<SavedWebhook | Refusal>;
  /** Resumes where the webhook stopped, or after a cursor: all events since then are delivered, again if need be. */
  resume(caller: Caller, id: string, after: string | undefined): Promise<SavedWebhook | Refusal>;
  /** Changes the secret; for a day messages are signed with the old one as well. */
  rotateSecret(caller: Caller, id: string): Promise<SavedWebhook | Refusal>;
}

const LIMITS = { ofAll: 1000, ofOne: 50 };
const MAX_LIST = 200;
const DAY_MS = 86_400_000;
const TYPE = /^(reservation|connector)\.[a-z_]{1,40}$/;

/** Without a key for the secrets every operation is refused with WEBHOOKS_OFF. */
export function manageWebhooks(ports: Ports | undefined): ManageWebhooks {
  if (!ports) {
    const off = async () => webhooksOff;
    return { save: off, remove: off, pause: off, resume: off, rotateSecret: off };
  }
  const { webhooks, feed, target, secretKey, clock, look } = ports;

  const findOwn = async (caller: Caller, id: string): Promise<Webhook | Refusal> => {
    const found = isUuid(id) ? await webhooks.find(id) : undefined;
    return found && mayAdministerSites(caller, found.siteIds) ? found : notFound(id);
  };
  const told = (id: string, webhook: Webhook | undefined): SavedWebhook | Refusal => {
    look();
    return webhook ? { webhook } : notFound(id);
  };

  return {
    async save(caller, { id, name, url, siteIds, types }) {
      if (!mayAdministerSites(caller, siteIds) || !may(caller, 'events:read')) return onlyOwn;
      const wrong =
        checkIdentifier('name', name) ??
        checkList('siteIds', siteIds) ??
        checkList('types', types) ??
        checkTypes(types);
      if (wrong) return wrong;
      const before = id === undefined ? undefined : await findOwn(caller, id);
      if (before && isRefusal(before)) return before;
      const wrongTarget = await target.check(url);
      if (wrongTarget) return invalidInput('url', wrongTarget);
      const settings = { name, url, ...(siteIds && { siteIds }), ...(types && { types }) };
      if (before) return told(before.id, await webhooks.update(before.id, settings, clock.now()));
      const { end } = await feed.bounds();
      const made = await webhooks.insert(randomUUID(), settings, end, clock.now(), caller.subject, LIMITS);
      if (!made) return invalidInput('id', TOO_MANY);
      look();
      return { webhook: made, secret: secretText(secretKey, made) };
    },

    async remove(caller, id) {
      const found = await findOwn(caller, id);
      if (isRefusal(found)) return found;
      const isRemoved = await webhooks.remove(found.id);
      look();
      return isRemoved ? { id: found.id } : notFound(id);
    },

    async pause(caller, id) {
      const found = await findOwn(caller, id);
      return isRefusal(found) ? found : told(id, await webhooks.pause(found.id));
    },

    async resume(caller, id, after) {
      const found = await findOwn(caller, id);
      if (isRefusal(found)) return found;
      // If the log was trimmed beyond the stored position, delivery resumes at the present start of the log.
      const { horizon } = await feed.bounds();
      const shortened = isBehind(horizon, found.position) ? horizon : undefined;
      const at = after === undefined ? shortened : await placeOf(feed, after);
      if (at && isRefusal(at)) return at;
      return told(id, await webhooks.resume(found.id, clock.now(), at));
    },

    async rotateSecret(caller, id) {
      const found = await findOwn(caller, id);
      if (isRefusal(found)) return found;
      const changed = await webhooks.rotateSecret(found.id, addMs(clock.now(), DAY_MS));
      if (!changed) return notFound(id);
      look();
      return { webhook: changed, secret: secretText(secretKey, changed) };
    },
  };
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
