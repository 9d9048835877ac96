// Which events a caller is meant to get: what it asks for, within its rights.
import { present } from '../../common/present.ts';
import type { LogEvent } from '../events/event.ts';
import type { Interest } from '../events/interest.ts';
import type { Caller } from './caller.ts';
import { reservationShare } from './rights.ts';

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
  const { siteIds, idTags, groups = [] } = reservationShare(caller, present({ siteId, idTag }));
  const wanted: readonly LogEvent['kind'][] =
    idTag === undefined && rest.reservationId === undefined ? kinds : kinds.filter((kind) => kind === 'RESERVATION');
  return { kinds: wanted, ...rest, ...present({ siteIds }), ...(idTags && { holders: { idTags, groups } }) };
}
