// One entry of the audit log: a requested change, who requested it, from where, and its result.
import type { Role } from './caller.ts';

/** The client of a request: its address and the interface it used. */
export interface Source {
  readonly address: string;
  readonly via: 'GRAPHQL' | 'WEBSOCKET' | 'EVENT_STREAM' | 'REST';
}

export interface AuditEntry extends Source {
  readonly at: Date;
  readonly subject: string;
  readonly role: Role;
  readonly apiKeyId?: string;
  /** Name of the mutation. */
  readonly operation: string;
  /** Key of the object that the change created or concerns: taken from the answer, or else from the input. */
  readonly target?: string;
  /** The input as JSON, with secrets masked; cut if it is very long. */
  readonly input: string;
  /** OK, the code of the refusal, or FAULT: the change failed and its outcome is unknown. */
  readonly result: string;
}
