// The events that a subscriber gets: those it asked for, cut down to its rights (model/access/caller-interest.ts). Also
// routes each event to the subscribers that may be interested in it.
import { belongsTo, type Holders } from '../reservation/holder.ts';
import type { LogEvent } from './event.ts';

/** A member that is left out does not restrict. */
export interface Interest {
  readonly kinds: readonly LogEvent['kind'][];
  readonly siteIds?: readonly string[];
  readonly chargerId?: string;
  readonly connectorId?: number;
  /** Restricts reservation events only; connector events have no reservation. */
  readonly reservationId?: string;
  /**
   * Restricts reservation events only: those held for one of these idTags, or for one of these groups without an idTag.
   */
  readonly holders?: Holders;
}

export function isOfInterest(event: LogEvent, interest: Interest): boolean {
  const { kinds, siteIds, chargerId, connectorId, reservationId, holders } = interest;
  return (
    kinds.includes(event.kind) &&
    (siteIds === undefined || siteIds.includes(event.siteId)) &&
    (chargerId === undefined || event.chargerId === chargerId) &&
    (connectorId === undefined || event.connectorId === connectorId) &&
    (event.kind !== 'RESERVATION' ||
      ((reservationId === undefined || event.reservation.id === reservationId) &&
        (holders === undefined || belongsTo(event.reservation, holders))))
  );
}

/** Identifiers of drivers and groups are compared without regard to case. */
const fold = (id: string) => id.toLowerCase();

/**
 * Finds the targets that may be interested in an event without visiting all others: each target is filed under the
 * narrowest thing that its interest names, and an event is looked up under everything it concerns.
 */
export class Routes<T> {
  readonly #places = new Map<string, Set<T>>();

  add(interest: Interest, target: T): void {
    for (const place of placesOf(interest)) {
      const targets = this.#places.get(place) ?? new Set<T>();
      this.#places.set(place, targets.add(target));
    }
  }

  remove(interest: Interest, target: T): void {
    for (const place of placesOf(interest)) {
      const targets = this.#places.get(place);
      if (targets?.delete(target) && targets.size === 0) this.#places.delete(place);
    }
  }

  /** Visits each target once; there is no guarantee for a target that is added or removed meanwhile. */
  forEach(event: LogEvent, visit: (target: T) => void): void {
    for (const place of placesConcerned(event)) this.#places.get(place)?.forEach(visit);
  }
}

function placesOf({ kinds, siteIds, chargerId, connectorId, reservationId, holders }: Interest): string[] {
  const narrowest = (kind: LogEvent['kind']): string[] => {
    if (kind === 'RESERVATION' && reservationId !== undefined) return [`/reservation/${reservationId}`];
    if (kind === 'RESERVATION' && holders !== undefined) {
      const { idTags, groups } = holders;
      return [...idTags.map((id) => `/idTag/${fold(id)}`), ...groups.map((id) => `/group/${fold(id)}`)];
    }
    if (chargerId !== undefined) {
      return [connectorId === undefined ? `/charger/${chargerId}` : `/connector/${connectorId}/${chargerId}`];
    }
    return siteIds?.map((id) => `/site/${id}`) ?? [''];
  };
  return kinds.flatMap((kind) => [...new Set(narrowest(kind))].map((place) => `${kind}${place}`));
}

/** All places are different, at most one of each sort, so that no target is found twice. */
function placesConcerned(event: LogEvent): string[] {
  const { kind, siteId, chargerId, connectorId } = event;
  const places = [kind, `${kind}/site/${siteId}`, `${kind}/charger/${chargerId}`];
  places.push(`${kind}/connector/${connectorId}/${chargerId}`);
  if (event.kind !== 'RESERVATION') return places;
  const { id, idTag, parentIdTag } = event.reservation;
  places.push(`${kind}/reservation/${id}`);
  if (idTag !== undefined) places.push(`${kind}/idTag/${fold(idTag)}`);
  else if (parentIdTag !== undefined) places.push(`${kind}/group/${fold(parentIdTag)}`);
  return places;
}
