// What the audit log says of one change.
import type { Role } from './caller.ts';

/** Where a request came from. */
export interface Source {
  readonly address: string;
  readonly via: 'GRAPHQL' | 'WEBSOCKET' | 'EVENT_STREAM' | 'REST';
}

export interface AuditEntry extends Source {
  readonly at: Date;
  readonly subject: string;
  readonly role: Role;
  readonly apiKeyId?: string;
  /** The mutation, by its name. */
  readonly operation: string;
  /** The key of what was changed, or was to be: of what was made, where it was. */
  readonly target?: string;
  /** What was asked for, as JSON, without secrets; cut where it is very long. */
  readonly input: string;
  /** OK, the code of the refusal, or FAULT: what came of it is not known. */
  readonly result: string;
}
