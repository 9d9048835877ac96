// Turns an event filter and the rights of a caller into the Interest in the events it may receive.
import { present } from '../../common/present.ts';
import type { LogEvent } from '../events/event.ts';
import type { Interest } from '../events/interest.ts';
import type { Caller } from './caller.ts';
import { reservationShare } from './rights.ts';

/** An absent field does not filter. */
export interface EventFilter {
  readonly siteId?: string;
  readonly chargerId?: string;
  readonly connectorId?: number;
  readonly reservationId?: string;
  readonly idTag?: string;
}

/** A filter by reservation or by holder leaves out CONNECTOR events, which have neither. */
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
