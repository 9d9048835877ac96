// The audit log in PostgreSQL; a trigger there refuses to update, delete or truncate entries.
import { present } from '../../common/present.ts';
import type { AuditEntry, Source } from '../../model/access/audit-entry.ts';
import type { Role } from '../../model/access/caller.ts';
import type { Database, Statement } from '../database.ts';

export interface AuditFilter {
  readonly subject?: string;
  readonly operation?: string;
  readonly target?: string;
  readonly result?: string;
  readonly from?: Date;
  readonly to?: Date;
}

/** An entry as it is stored, with its id. */
export interface KeptAuditEntry extends AuditEntry {
  readonly id: string;
}

interface Row {
  id: string;
  at: Date;
  subject: string;
  role: Role;
  apiKeyId: string | null;
  address: string;
  via: Source['via'];
  operation: string;
  target: string | null;
  input: string;
  result: string;
}

const statements = {
  append: {
    name: 'audit-append',
    text: `
      INSERT INTO audit_entry (at, subject, role, api_key_id, address, via, operation, target, input, result)
      SELECT * FROM unnest($1::timestamptz[], $2::text[], $3::text[], $4::uuid[], $5::text[], $6::text[], $7::text[],
        $8::text[], $9::text[], $10::text[])`,
  },
  page: {
    name: 'audit-page',
    text: `
      SELECT id::text, at, subject, role, api_key_id AS "apiKeyId", address, via, operation, target, input, result
      FROM audit_entry
      WHERE ($2::bigint IS NULL OR id < $2) AND ($3::text IS NULL OR subject = $3) AND ($4::text IS NULL OR operation = $4)
        AND ($5::text IS NULL OR target = $5) AND ($6::text IS NULL OR result = $6)
        AND ($7::timestamptz IS NULL OR at >= $7) AND ($8::timestamptz IS NULL OR at < $8)
      ORDER BY audit_entry.id DESC LIMIT $1`,
  },
} as const satisfies Record<string, Statement>;

/** PostgreSQL text accepts neither NUL nor a lone surrogate: each becomes U+FFFD. */
const storable = (text: string): string => Buffer.from(text.replaceAll('\0', '\ufffd')).toString();

export type AuditRepository = ReturnType<typeof auditRepository>;

export function auditRepository(database: Database) {
  return {
    async append(entries: readonly AuditEntry[]): Promise<void> {
      const column = <T>(of: (entry: AuditEntry) => T) => entries.map(of);
      await database.query(statements.append, [
        column(({ at }) => at),
        column(({ subject }) => storable(subject)),
        column(({ role }) => role),
        column(({ apiKeyId }) => apiKeyId),
        column(({ address }) => storable(address)),
        column(({ via }) => via),
        column(({ operation }) => operation),
        column(({ target }) => target && storable(target)),
        column(({ input }) => storable(input)),
        column(({ result }) => result),
      ]);
    },

    /** Newest first; `after` is the id of the last entry of the previous page. */
    async page(filter: AuditFilter, limit: number, after?: string): Promise<KeptAuditEntry[]> {
      const { subject, operation, target, result, from, to } = filter;
      const rows = await database.query<Row>(statements.page, [
        limit,
        after,
        subject,
        operation,
        target,
        result,
        from,
        to,
      ]);
      return rows.map(({ apiKeyId, target: of, ...row }) => ({ ...row, ...present({ apiKeyId, target: of }) }));
    },
  };
}
