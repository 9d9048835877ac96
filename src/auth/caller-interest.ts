// Which events a caller is meant to get: what it asks for, within its rights.
import type { LogEvent } from '../event-log/event.ts';
import type { Interest } from '../event-log/interest.ts';
import { sameId } from '../id-tag/id-tag.ts';
import { type Caller, reservationScope, siteScope } from './caller.ts';

/** What is left out does not filter. */
export interface EventFilter {
  readonly siteId?: string;
  readonly chargerId?: string;
  readonly connectorId?: number;
  readonly reservationId?: string;
  readonly idTag?: string;
}

/** Of reservations and of connectors: whoever asks for a reservation, or for a holder, does not ask for connectors. */
export function eventInterest(
  caller: Caller,
  kinds: readonly ('RESERVATION' | 'CONNECTOR')[],
  { siteId, idTag, ...rest }: EventFilter,
): Interest {
  const { idTags: own, groups = [] } = reservationScope(caller);
  const { siteIds } = siteScope(caller);
  const sites = siteId === undefined ? siteIds : (siteIds ?? [siteId]).filter((one) => one === siteId);
  const idTags = idTag === undefined ? own : (own ?? [idTag]).filter((one) => sameId(one, idTag));
  const wanted: readonly LogEvent['kind'][] =
    idTag === undefined && rest.reservationId === undefined ? kinds : kinds.filter((kind) => kind === 'RESERVATION');
  return {
    kinds: wanted,
    ...rest,
    ...(sites && { siteIds: sites }),
    ...(idTags && { holders: { idTags, groups: idTag === undefined ? groups : [] } }),
  };
}
