// Webhooks in PostgreSQL: their settings, how far each was delivered, and which process holds the lease.
import { present } from '../../common/present.ts';
import type { Position } from '../../model/events/cursor.ts';
import type { PauseReason, Webhook } from '../../model/events/webhook.ts';
import { WEBHOOK_LOCKS } from '../advisory-locks.ts';
import type { Database, Statement } from '../database.ts';

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
  lock: { name: 'webhook-lock', text: `SELECT pg_advisory_xact_lock(${WEBHOOK_LOCKS}, 0)` },
  insert: {
    name: 'webhook-insert',
    text: `
      INSERT INTO webhook (id, name, url, site_ids, types, xid, event_id, next_attempt_at, created_at, created_by)
      SELECT $1, $2, $3, $4::text[], $5::text[], $6::xid8, $7, $8, $8, $9
      WHERE (SELECT count(*) FROM webhook) < $10 AND (SELECT count(*) FROM webhook WHERE created_by = $9) < $11
      RETURNING ${COLUMNS}`,
  },
  update: {
    name: 'webhook-update',
    text: `UPDATE webhook SET name = $2, url = $3, site_ids = $4, types = $5, attempts = 0, failing_since = NULL, next_attempt_at = $6, ${CHANGED} WHERE id = $1 RETURNING ${COLUMNS}`,
  },
  find: { name: 'webhook-find', text: `SELECT ${COLUMNS} FROM webhook WHERE id = $1` },
  remove: { name: 'webhook-remove', text: 'DELETE FROM webhook WHERE id = $1 RETURNING id' },
  pause: {
    name: 'webhook-pause',
    text: `UPDATE webhook SET ${PAUSED} WHERE id = $1 RETURNING ${COLUMNS}`,
  },
  resume: {
    name: 'webhook-resume',
    text: `
      UPDATE webhook SET paused_for = NULL, xid = coalesce($3::xid8, xid), event_id = coalesce($4, event_id), attempts = 0,
        failing_since = NULL, last_error = NULL, next_attempt_at = $2, ${CHANGED}
      WHERE id = $1 RETURNING ${COLUMNS}`,
  },
  rotate: {
    name: 'webhook-rotate',
    text: `
      UPDATE webhook SET secret_version = secret_version + 1, old_secret_until = $2, ${CHANGED} WHERE id = $1
      RETURNING ${COLUMNS}`,
  },
  page: {
    name: 'webhook-page',
    text: `
      SELECT ${COLUMNS} FROM webhook
      WHERE ($2::timestamptz IS NULL OR (created_at, id) < ($2, $3::uuid)) AND ($4::text[] IS NULL OR site_ids <@ $4)
      ORDER BY created_at DESC, id DESC LIMIT $1`,
  },
  claim: {
    name: 'webhook-claim',
    text: `
      UPDATE webhook SET claim = $1, claimed_until = $3, is_changed = false
      WHERE id IN (
        SELECT id FROM webhook
        WHERE paused_for IS NULL AND next_attempt_at <= $2 AND (claimed_until IS NULL OR claimed_until <= $2)
        ORDER BY next_attempt_at LIMIT $4 FOR UPDATE SKIP LOCKED)
      RETURNING ${COLUMNS}`,
  },
  renew: {
    name: 'webhook-renew',
    text: `UPDATE webhook SET claimed_until = $2 WHERE claim = $1 AND id = ANY ($3::uuid[]) AND NOT is_changed RETURNING id`,
  },
  release: { name: 'webhook-release', text: `UPDATE webhook SET ${FREE} WHERE claim = $1 AND id = ANY ($2::uuid[])` },
  // Also advances a row that was changed since the claim, unless its position was set: delivered events are not sent
  // again.
  advance: {
    name: 'webhook-advance',
    text: `
      UPDATE webhook SET xid = $3::xid8, event_id = $4, delivered_at = coalesce($5, delivered_at), attempts = 0,
        failing_since = NULL, last_error = NULL
      WHERE id = $1 AND claim = $2 AND (NOT is_changed OR (xid = $6::xid8 AND event_id = $7))
      RETURNING is_changed AS "isChanged"`,
  },
  fail: {
    name: 'webhook-fail',
    text: `
      UPDATE webhook SET xid = $3::xid8, event_id = $4, attempts = $5, failing_since = $6, next_attempt_at = $7,
        last_error = $8, paused_for = $9
      WHERE id = $1 AND claim = $2 AND NOT is_changed RETURNING id`,
  },
} as const satisfies Record<string, Statement>;

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
  const one = async (statement: Statement, values: readonly unknown[]): Promise<Webhook | undefined> => {
    const [row] = await database.query<Row>(statement, values);
    return row && toWebhook(row);
  };
  return {
    /** Undefined when a limit is reached. */
    insert(id: string, settings: WebhookSettings, at: Position, now: Date, by: string, limits: WebhookLimits) {
      const { name, url, siteIds, types } = settings;
      const { ofAll, ofOne } = limits;
      const values = [id, name, url, siteIds, types, `${at.xid}`, `${at.id}`, now, by, ofAll, ofOne];
      return database.transaction(async (sql) => {
        await sql.query(statements.lock, []); // Race: concurrent inserts would each count room for one more.
        const [row] = await sql.query<Row>(statements.insert, values);
        return row && toWebhook(row);
      });
    },

    update: (id: string, { name, url, siteIds, types }: WebhookSettings, now: Date) =>
      one(statements.update, [id, name, url, siteIds, types, now]),

    find: (id: string) => one(statements.find, [id]),

    async remove(id: string): Promise<boolean> {
      return (await database.query(statements.remove, [id])).length > 0;
    },

    pause: (id: string) => one(statements.pause, [id]),

    /** Resumes at the stored position, or at `at`. */
    resume: (id: string, now: Date, at?: Position) =>
      one(statements.resume, [id, now, at && `${at.xid}`, at && `${at.id}`]),

    rotateSecret: (id: string, oldUntil: Date) => one(statements.rotate, [id, oldUntil]),

    /** The newest first; with `siteIds`, only webhooks that are limited to these sites. */
    async page(
      limit: number,
      after?: { createdAt: Date; id: string },
      siteIds?: readonly string[],
    ): Promise<Webhook[]> {
      const rows = await database.query<Row>(statements.page, [limit, after?.createdAt, after?.id, siteIds]);
      return rows.map(toWebhook);
    },

    /** Leases webhooks that are due and have no holder, and returns them. */
    async claim(claim: string, now: Date, until: Date, limit: number): Promise<Webhook[]> {
      return (await database.query<Row>(statements.claim, [claim, now, until, limit])).map(toWebhook);
    },

    /** Renews the leases; returns the ids that are still held and were not changed since. */
    async renew(claim: string, ids: readonly string[], until: Date): Promise<Set<string>> {
      const held = await database.query<{ id: string }>(statements.renew, [claim, until, ids]);
      return new Set(held.map(({ id }) => id));
    },

    async release(claim: string, ids: readonly string[]): Promise<void> {
      await database.query(statements.release, [claim, ids]);
    },

    /** False where the claim was lost, or the webhook changed. */
    async advance(id: string, claim: string, from: Position, to: Position, deliveredAt: Date | undefined) {
      const values = [id, claim, `${to.xid}`, `${to.id}`, deliveredAt, `${from.xid}`, `${from.id}`];
      const [row] = await database.query<{ isChanged: boolean }>(statements.advance, values);
      return row?.isChanged === false;
    },

    /** False where the claim was lost, or the webhook changed. */
    async recordFailure(id: string, claim: string, at: Position, failure: Failure): Promise<boolean> {
      const { attempts, failingSince, nextAttemptAt, error, pausedFor } = failure;
      const values = [`${at.xid}`, `${at.id}`, attempts, failingSince, nextAttemptAt, error, pausedFor];
      return (await database.query(statements.fail, [id, claim, ...values])).length > 0;
    },
  };
}
