// A log that collects the entries of level error and above, so that a test can assert that there are none.
import { pino } from 'pino';
import type { Log } from '../../src/common/log.ts';

export function faultLog(): { readonly log: Log; readonly faults: string[] } {
  const faults: string[] = [];
  const options = { level: 'error', serializers: { error: pino.stdSerializers.err } };
  return { log: pino(options, { write: (line: string) => void faults.push(line) }), faults };
}
