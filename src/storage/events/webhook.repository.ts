// Webhooks in PostgreSQL: their settings, how far each was delivered, and which process holds the lease.
import { present } from '../../common/present.ts';
import type { Position } from '../../model/events/cursor.ts';
import type { PauseReason, Webhook } from '../../model/events/webhook.ts';
import { WEBHOOK_LOCKS } from '../advisory-locks.ts';
import type { Database } from '../database.ts';
import { type Statement, statement, type Values } from '../statement.ts';

interface Row {
  id: string;
  name: string;
  url: string;
  siteIds: string[] | null;
  types: string[] | null;
  secretVersion: number;
  oldSecretUntil: Date | null;
  pausedFor: PauseReason | null;
  xid: string;
  eventId: string;
  deliveredAt: Date | null;
  failingSince: Date | null;
  attempts: number;
  nextAttemptAt: Date;
  lastError: string | null;
  createdAt: Date;
  createdBy: string;
}

const COLUMNS = `id, name, url, site_ids AS "siteIds", types, secret_version AS "secretVersion",
  old_secret_until AS "oldSecretUntil", paused_for AS "pausedFor", xid::text, event_id::text AS "eventId",
  delivered_at AS "deliveredAt", failing_since AS "failingSince", attempts, next_attempt_at AS "nextAttemptAt",
  last_error AS "lastError", created_at AS "createdAt", created_by AS "createdBy"`;

/**
 * Marks a leased row as changed: its courier can no longer renew, stops and releases it, and the next claim reads the
 * new row. So two processes never send at once.
 */
const CHANGED = 'is_changed = claim IS NOT NULL';
/** Pauses on request; an earlier reason stays. */
export const PAUSED = `paused_for = coalesce(paused_for, 'REQUESTED'), ${CHANGED}`;
const FREE = 'claim = NULL, claimed_until = NULL, is_changed = false';

const statements = {
  lock: statement('webhook-lock', `SELECT pg_advisory_xact_lock(${WEBHOOK_LOCKS}, 0)`),
  insert: statement<Row>(
    'webhook-insert',
    `
      INSERT INTO webhook (id, name, url, site_ids, types, xid, event_id, next_attempt_at, created_at, created_by)
      SELECT :id, :name, :url, :siteIds::text[], :types::text[], :xid::xid8, :eventId, :now, :now, :by
      WHERE (SELECT count(*) FROM webhook) < :ofAll AND (SELECT count(*) FROM webhook WHERE created_by = :by) < :ofOne
      RETURNING ${COLUMNS}`,
  ),
  update: statement<Row>(
    'webhook-update',
    `UPDATE webhook SET name = :name, url = :url, site_ids = :siteIds, types = :types, attempts = 0, failing_since = NULL, next_attempt_at = :now, ${CHANGED} WHERE id = :id RETURNING ${COLUMNS}`,
  ),
  find: statement<Row>('webhook-find', `SELECT ${COLUMNS} FROM webhook WHERE id = :id`),
  remove: statement('webhook-remove', 'DELETE FROM webhook WHERE id = :id RETURNING id'),
  pause: statement<Row>('webhook-pause', `UPDATE webhook SET ${PAUSED} WHERE id = :id RETURNING ${COLUMNS}`),
  resume: statement<Row>(
    'webhook-resume',
    `
      UPDATE webhook SET paused_for = NULL, xid = coalesce(:xid::xid8, xid), event_id = coalesce(:eventId, event_id), attempts = 0,
        failing_since = NULL, last_error = NULL, next_attempt_at = :now, ${CHANGED}
      WHERE id = :id RETURNING ${COLUMNS}`,
  ),
  rotate: statement<Row>(
    'webhook-rotate',
    `
      UPDATE webhook SET secret_version = secret_version + 1, old_secret_until = :oldUntil, ${CHANGED} WHERE id = :id
      RETURNING ${COLUMNS}`,
  ),
  page: statement<Row>(
    'webhook-page',
    `
      SELECT ${COLUMNS} FROM webhook
      WHERE (:afterCreatedAt::timestamptz IS NULL OR (created_at, id) < (:afterCreatedAt, :afterId::uuid)) AND (:siteIds::text[] IS NULL OR site_ids <@ :siteIds)
      ORDER BY created_at DESC, id DESC LIMIT :limit`,
  ),
  claim: statement<Row>(
    'webhook-claim',
    `
      UPDATE webhook SET claim = :claim, claimed_until = :until, is_changed = false
      WHERE id IN (
        SELECT id FROM webhook
        WHERE paused_for IS NULL AND next_attempt_at <= :now AND (claimed_until IS NULL OR claimed_until <= :now)
        ORDER BY next_attempt_at LIMIT :limit FOR UPDATE SKIP LOCKED)
      RETURNING ${COLUMNS}`,
  ),
  renew: statement<{ id: string }>(
    'webhook-renew',
    `UPDATE webhook SET claimed_until = :until WHERE claim = :claim AND id = ANY (:ids::uuid[]) AND NOT is_changed RETURNING id`,
  ),
  release: statement('webhook-release', `UPDATE webhook SET ${FREE} WHERE claim = :claim AND id = ANY (:ids::uuid[])`),
  // Also advances a row that was changed since the claim, unless its position was set: delivered events are not sent
  // again.
  advance: statement<{ isChanged: boolean }>(
    'webhook-advance',
    `
      UPDATE webhook SET xid = :xid::xid8, event_id = :eventId, delivered_at = coalesce(:deliveredAt, delivered_at), attempts = 0,
        failing_since = NULL, last_error = NULL
      WHERE id = :id AND claim = :claim AND (NOT is_changed OR (xid = :fromXid::xid8 AND event_id = :fromEventId))
      RETURNING is_changed AS "isChanged"`,
  ),
  fail: statement(
    'webhook-fail',
    `
      UPDATE webhook SET xid = :xid::xid8, event_id = :eventId, attempts = :attempts, failing_since = :failingSince, next_attempt_at = :nextAttemptAt,
        last_error = :error, paused_for = :pausedFor
      WHERE id = :id AND claim = :claim AND NOT is_changed RETURNING id`,
  ),
};

function toWebhook({
  xid,
  eventId,
  id,
  name,
  url,
  secretVersion,
  attempts,
  createdAt,
  createdBy,
  ...row
}: Row): Webhook {
  return {
    id,
    name,
    url,
    secretVersion,
    attempts,
    createdAt,
    createdBy,
    nextAttemptAt: row.nextAttemptAt,
    ...present(row),
    position: { xid: BigInt(xid), id: BigInt(eventId) },
  };
}

/** The settings that the owner of a webhook chooses. */
export type WebhookSettings = Pick<Webhook, 'name' | 'url' | 'siteIds' | 'types'>;

/** Limits of the number of webhooks: in all, and of one creator. */
export interface WebhookLimits {
  readonly ofAll: number;
  readonly ofOne: number;
}

export interface Failure {
  readonly attempts: number;
  readonly failingSince: Date;
  readonly nextAttemptAt: Date;
  readonly error: string;
  readonly pausedFor?: PauseReason;
}

export type WebhookRepository = ReturnType<typeof webhookRepository>;

export function webhookRepository(database: Database) {
  const one = async (wanted: Statement<Row>, values: Values): Promise<Webhook | undefined> => {
    const [row] = await database.query(wanted, values);
    return row && toWebhook(row);
  };
  return {
    /** Undefined when a limit is reached. */
    insert(id: string, settings: WebhookSettings, at: Position, now: Date, by: string, limits: WebhookLimits) {
      const { name, url, siteIds, types } = settings;
      const { ofAll, ofOne } = limits;
      const place = { xid: `${at.xid}`, eventId: `${at.id}` };
      const values = { id, name, url, siteIds, types, ...place, now, by, ofAll, ofOne };
      return database.transaction(async (sql) => {
        await sql.query(statements.lock); // Race: concurrent inserts would each count room for one more.
        const [row] = await sql.query(statements.insert, values);
        return row && toWebhook(row);
      });
    },

    update: (id: string, { name, url, siteIds, types }: WebhookSettings, now: Date) =>
      one(statements.update, { id, name, url, siteIds, types, now }),

    find: (id: string) => one(statements.find, { id }),

    async remove(id: string): Promise<boolean> {
      return (await database.query(statements.remove, { id })).length > 0;
    },

    pause: (id: string) => one(statements.pause, { id }),

    /** Resumes at the stored position, or at `at`. */
    resume: (id: string, now: Date, at?: Position) =>
      one(statements.resume, { id, now, xid: at && `${at.xid}`, eventId: at && `${at.id}` }),

    rotateSecret: (id: string, oldUntil: Date) => one(statements.rotate, { id, oldUntil }),

    /** The newest first; with `siteIds`, only webhooks that are limited to these sites. */
    async page(
      limit: number,
      after?: { createdAt: Date; id: string },
      siteIds?: readonly string[],
    ): Promise<Webhook[]> {
      const rows = await database.query(statements.page, {
        limit,
        afterCreatedAt: after?.createdAt,
        afterId: after?.id,
        siteIds,
      });
      return rows.map(toWebhook);
    },

    /** Leases webhooks that are due and have no holder, and returns them. */
    async claim(claim: string, now: Date, until: Date, limit: number): Promise<Webhook[]> {
      return (await database.query(statements.claim, { claim, now, until, limit })).map(toWebhook);
    },

    /** Renews the leases; returns the ids that are still held and were not changed since. */
    async renew(claim: string, ids: readonly string[], until: Date): Promise<Set<string>> {
      const held = await database.query(statements.renew, { claim, until, ids });
      return new Set(held.map(({ id }) => id));
    },

    async release(claim: string, ids: readonly string[]): Promise<void> {
      await database.query(statements.release, { claim, ids });
    },

    /** False where the claim was lost, or the webhook changed. */
    async advance(id: string, claim: string, from: Position, to: Position, deliveredAt: Date | undefined) {
      const [row] = await database.query(statements.advance, {
        id,
        claim,
        xid: `${to.xid}`,
        eventId: `${to.id}`,
        deliveredAt,
        fromXid: `${from.xid}`,
        fromEventId: `${from.id}`,
      });
      return row?.isChanged === false;
    },

    /** False where the claim was lost, or the webhook changed. */
    async recordFailure(id: string, claim: string, at: Position, failure: Failure): Promise<boolean> {
      const { attempts, failingSince, nextAttemptAt, error, pausedFor } = failure;
      const place = { xid: `${at.xid}`, eventId: `${at.id}` };
      const values = { id, claim, ...place, attempts, failingSince, nextAttemptAt, error, pausedFor };
      return (await database.query(statements.fail, values)).length > 0;
    },
  };
}
