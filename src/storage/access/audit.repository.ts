// The audit log in PostgreSQL; a trigger there refuses to update, delete or truncate entries.
import { present } from '../../common/present.ts';
import type { AuditEntry, Source } from '../../model/access/audit-entry.ts';
import type { Role } from '../../model/access/caller.ts';
import type { Database } from '../database.ts';
import { statement } from '../statement.ts';

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
  append: statement(
    'audit-append',
    `
      INSERT INTO audit_entry (at, subject, role, api_key_id, address, via, operation, target, input, result)
      SELECT * FROM unnest(:at::timestamptz[], :subject::text[], :role::text[], :apiKeyId::uuid[], :address::text[], :via::text[], :operation::text[],
        :target::text[], :input::text[], :result::text[])`,
  ),
  page: statement<Row>(
    'audit-page',
    `
      SELECT id::text, at, subject, role, api_key_id AS "apiKeyId", address, via, operation, target, input, result
      FROM audit_entry
      WHERE (:after::bigint IS NULL OR id < :after) AND (:subject::text IS NULL OR subject = :subject) AND (:operation::text IS NULL OR operation = :operation)
        AND (:target::text IS NULL OR target = :target) AND (:result::text IS NULL OR result = :result)
        AND (:from::timestamptz IS NULL OR at >= :from) AND (:to::timestamptz IS NULL OR at < :to)
      ORDER BY audit_entry.id DESC LIMIT :limit`,
  ),
};

/** PostgreSQL text accepts neither NUL nor a lone surrogate: each becomes U+FFFD. */
const storable = (text: string): string => Buffer.from(text.replaceAll('\0', '\ufffd')).toString();

export type AuditRepository = ReturnType<typeof auditRepository>;

export function auditRepository(database: Database) {
  return {
    async append(entries: readonly AuditEntry[]): Promise<void> {
      const column = <T>(of: (entry: AuditEntry) => T) => entries.map(of);
      await database.query(statements.append, {
        at: column(({ at }) => at),
        subject: column(({ subject }) => storable(subject)),
        role: column(({ role }) => role),
        apiKeyId: column(({ apiKeyId }) => apiKeyId),
        address: column(({ address }) => storable(address)),
        via: column(({ via }) => via),
        operation: column(({ operation }) => operation),
        target: column(({ target }) => target && storable(target)),
        input: column(({ input }) => storable(input)),
        result: column(({ result }) => result),
      });
    },

    /** Newest first; `after` is the id of the last entry of the previous page. */
    async page(filter: AuditFilter, limit: number, after?: string): Promise<KeptAuditEntry[]> {
      const { subject, operation, target, result, from, to } = filter;
      const rows = await database.query(statements.page, {
        limit,
        after,
        subject,
        operation,
        target,
        result,
        from,
        to,
      });
      return rows.map(({ apiKeyId, target: of, ...row }) => ({ ...row, ...present({ apiKeyId, target: of }) }));
    },
  };
}
