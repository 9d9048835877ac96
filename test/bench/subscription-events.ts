// The events of the subscriptions benchmark, and the frames that a subscriber gets: some 440 bytes each.
import { randomUUID } from 'node:crypto';
import type { ReservationEvent } from '../../src/model/events/event.ts';
import type { Reservation } from '../../src/model/reservation/reservation.ts';

export const SUBSCRIPTION = `subscription ($filter: ReservationEventFilter) { reservationChanged(filter: $filter) {
  at cursor type from to actor isEndedByOthers
  reservation { id reservationId status version chargerId connectorId idTag parentIdTag startsAt expiryDate } } }`;

let counted = 0;

export function benchEvent(sites: number, chargers: number): ReservationEvent {
  counted += 1;
  const at = new Date();
  const place = { siteId: `S${counted % sites}`, chargerId: `C${counted % chargers}`, connectorId: 1 };
  const reservation = {
    id: randomUUID(),
    reservationId: counted,
    version: 2,
    status: 'ACCEPTED',
    idTag: 'ANNA',
    parentIdTag: 'FLEET',
    ...place,
    tokenType: 'ISO14443',
    policyVersion: 1,
    isBreached: false,
    enforcement: 'UNVERIFIED',
    createdAt: at,
    createdBy: 'bench',
    acceptedAt: at,
    startsAt: at,
    expiryDate: new Date(at.getTime() + 900_000),
    isBooking: false,
    extensions: 0,
    isLateCancel: false,
    isReReservation: false,
  } as unknown as Reservation;
  const change = { type: 'ACCEPTED', from: 'PENDING', to: 'ACCEPTED', actor: 'CHARGER' } as const;
  return { kind: 'RESERVATION', cursor: 'MTIzNDU2Nzg5LjEyMzQ1Njc4OQ', at, ...place, ...change, reservation };
}

/** The frame that a subscriber of `SUBSCRIPTION` gets. */
export function frameOf({ at, cursor, type, from, to, actor, reservation: r }: ReservationEvent): Buffer {
  const { id, reservationId, status, version, chargerId, connectorId, idTag, parentIdTag, startsAt, expiryDate } = r;
  const shown = {
    id,
    reservationId,
    status,
    version,
    chargerId,
    connectorId,
    idTag,
    parentIdTag,
    startsAt,
    expiryDate,
  };
  const event = { at, cursor, type, from, to, actor, isEndedByOthers: false, reservation: shown };
  return Buffer.from(JSON.stringify({ id: '1', type: 'next', payload: { data: { reservationChanged: event } } }));
}
