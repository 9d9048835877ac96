// Events as JSON for those who do not speak GraphQL: REST and webhooks. The names are the same.
import { reservationBody } from '../reservation/reservation-body.ts';
import { type ConnectorEvent, isEndedByOthers, type ReservationEvent } from './event.ts';

/** An event as its subscribers get it, with the reservation as of then. */
export function eventBody(event: ReservationEvent | ConnectorEvent): Record<string, unknown> {
  const { kind, cursor, type, at, siteId, chargerId, connectorId, from, to } = event;
  const place = { kind, cursor, type, at, siteId, chargerId, connectorId, from, to };
  if (event.kind === 'CONNECTOR') return { ...place, errorCode: event.errorCode };
  const { reason, actor, reservation } = event;
  const told = { reason, actor, isEndedByOthers: isEndedByOthers(event) };
  return { ...place, ...told, reservation: reservationBody(reservation) };
}
