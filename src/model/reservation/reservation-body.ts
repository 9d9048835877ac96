// Reservations as JSON for REST and webhooks, with the field names of GraphQL.
import type { Reservation } from './reservation.ts';

const FIELDS = [
  'id',
  'reservationId',
  'status',
  'reason',
  'version',
  'siteId',
  'chargerId',
  'connectorId',
  'plugType',
  'idTag',
  'parentIdTag',
  'policyVersion',
  'createdAt',
  'startsAt',
  'expiryDate',
  'acceptedAt',
  'endedAt',
  'isBooking',
  'extensions',
  'movedFrom',
  'alternative',
  'isLateCancel',
  'isReReservation',
  'transactionId',
  'usedConnectorId',
  'isBreached',
  'enforcement',
  'chargerSaid',
] as const;

/** Leaves out absent fields; as JSON, instants are ISO 8601 in UTC. */
export function reservationBody(reservation: Reservation): Record<string, unknown> {
  const facts = reservation as unknown as Record<string, unknown>;
  return Object.fromEntries(FIELDS.filter((name) => facts[name] !== undefined).map((name) => [name, facts[name]]));
}
