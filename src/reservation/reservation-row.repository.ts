// A row of `reservation` <-> a Reservation, and the event that each change of one appends.
import { EntitySchema } from 'typeorm';
import { present } from '../common/present.ts';
import { columnsOf } from '../database/row-mapping.ts';
import type { TokenType } from '../id-tag/id-tag.ts';
import {
  type Enforcement,
  holdingStatuses,
  type Reason,
  type Reservation,
  type ReservationUpdate,
} from './reservation.ts';

/** A row of `reservation` as TypeORM and our statements give it; the event's snapshot is the same as JSON. */
export interface ReservationRow {
  id: string;
  reservationId: number;
  siteId: string;
  chargerId: string;
  connectorId: number;
  idTag: string;
  tokenType: TokenType;
  parentIdTag: string | null;
  status: Reservation['status'];
  version: number;
  startsAt: Date | string;
  expiryDate: Date | string;
  createdAt: Date | string;
  createdBy: string;
  reason: Reason | null;
  endedAt: Date | string | null;
  usedConnectorId: number | null;
  transactionId: string | null;
  isBreached: boolean;
  enforcement: Enforcement;
  chargerSaid: ReservationUpdate | null;
}

export const reservationSchema = new EntitySchema<ReservationRow>({
  name: 'reservation',
  columns: {
    id: { type: 'uuid', primary: true },
    reservationId: { type: 'int', name: 'reservation_id' },
    siteId: { type: 'text', name: 'site_id' },
    chargerId: { type: 'text', name: 'charger_id' },
    connectorId: { type: 'int', name: 'connector_id' },
    idTag: { type: 'text', name: 'id_tag' },
    tokenType: { type: 'text', name: 'token_type' },
    parentIdTag: { type: 'text', name: 'parent_id_tag', nullable: true },
    status: { type: 'text' },
    version: { type: 'int' },
    startsAt: { type: 'timestamptz', name: 'starts_at' },
    expiryDate: { type: 'timestamptz', name: 'expiry_date' },
    createdAt: { type: 'timestamptz', name: 'created_at' },
    createdBy: { type: 'text', name: 'created_by' },
    reason: { type: 'text', nullable: true },
    endedAt: { type: 'timestamptz', name: 'ended_at', nullable: true },
    usedConnectorId: { type: 'int', name: 'used_connector_id', nullable: true },
    transactionId: { type: 'uuid', name: 'transaction_id', nullable: true },
    isBreached: { type: 'boolean', name: 'is_breached' },
    enforcement: { type: 'text' },
    chargerSaid: { type: 'text', name: 'charger_said', nullable: true },
  },
});

export function toReservation(row: ReservationRow): Reservation {
  const { parentIdTag, reason, endedAt, usedConnectorId, transactionId, chargerSaid, ...facts } = row;
  return {
    ...facts,
    ...present({ parentIdTag, reason, usedConnectorId, transactionId, chargerSaid }),
    ...(endedAt && { endedAt: new Date(endedAt) }),
    startsAt: new Date(row.startsAt),
    expiryDate: new Date(row.expiryDate),
    createdAt: new Date(row.createdAt),
  } as Reservation;
}

export const { aliased, names } = columnsOf(reservationSchema);
/** For SQL: the statuses that hold a connector. */
export const holding = holdingStatuses.map((status) => `'${status}'`).join(', ');

/** For SQL: `source` are the changed rows, aliased; $2 is the actor. */
export const appendEvent = (source: string, from: string, rest: string) => `
  INSERT INTO event (at, kind, type, site_id, charger_id, connector_id, from_status, to_status, reason, actor,
                     reservation_id, version, snapshot)
  SELECT ${rest}, c."siteId", c."chargerId", c."connectorId", ${from}, c.status, c.reason, $2,
         c.id, c.version, to_jsonb(c) - 'old_status'
  FROM ${source} c`;
