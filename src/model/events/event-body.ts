// Events as JSON for REST and webhooks, with the same names as in GraphQL.
import { reservationBody } from '../reservation/reservation-body.ts';
import { type ConnectorEvent, isEndedByOthers, type ReservationEvent } from './event.ts';

/** The event as a JSON body, with the reservation as of that event. */
export function eventBody(event: ReservationEvent | ConnectorEvent): Record<string, unknown> {
  const { kind, cursor, type, at, siteId, chargerId, connectorId, from, to } = event;
  const place = { kind, cursor, type, at, siteId, chargerId, connectorId, from, to };
  if (event.kind === 'CONNECTOR') return { ...place, errorCode: event.errorCode };
  const { reason, actor, reservation } = event;
  const told = { reason, actor, isEndedByOthers: isEndedByOthers(event) };
  return { ...place, ...told, reservation: reservationBody(reservation) };
}
