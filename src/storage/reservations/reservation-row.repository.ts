// Maps a row of `reservation` to a Reservation, and builds the SQL that other repositories share: its columns, the live
// rows of a window, and the event that each change appends.
import { EntitySchema } from 'typeorm';
import { present } from '../../common/present.ts';
import type { TokenType } from '../../model/charger/id-tag.ts';
import {
  type Alternative,
  type Enforcement,
  holdingStatuses,
  liveStatuses,
  type Reason,
  type Reservation,
  type ReservationUpdate,
} from '../../model/reservation/reservation.ts';
import { columnsOf } from '../row-mapping.ts';

/**
 * A row of `reservation` as TypeORM and our statements return it; the snapshot in an event has the same fields as JSON.
 */
export interface ReservationRow {
  id: string;
  reservationId: number;
  siteId: string;
  chargerId: string;
  connectorId: number;
  plugType: string | null;
  idTag: string | null;
  tokenType: TokenType;
  parentIdTag: string | null;
  holderGroup: string | null;
  policyVersion: number;
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
  acceptedAt: Date | string | null;
  isBooking: boolean;
  extensions: number;
  isLateCancel: boolean;
  isReReservation: boolean;
  movedFrom: string | null;
  alternative: Alternative | null;
}

export const reservationSchema = new EntitySchema<ReservationRow>({
  name: 'reservation',
  columns: {
    id: { type: 'uuid', primary: true },
    reservationId: { type: 'int', name: 'reservation_id' },
    siteId: { type: 'text', name: 'site_id' },
    chargerId: { type: 'text', name: 'charger_id' },
    connectorId: { type: 'int', name: 'connector_id' },
    plugType: { type: 'text', name: 'plug_type', nullable: true },
    idTag: { type: 'text', name: 'id_tag', nullable: true },
    tokenType: { type: 'text', name: 'token_type' },
    parentIdTag: { type: 'text', name: 'parent_id_tag', nullable: true },
    holderGroup: { type: 'text', name: 'holder_group', nullable: true },
    policyVersion: { type: 'int', name: 'policy_version' },
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
    acceptedAt: { type: 'timestamptz', name: 'accepted_at', nullable: true },
    isBooking: { type: 'boolean', name: 'is_booking' },
    extensions: { type: 'int' },
    isLateCancel: { type: 'boolean', name: 'is_late_cancel' },
    isReReservation: { type: 'boolean', name: 'is_re_reservation' },
    movedFrom: { type: 'uuid', name: 'moved_from', nullable: true },
    alternative: { type: 'jsonb', nullable: true },
  },
});

/** Defaults for the snapshots of old events, which lack the columns added later. */
const inOldEvents = { policyVersion: 1, isBooking: false, extensions: 0, isLateCancel: false, isReReservation: false };

export function toReservation(row: ReservationRow): Reservation {
  const { startsAt, expiryDate, createdAt, endedAt, acceptedAt, ...facts } = row;
  return {
    ...inOldEvents,
    ...present(facts),
    ...(endedAt && { endedAt: new Date(endedAt) }),
    ...(acceptedAt && { acceptedAt: new Date(acceptedAt) }),
    startsAt: new Date(startsAt),
    expiryDate: new Date(expiryDate),
    createdAt: new Date(createdAt),
  } as Reservation;
}

export const { aliased, names } = columnsOf(reservationSchema);
/** For SQL: the columns by their property names, to select them from a result that is aliased already. */
export const properties = names.map(({ property }) => `"${property}"`).join(', ');
/** For SQL: the columns of a table that is aliased r. */
export const aliasedOfR = names.map(({ column, property }) => `r.${column} AS "${property}"`).join(', ');
/** For SQL: the statuses in which the charger holds, or may hold, the reservation; `live` adds SCHEDULED. */
export const holding = holdingStatuses.map((status) => `'${status}'`).join(', ');
export const live = liveStatuses.map((status) => `'${status}'`).join(', ');

/**
 * For SQL: the live reservations of a charger, aliased r, that touch the window from `from` until `until`. There may be
 * a year of other bookings: reservations of up to a day are found by their start, the few longer ones by an index of
 * their own.
 */
export const touching = (chargerId: string, from: string, until: string, columns: string) => `
  SELECT ${columns} FROM reservation r WHERE r.charger_id = ${chargerId} AND r.status IN (${live})
    AND r.starts_at > ${from}::timestamptz - interval '1 day' AND r.starts_at <= ${until}::timestamptz
    AND r.held_until > ${from}::timestamptz
  UNION ALL
  SELECT ${columns} FROM reservation r WHERE r.charger_id = ${chargerId} AND r.status IN (${live})
    AND r.held_until - r.starts_at >= interval '1 day'
    AND r.starts_at <= ${from}::timestamptz - interval '1 day' AND r.held_until > ${from}::timestamptz`;

/**
 * For SQL: appends an event for each changed row in `source` (aliased columns); `:actor` caused the change. At an end
 * held_seconds is how long the charger held the reservation, at a use waited_seconds how long after the start it came;
 * a correction of a final status counts neither again.
 */
export const appendEvent = (source: string, from: string, rest: string) => `
  INSERT INTO event (at, kind, type, site_id, charger_id, connector_id, from_status, to_status, reason, actor,
                     reservation_id, version, snapshot, id_tag, held_seconds, waited_seconds, is_late)
  SELECT ${rest}, c."siteId", c."chargerId", c."connectorId", ${from}, c.status, c.reason, :actor,
         c.id, c.version, to_jsonb(c) - 'old_status', coalesce(c."idTag", c."parentIdTag"),
         CASE WHEN c."endedAt" IS NOT NULL AND c."acceptedAt" IS NOT NULL AND ${from}::text IN (${holding})
              THEN greatest(0, extract(epoch FROM least(c."endedAt", c."expiryDate")
                                               - greatest(c."startsAt", c."acceptedAt")))::integer END,
         CASE WHEN c.status = 'USED' AND ${from}::text IN (${live}) THEN greatest(0, extract(epoch FROM c."endedAt" - c."startsAt"))::integer END,
         c."isLateCancel"
  FROM ${source} c`;
