// The fields that every event has in the API, the filter of events, and the present state that a subscription may begin
// with.
import { Field, ID, Int, InterfaceType } from 'type-graphql';
import { isUuid } from '../../common/identifier.ts';
import { present } from '../../common/present.ts';
import type { EventFilter } from '../../model/access/caller-interest.ts';
import type { Start } from '../../model/events/cursor.ts';
import type { LogEvent } from '../../model/events/event.ts';
import { badInput } from '../operations/errors.ts';
import type { Present } from '../operations/watch.ts';

@InterfaceType('Event', {
  description: 'Something that happened, in the order of the log.',
  resolveType: ({ kind }: LogEvent) => (kind === 'CONNECTOR' ? 'ConnectorEvent' : 'ReservationEvent'),
})
export abstract class EventType {
  @Field(() => String, { description: 'Position in the log of events; opaque.' })
  cursor!: string;

  @Field(() => Date, { description: 'When it happened, or when the server learned of it.' })
  at!: Date;

  @Field(() => ID, { description: 'The site.' })
  siteId!: string;

  @Field(() => ID, { description: 'The charger.' })
  chargerId!: string;

  @Field(() => Int, { description: 'The connector; 0: the whole charger, or where the charger chooses.' })
  connectorId!: number;
}

export const AFTER =
  'The `cursor` of the last event seen, or `eventCursor`: the events missed since then come first, as far as your present rights allow. Use the cursor of a SNAPSHOT only once `snapshotLeft` was 0. CURSOR_EXPIRED: the log no longer reaches back that far.';

export const SNAPSHOT_LEFT = 'On a SNAPSHOT: how many more SNAPSHOT messages follow. Null on an event.';

/** The filter without its nulls, the reservationId in lower case. Throws BAD_USER_INPUT if that is not a UUID. */
export function eventFilter(
  given: { readonly [name in keyof EventFilter]: EventFilter[name] | null } | null | undefined,
) {
  const filter: EventFilter = present(given ?? {});
  const { reservationId } = filter;
  if (reservationId === undefined) return filter;
  if (!isUuid(reservationId)) throw badInput('filter.reservationId', 'It is not the id of a reservation.');
  return { ...filter, reservationId: reservationId.toLowerCase() };
}

const MAX_PRESENT = 5000;

/** Reads the present state as messages of a subscription. Throws SNAPSHOT_TOO_LARGE above MAX_PRESENT rows. */
export async function presentState<T>(
  read: (limit: number) => Promise<{ readonly start: Start; readonly rows: readonly T[] }>,
  toEvent: (row: T, left: number, start: Start) => object,
): Promise<Present> {
  const { start, rows } = await read(MAX_PRESENT + 1);
  if (rows.length > MAX_PRESENT) throw tooLarge();
  return { start, events: rows.map((row, index) => toEvent(row, rows.length - 1 - index, start)) };
}

const tooLarge = () =>
  badInput('snapshot', `More than ${MAX_PRESENT} match; narrow the filter, for example to one site.`, {
    code: 'SNAPSHOT_TOO_LARGE',
    limit: MAX_PRESENT,
  });
