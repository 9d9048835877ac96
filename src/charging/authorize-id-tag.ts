// Decides whether an idTag may charge: reads the facts from the database and applies the rules of authorize.ts.

import { addMs } from '../common/clock.ts';
import { type Authorization, authorize } from '../model/reservation/authorize.ts';
import { CLOCK_TOLERANCE_MS } from '../model/reservation/timing.ts';
import { resolvePolicy } from '../model/site/policy.ts';
import type { ChargingPorts } from './ports.ts';

export type AuthorizingPorts = Pick<ChargingPorts, 'idTags' | 'chargers' | 'reservations' | 'policyRows'>;

/**
 * `at` may lie in the past: an offline charger reports a start late, and a hold that began after that start must not
 * forbid it.
 */
export async function authorizeIdTag(
  ports: AuthorizingPorts,
  chargerId: string,
  connectorId: number,
  idTag: string,
  at: Date,
): Promise<Authorization> {
  const { idTags, chargers, reservations, policyRows } = ports;

  const [found, connectors, live] = await Promise.all([
    idTags.find(idTag),
    chargers.connectors([chargerId]),
    reservations.heldOrBegun([chargerId], at),
  ]);
  const holds = live.filter((hold) => addMs(hold.startsAt, -CLOCK_TOLERANCE_MS) <= at);
  const decided = authorize(found, connectorId, { connectors, holds }, at);
  if (decided.status !== 'RESERVED') return decided;
  const site = await policyRows.ofCharger(chargerId);
  const toldAs = site && resolvePolicy(site, { chargerId, group: found?.parentIdTag }).intruderStatus;
  return toldAs ? { ...decided, toldAs } : decided;
}
