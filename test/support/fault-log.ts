// A log that keeps what went wrong inside, so that a test can demand that nothing did.
import { pino } from 'pino';
import type { Log } from '../../src/common/log.ts';

export function faultLog(): { readonly log: Log; readonly faults: string[] } {
  const faults: string[] = [];
  const options = { level: 'error', serializers: { error: pino.stdSerializers.err } };
  return { log: pino(options, { write: (line: string) => void faults.push(line) }), faults };
}
