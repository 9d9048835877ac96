// API keys in PostgreSQL.
import { present } from '../../common/present.ts';
import type { ApiKey } from '../../model/access/api-key.ts';
import type { Permission, Reach } from '../../model/access/caller.ts';
import type { Database } from '../database.ts';
import { PAUSED } from '../events/webhook.repository.ts';
import { statement } from '../statement.ts';

interface Row {
  id: string;
  name: string;
  secretHash: Buffer;
  role: Reach['role'];
  sites: string[];
  idTags: string[];
  groups: string[];
  scopes: Permission[];
  createdAt: Date;
  createdBy: string;
  expiresAt: Date;
  lastUsedAt: Date | null;
  revokedAt: Date | null;
  revokedBy: string | null;
}

const COLUMNS = `id, name, secret_hash AS "secretHash", role, sites, id_tags AS "idTags", groups, scopes,
  created_at AS "createdAt", created_by AS "createdBy", expires_at AS "expiresAt", last_used_at AS "lastUsedAt",
  revoked_at AS "revokedAt", revoked_by AS "revokedBy"`;

const statements = {
  insert: statement(
    'api-key-insert',
    `
      INSERT INTO api_key (id, name, secret_hash, role, sites, id_tags, groups, scopes, created_at, created_by, expires_at)
      VALUES (:id, :name, :secretHash, :role, :sites, :idTags, :groups, :scopes, :createdAt, :createdBy, :expiresAt)`,
  ),
  find: statement<Row>('api-key-find', `SELECT ${COLUMNS} FROM api_key WHERE id = :id`),
  isGood: statement(
    'api-key-is-good',
    'SELECT FROM api_key WHERE id = :id AND revoked_at IS NULL AND expires_at > :now',
  ),
  used: statement(
    'api-key-used',
    `UPDATE api_key SET last_used_at = :now WHERE id = :id AND (last_used_at IS NULL OR last_used_at < :now::timestamptz - interval '1 minute')`,
  ),
  // Revoking a key also pauses the webhooks it created: a thief of the key may have had events sent elsewhere, so a
  // person must look at them and resume them.
  revoke: statement<Row>(
    'api-key-revoke',
    `
      WITH paused AS (
        UPDATE webhook SET ${PAUSED} WHERE created_by = 'api-key:' || :id::uuid)
      UPDATE api_key SET revoked_at = coalesce(revoked_at, :now), revoked_by = coalesce(revoked_by, :by) WHERE id = :id::uuid
      RETURNING ${COLUMNS}`,
  ),
  page: statement<Row>(
    'api-key-page',
    `
      SELECT ${COLUMNS} FROM api_key WHERE :afterCreatedAt::timestamptz IS NULL OR (created_at, id) < (:afterCreatedAt, :afterId::uuid)
      ORDER BY created_at DESC, id DESC LIMIT :limit`,
  ),
};

function toReach({ role, sites, idTags, groups }: Row): Reach {
  switch (role) {
    case 'DRIVER':
      return { role, idTags, groups };
    case 'OPERATOR':
      return { role, sites };
    case 'ADMIN':
      return { role };
  }
}

const toApiKey = (row: Row): ApiKey => ({
  id: row.id,
  name: row.name,
  reach: toReach(row),
  scopes: row.scopes,
  createdAt: row.createdAt,
  createdBy: row.createdBy,
  expiresAt: row.expiresAt,
  ...present({ lastUsedAt: row.lastUsedAt, revokedAt: row.revokedAt, revokedBy: row.revokedBy }),
});

export type ApiKeyRepository = ReturnType<typeof apiKeyRepository>;

export function apiKeyRepository(database: Database) {
  return {
    async insert({ reach, ...key }: ApiKey, secretHash: Buffer): Promise<void> {
      const lists = { sites: [], idTags: [], groups: [], ...reach };
      await database.query(statements.insert, {
        id: key.id,
        name: key.name,
        secretHash,
        role: reach.role,
        sites: lists.sites,
        idTags: lists.idTags,
        groups: lists.groups,
        scopes: key.scopes,
        createdAt: key.createdAt,
        createdBy: key.createdBy,
        expiresAt: key.expiresAt,
      });
    },

    async find(id: string): Promise<{ readonly key: ApiKey; readonly secretHash: Buffer } | undefined> {
      const [row] = await database.query(statements.find, { id });
      return row && { key: toApiKey(row), secretHash: row.secretHash };
    },

    async isGood(id: string, now: Date): Promise<boolean> {
      return (await database.query(statements.isGood, { id, now })).length > 0;
    },

    async recordUse(id: string, now: Date): Promise<void> {
      await database.query(statements.used, { id, now });
    },

    /** Returns undefined for an unknown id. A key that is already revoked keeps its `revokedAt` and `revokedBy`. */
    async revoke(id: string, now: Date, by: string): Promise<ApiKey | undefined> {
      const [row] = await database.query(statements.revoke, { id, now, by });
      return row && toApiKey(row);
    },

    /** Newest first; `after` names the last key of the previous page. */
    async page(limit: number, after?: { readonly createdAt: Date; readonly id: string }): Promise<ApiKey[]> {
      const rows = await database.query(statements.page, {
        limit,
        afterCreatedAt: after?.createdAt,
        afterId: after?.id,
      });
      return rows.map(toApiKey);
    },
  };
}
