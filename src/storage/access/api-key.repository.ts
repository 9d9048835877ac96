// API keys in PostgreSQL.
import { present } from '../../common/present.ts';
import type { ApiKey } from '../../model/access/api-key.ts';
import type { Permission, Reach } from '../../model/access/caller.ts';
import type { Database, Statement } from '../database.ts';
import { PAUSED } from '../events/webhook.repository.ts';

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
  insert: {
    name: 'api-key-insert',
    text: `
      INSERT INTO api_key (id, name, secret_hash, role, sites, id_tags, groups, scopes, created_at, created_by, expires_at)
      VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)`,
  },
  find: { name: 'api-key-find', text: `SELECT ${COLUMNS} FROM api_key WHERE id = $1` },
  isGood: {
    name: 'api-key-is-good',
    text: 'SELECT FROM api_key WHERE id = $1 AND revoked_at IS NULL AND expires_at > $2',
  },
  used: {
    name: 'api-key-used',
    text: `UPDATE api_key SET last_used_at = $2 WHERE id = $1 AND (last_used_at IS NULL OR last_used_at < $2::timestamptz - interval '1 minute')`,
  },
  // Revoking a key also pauses the webhooks it created: a thief of the key may have had events sent elsewhere, so a
  // person must look at them and resume them.
  revoke: {
    name: 'api-key-revoke',
    text: `
      WITH paused AS (
        UPDATE webhook SET ${PAUSED} WHERE created_by = 'api-key:' || $1::uuid)
      UPDATE api_key SET revoked_at = coalesce(revoked_at, $2), revoked_by = coalesce(revoked_by, $3) WHERE id = $1::uuid
      RETURNING ${COLUMNS}`,
  },
  page: {
    name: 'api-key-page',
    text: `
      SELECT ${COLUMNS} FROM api_key WHERE $2::timestamptz IS NULL OR (created_at, id) < ($2, $3::uuid)
      ORDER BY created_at DESC, id DESC LIMIT $1`,
  },
} as const satisfies Record<string, Statement>;

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
      await database.query(statements.insert, [
        key.id,
        key.name,
        secretHash,
        reach.role,
        lists.sites,
        lists.idTags,
        lists.groups,
        key.scopes,
        key.createdAt,
        key.createdBy,
        key.expiresAt,
      ]);
    },

    async find(id: string): Promise<{ readonly key: ApiKey; readonly secretHash: Buffer } | undefined> {
      const [row] = await database.query<Row>(statements.find, [id]);
      return row && { key: toApiKey(row), secretHash: row.secretHash };
    },

    async isGood(id: string, now: Date): Promise<boolean> {
      return (await database.query(statements.isGood, [id, now])).length > 0;
    },

    async recordUse(id: string, now: Date): Promise<void> {
      await database.query(statements.used, [id, now]);
    },

    /** Returns undefined for an unknown id. A key that is already revoked keeps its `revokedAt` and `revokedBy`. */
    async revoke(id: string, now: Date, by: string): Promise<ApiKey | undefined> {
      const [row] = await database.query<Row>(statements.revoke, [id, now, by]);
      return row && toApiKey(row);
    },

    /** Newest first; `after` names the last key of the previous page. */
    async page(limit: number, after?: { readonly createdAt: Date; readonly id: string }): Promise<ApiKey[]> {
      const rows = await database.query<Row>(statements.page, [limit, after?.createdAt, after?.id]);
      return rows.map(toApiKey);
    },
  };
}
