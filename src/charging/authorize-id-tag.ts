// Reads the facts from the database and decides by authorize.ts.

import { addMs } from '../common/clock.ts';
import { type Authorization, authorize } from '../model/reservation/authorize.ts';
import { CLOCK_TOLERANCE_MS } from '../model/reservation/match-use.ts';
import { resolvePolicy } from '../model/site/policy.ts';
import type { ChargerRepository } from '../storage/chargers/charger.repository.ts';
import type { IdTagRepository } from '../storage/chargers/id-tag.repository.ts';
import type { ReservationRepository } from '../storage/reservations/reservation.repository.ts';
import type { PolicyRepository } from '../storage/sites/policy.repository.ts';

export interface AuthorizePorts {
  readonly idTags: IdTagRepository;
  readonly chargers: ChargerRepository;
  readonly reservations: ReservationRepository;
  readonly policies: PolicyRepository;
}

export type AuthorizeIdTag = (
  chargerId: string,
  connectorId: number,
  idTag: string,
  at: Date,
) => Promise<Authorization>;

/**
 * `at` may lie in the past: an offline charger reports a start late, and a hold that began after that start must not
 * forbid it.
 */
export const authorizeIdTag =
  ({ idTags, chargers, reservations, policies }: AuthorizePorts): AuthorizeIdTag =>
  async (chargerId, connectorId, idTag, at) => {
    const [found, connectors, live] = await Promise.all([
      idTags.find(idTag),
      chargers.connectors([chargerId]),
      reservations.heldAt([chargerId], at),
    ]);
    const holds = live.filter((hold) => addMs(hold.startsAt, -CLOCK_TOLERANCE_MS) <= at);
    const decided = authorize(found, connectorId, { connectors, holds }, at);
    if (decided.status !== 'RESERVED') return decided;
    const site = await policies.ofCharger(chargerId);
    const toldAs = site && resolvePolicy(site, { chargerId, group: found?.parentIdTag }).intruderStatus;
    return toldAs ? { ...decided, toldAs } : decided;
  };
