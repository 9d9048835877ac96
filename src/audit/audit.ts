// The audit log: who requested which change, from where, and with what result. Each entry is written before the request
// is answered; if the database is away, it is retried, and logged if it cannot be kept.

import type { Clock } from '../common/clock.ts';
import type { Log } from '../common/log.ts';
import type { AuditEntry, Source } from '../model/access/audit-entry.ts';
import type { Caller } from '../model/access/caller.ts';
import { isRefusal } from '../model/refusals/refusal.ts';
import type { AuditRepository } from '../storage/access/audit.repository.ts';

const MAX_INPUT = 4000;
/** A smaller limit for refused or failed changes: they cost their sender nothing and could fill the table. */
const MAX_REFUSED_INPUT = 1000;
const SECRETS = /password|secret|token|authorization/i;

/** The input as JSON for the log: secret strings are masked, and the text is cut to `length` characters. */
export function withoutSecrets(input: unknown, length: number): string {
  const text = JSON.stringify(input, (key, value) => (SECRETS.test(key) && typeof value === 'string' ? '***' : value));
  return (text ?? '').slice(0, length);
}

/** Maximum number of entries per INSERT. */
const BATCH = 500;
/**
 * Maximum number of entries kept in memory while the database is away; the oldest beyond that go to the process log.
 */
const MAX_OWED = 10_000;
const RETRY_MS = 1000;

interface Waiting {
  readonly entry: AuditEntry;
  readonly written: () => void;
  readonly failed: (error: unknown) => void;
}

interface Ports {
  readonly rows: AuditRepository;
  readonly clock: Clock;
  readonly log: Log;
}

/** Batches entries: entries that arrive while a statement runs share the next statement and its commit. */
export class Audit {
  #waiting: Waiting[] = [];
  #owed: AuditEntry[] = [];
  #writing: Promise<void> | undefined;
  #callOff: () => void = () => {};

  constructor(private readonly ports: Ports) {}

  /**
   * Returns what `change` returns, after its entry is stored. Throws what `change` throws, or the error of storing the
   * entry.
   */
  async record<T>(caller: Caller, source: Source, operation: string, input: unknown, change: () => T | Promise<T>) {
    const note = (result: string, answer?: unknown) => {
      const { subject, role, apiKeyId } = caller;
      const { address, via } = source;
      const target = targetOf(input, answer);
      const who = { subject, role, ...(apiKeyId !== undefined && { apiKeyId }) };
      return this.#write({
        at: this.ports.clock.now(),
        ...who,
        address,
        via,
        operation,
        input: withoutSecrets(input, result === 'OK' ? MAX_INPUT : MAX_REFUSED_INPUT),
        result,
        ...(target !== undefined && { target }),
      });
    };
    let answer: T;
    try {
      answer = await change();
    } catch (error) {
      await note('FAULT').catch(() => {}); // The entry is retried later; the caller gets the error of the change.
      throw error;
    }
    await note(isRefusal((answer ?? {}) as object) ? (answer as { code: string }).code : 'OK', answer);
    return answer;
  }

  /** Resolves when every entry is stored, or has been written to the process log instead. */
  async stop(): Promise<void> {
    this.#callOff();
    while (this.#writing) await this.#writing;
    if (this.#owed.length > 0) await this.#writeOwed(true);
  }

  #write(entry: AuditEntry): Promise<void> {
    const written = new Promise<void>((written, failed) => this.#waiting.push({ entry, written, failed }));
    this.#writing ??= this.#writeAll().finally(() => {
      this.#writing = undefined;
    });
    return written;
  }

  async #writeAll(): Promise<void> {
    while (this.#waiting.length > 0) {
      const batch = this.#waiting.splice(0, BATCH);
      try {
        await this.ports.rows.append(batch.map(({ entry }) => entry));
        for (const { written } of batch) written();
      } catch (error) {
        this.#owe(batch.map(({ entry }) => entry));
        for (const { failed } of batch) failed(error);
      }
    }
  }

  #owe(entries: readonly AuditEntry[]): void {
    this.#owed.push(...entries);
    this.#tell(this.#owed.splice(0, Math.max(0, this.#owed.length - MAX_OWED)));
    this.#callOff();
    this.#callOff = this.ports.clock.after(RETRY_MS, () => void this.#writeOwed(false));
  }

  async #writeOwed(isLast: boolean): Promise<void> {
    while (this.#owed.length > 0) {
      const batch = this.#owed.splice(0, BATCH);
      try {
        await this.ports.rows.append(batch);
      } catch {
        if (!isLast) return this.#owe(batch);
        this.#tell([...batch, ...this.#owed.splice(0)]);
      }
    }
  }

  #tell(entries: readonly AuditEntry[]): void {
    for (const entry of entries) this.ports.log.error({ entry }, 'an audit entry could not be stored');
  }
}

/** Members that can name the object of a change, the most specific first. */
const KEYS = ['id', 'idTag', 'chargerId', 'siteId', 'parentIdTag'] as const;

function targetOf(input: unknown, answer: unknown): string | undefined {
  const made = keyOf(answer);
  if (made !== undefined) return made;
  const { input: inner, ...rest } = (input ?? {}) as Record<string, unknown>;
  return keyOf(inner) ?? keyOf(rest);
}

function keyOf(value: unknown): string | undefined {
  if (typeof value !== 'object' || value === null || 'code' in value) return undefined;
  const members = value as Record<string, unknown>;
  const key = KEYS.map((name) => members[name]).find((one) => typeof one === 'string');
  if (key !== undefined) return String(key).slice(0, 255);
  const nested = Object.values(members).find((one) => typeof one === 'object' && one !== null && 'id' in one);
  return nested ? keyOf(nested) : undefined;
}
