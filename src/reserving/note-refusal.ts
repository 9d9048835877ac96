// Appends a refused request to the event log, so that the usage of a site counts refusals as well.
import type { Caller } from '../model/access/caller.ts';
import type { Refusal } from '../model/refusals/refusal.ts';
import type { PolicyRefusal } from '../model/site/decide.ts';
import type { HoldInput } from './hold-input.ts';
import type { ReservingPorts } from './ports.ts';

/**
 * Codes that are not logged: mistakes of the caller, NOT_SETTLED, after which the caller tries again, and
 * CHARGER_REFUSED, which is an event of the reservation already.
 */
const unnoted = new Set([
  'INVALID_INPUT',
  'FORBIDDEN',
  'NOT_YOUR_ID_TAG',
  'CHARGER_REFUSED',
  'IDEMPOTENCY_KEY_REUSED',
  'SITE_NOT_FOUND',
  'CHARGER_NOT_FOUND',
  'CONNECTOR_NOT_FOUND',
  'NOT_SETTLED',
]);

/** Runs in the background: the answer to the caller does not depend on it. */
export function noteRefusal(ports: ReservingPorts, caller: Caller, input: HoldInput, refusal: Refusal): void {
  const { usage, background, announce, clock, log } = ports;

  if (unnoted.has(refusal.code)) return;
  const rules = refusal.code === 'POLICY' ? (refusal as PolicyRefusal).reasons.map(({ rule }) => rule) : [];
  const noted = usage.noteRefusal({ ...input, at: clock.now(), actor: caller.role, code: refusal.code, rules });
  background
    .track(noted)
    .then(announce)
    .catch((error) => log.warn({ error, code: refusal.code }, 'a refusal was not written to the event log'));
}
