// Reservations in PostgreSQL. Each transition is one statement: it checks the version it was decided on, writes
// version + 1 and appends one event, so it happens whole or not at all, and once.
import type { SelectQueryBuilder } from 'typeorm';
import { present } from '../common/present.ts';
import { type Database, type Statement, violatedConstraint } from '../database/database.ts';
import type { Actor, ReservationEventType } from '../event-log/event.ts';
import type { IdTag, TokenType } from '../id-tag/id-tag.ts';
import type { Transaction } from '../transaction/transaction.ts';
import type { AdmissionFacts } from './admission.ts';
import { type FollowUp, followUps } from './follow-up.repository.ts';
import type { Enforcement, Reservation, ReservationUpdate } from './reservation.ts';
import {
  aliased,
  appendEvent,
  holding,
  type ReservationRow,
  reservationSchema,
  toReservation,
} from './reservation-row.repository.ts';

export interface NewReservation {
  readonly id: string;
  readonly chargerId: string;
  readonly connectorId: number;
  readonly idTag: string;
  readonly tokenType: TokenType;
  readonly parentIdTag?: string;
  readonly startsAt: Date;
  readonly expiryDate: Date;
  readonly createdBy: string;
  readonly actor: Actor;
  readonly enforcement: Enforcement;
  readonly idempotencyKey?: string;
  readonly requestDigest?: string;
  /** The caller's own; without it the sequence gives one. */
  readonly reservationId?: number;
  /** When the settler takes over if the process dies on the way. */
  readonly dueAt: Date;
}

export type InsertConflict = 'FACTS_CHANGED' | 'CONNECTOR_HELD' | 'RESERVATION_ID_IN_USE' | 'IDEMPOTENCY_KEY_USED';

export interface ReservationFilter {
  readonly siteIds?: readonly string[];
  readonly idTags?: readonly string[];
  readonly chargerId?: string;
  readonly connectorId?: number;
  readonly statuses?: readonly Reservation['status'][];
}

const statements = {
  facts: {
    name: 'reservation-facts',
    text: `
      SELECT c.site_id AS "siteId", c.ocpp_version AS "ocppVersion", c.hold_version AS "holdVersion",
             c.supports_reservation AS "supportsReservation", c.supports_connector_zero AS "supportsConnectorZero",
             c.connected_node IS NOT NULL AS "isConnected", c.last_seen_at AS "lastSeenAt",
             json_build_object('enabled', s.enabled, 'minDurationMinutes', s.min_duration_minutes,
               'maxDurationMinutes', s.max_duration_minutes, 'defaultDurationMinutes', s.default_duration_minutes,
               'precheckStatus', s.precheck_status, 'serverSideHoldAllowed', s.server_side_hold_allowed,
               'extensionAllowed', s.extension_allowed, 'extensionMayReplace', s.extension_may_replace
             ) AS policy,
             (SELECT coalesce(json_agg(json_build_object('connectorId', k.connector_id, 'state', k.state)), '[]')
              FROM connector k WHERE k.charger_id = c.id) AS connectors,
             (SELECT coalesce(json_agg(json_build_object('connectorId', r.connector_id,
                'expiryDate', r.expiry_date)), '[]')
              FROM reservation r WHERE r.charger_id = c.id AND r.status IN (${holding}) AND r.expiry_date > $3) AS holds,
             (SELECT json_build_object('idTag', t.id_tag, 'tokenType', t.token_type, 'parentIdTag', t.parent_id_tag,
                'status', t.status, 'expiryDate', t.expiry_date)
              FROM id_tag t WHERE lower(t.id_tag) = lower($2)) AS "idTag",
             EXISTS (SELECT FROM reservation r WHERE r.charger_id = c.id AND r.reservation_id = $4
               AND (r.status IN (${holding}) OR r.is_release_owed)) AS "isReservationIdInUse"
      FROM charger c JOIN site s ON s.id = c.site_id
      WHERE c.id = $1 AND c.removed_at IS NULL`,
  },
  insert: {
    name: 'reservation-insert',
    text: `
      WITH admitted AS (
        UPDATE charger SET hold_version = hold_version + 1
        WHERE id = $3 AND hold_version = $4 AND removed_at IS NULL
          -- The charger may still hold an ended reservation under that id, and will be told to let it go.
          AND NOT EXISTS (SELECT FROM reservation WHERE charger_id = $3 AND reservation_id = $6 AND is_release_owed)
        RETURNING id, site_id
      ), made AS (
        INSERT INTO reservation (id, reservation_id, site_id, charger_id, connector_id, id_tag, token_type,
          parent_id_tag, status, version, starts_at, expiry_date, created_at, created_by, idempotency_key,
          request_digest, due_at, enforcement)
        SELECT $5, coalesce($6::integer, nextval('reservation_wire_id')::integer), site_id, id, $7::integer, $8, $9,
               $10, 'PENDING', 1, $1, $11, $1, $12, $13, $14, $15, $16
        FROM admitted RETURNING ${aliased}
      ), logged AS (${appendEvent('made', 'NULL', "$1::timestamptz, 'RESERVATION', 'REQUESTED'")})
      SELECT "reservationId", "siteId" FROM made`,
  },
  advance: {
    name: 'reservation-advance',
    text: `
      WITH changed AS (
        UPDATE reservation SET status = $6, version = version + 1, reason = $7, ended_at = $8, used_connector_id = $9,
          transaction_id = $10, is_breached = $11, reservation_id = $15, expiry_date = $16,
          confirmed_at = CASE WHEN $3 IN ('ACCEPTED', 'EXTENDED') THEN $1 ELSE confirmed_at END,
          doubted_at = CASE WHEN $3 IN ('ACCEPTED', 'EXTENDED') THEN NULL ELSE doubted_at END,
          -- A breach leaves what is to be done; a cancel does not settle what became owed while it was on its way.
          attempts = CASE $3 WHEN 'BREACHED' THEN attempts ELSE 0 END,
          claimed_until = CASE $3 WHEN 'BREACHED' THEN claimed_until END,
          is_release_owed = $13 OR (is_release_owed AND $6 = 'CANCELLED'),
          due_at = CASE WHEN $3 = 'BREACHED' THEN due_at WHEN is_release_owed AND $6 = 'CANCELLED' THEN $1 ELSE $12 END
        WHERE id = $4 AND version = $5 RETURNING ${aliased}
      ), logged AS (${appendEvent('changed', '$14', "$1::timestamptz, 'RESERVATION', $3")})
      SELECT FROM changed`,
  },
  annotate: {
    name: 'reservation-annotate',
    text: `UPDATE reservation SET charger_said = $2 WHERE id = $1 AND status NOT IN (${holding}) AND charger_said IS NULL`,
  },
  nextReservationId: {
    name: 'reservation-next-id',
    text: `SELECT nextval('reservation_wire_id')::integer AS id`,
  },
  byId: { name: 'reservation-by-id', text: `SELECT ${aliased} FROM reservation WHERE id = $1` },
  byWireId: {
    name: 'reservation-by-wire-id',
    text: `
      SELECT ${aliased} FROM reservation WHERE charger_id = $1 AND reservation_id = $2
      ORDER BY (status IN (${holding})) DESC, created_at DESC LIMIT 1`,
  },
  byIdempotencyKey: {
    name: 'reservation-by-idempotency-key',
    text: `
      SELECT ${aliased}, request_digest AS "requestDigest" FROM reservation
      WHERE created_by = $1 AND idempotency_key = $2`,
  },
  live: {
    name: 'reservation-live',
    text: `
      SELECT ${aliased} FROM reservation
      WHERE charger_id = ANY($1::text[]) AND status IN (${holding}) AND expiry_date > $2`,
  },
  matchable: {
    name: 'reservation-matchable',
    text: `
      SELECT ${aliased} FROM reservation
      WHERE charger_id = $1 AND (status IN (${holding})
        OR (status IN ('EXPIRED', 'CANCELLED', 'REMOVED', 'FAILED') AND starts_at <= $2))
        AND expiry_date > $2
        AND NOT EXISTS (SELECT FROM reservation WHERE transaction_id = $3)`,
  },
} as const satisfies Record<string, Statement>;

export type ReservationRepository = ReturnType<typeof reservationRepository>;

export function reservationRepository(database: Database) {
  const rows = async (statement: Statement, values: readonly unknown[]) =>
    (await database.query<ReservationRow>(statement, values)).map(toReservation);
  const row = async (statement: Statement, values: readonly unknown[]) => (await rows(statement, values))[0];

  return {
    ...followUps(database),

    /** What an admission is decided on, read as one snapshot; undefined where there is no such charger. */
    async facts(
      { chargerId, idTag, reservationId }: { chargerId: string; idTag: string; reservationId?: number },
      now: Date,
    ): Promise<AdmissionFacts | undefined> {
      type Row = Omit<AdmissionFacts, 'holds' | 'idTag'> & { holds: RawHold[]; idTag: RawIdTag | null };
      const [found] = await database.query<Row>(statements.facts, [chargerId, idTag, now, reservationId]);
      if (!found) return undefined;
      const holds = found.holds.map((hold) => ({ ...hold, expiryDate: new Date(hold.expiryDate) }));
      const facts = present(found) as unknown as AdmissionFacts;
      return { ...facts, holds, idTag: found.idTag ? toIdTag(found.idTag) : undefined };
    },

    /**
     * Stores the hold as PENDING, unless the facts it was admitted on have changed since (`holdVersion`).
     * The database decides between racers; nothing is stored on a conflict.
     */
    async insert(made: NewReservation, holdVersion: number): Promise<Reservation | InsertConflict> {
      const values = [
        ...[made.startsAt, made.actor, made.chargerId, holdVersion, made.id, made.reservationId, made.connectorId],
        ...[made.idTag, made.tokenType, made.parentIdTag, made.expiryDate, made.createdBy],
        ...[made.idempotencyKey, made.requestDigest, made.dueAt, made.enforcement],
      ];
      try {
        type Assigned = Pick<ReservationRow, 'reservationId' | 'siteId'>;
        const [assigned] = await database.query<Assigned>(statements.insert, values);
        return assigned ? toPending(made, assigned) : 'FACTS_CHANGED';
      } catch (error) {
        switch (violatedConstraint(error)) {
          case 'reservation_connector_held':
            return 'CONNECTOR_HELD';
          case 'reservation_live_wire_id':
            return made.reservationId === undefined ? 'FACTS_CHANGED' : 'RESERVATION_ID_IN_USE';
          case 'reservation_idempotency':
            return 'IDEMPOTENCY_KEY_USED';
          default:
            throw error;
        }
      }
    },

    /** Stores what `apply` made of `previous`; false when somebody else was first. */
    async advance(
      previous: Reservation,
      next: Reservation,
      event: { readonly type: ReservationEventType; readonly actor: Actor; readonly at: Date },
      followUp: FollowUp,
    ): Promise<boolean> {
      const facts = next as Partial<Record<'reason' | 'endedAt' | 'usedConnectorId' | 'transactionId', unknown>>;
      const changed = await database.query(statements.advance, [
        ...[event.at, event.actor, event.type, previous.id, previous.version, next.status, facts.reason, facts.endedAt],
        ...[facts.usedConnectorId, facts.transactionId, next.isBreached, followUp.dueAt, followUp.isReleaseOwed],
        ...[previous.status, next.reservationId, next.expiryDate],
      ]);
      return changed.length > 0;
    },

    /** What the charger told of a reservation that has ended; the first word stays. */
    async annotate(id: string, update: ReservationUpdate): Promise<void> {
      await database.query(statements.annotate, [id, update]);
    },

    /** For a hold that is made anew under another id on the charger. */
    async nextReservationId(): Promise<number> {
      const [found] = await database.query<{ id: number }>(statements.nextReservationId, []);
      if (!found) throw new Error('PostgreSQL gave no reservationId');
      return found.id;
    },

    byId: (id: string) => row(statements.byId, [id]),

    /** The live one where there is one, else the latest with that id. */
    byWireId: (chargerId: string, reservationId: number) => row(statements.byWireId, [chargerId, reservationId]),

    async byIdempotencyKey(createdBy: string, key: string) {
      type Row = ReservationRow & { requestDigest: string };
      const [found] = await database.query<Row>(statements.byIdempotencyKey, [createdBy, key]);
      if (!found) return undefined;
      const { requestDigest, ...reservation } = found;
      return { reservation: toReservation(reservation), requestDigest };
    },

    /** The reservations that hold a connector of these chargers now. */
    live: (chargerIds: readonly string[], now: Date) => rows(statements.live, [[...chargerIds], now]),

    /** The reservations that a transaction could be a use of; none where it has used one already. */
    matchable: ({ chargerId, startedAt, id }: Pick<Transaction, 'chargerId' | 'startedAt' | 'id'>) =>
      rows(statements.matchable, [chargerId, startedAt, id]),

    /** Newest first; `after` is the last reservation of the page before. */
    async page(filter: ReservationFilter, first: number, after?: { createdAt: Date; id: string }) {
      const query = database.source.getRepository(reservationSchema).createQueryBuilder('r');
      filterBy(query, filter);
      if (after) query.andWhere('(r.createdAt, r.id) < (:createdAt, :id)', after);
      const found = await query.orderBy('r.createdAt', 'DESC').addOrderBy('r.id', 'DESC').limit(first).getMany();
      return found.map(toReservation);
    },
  };
}

function toPending(made: NewReservation, assigned: Pick<ReservationRow, 'reservationId' | 'siteId'>): Reservation {
  const { id, chargerId, connectorId, idTag, tokenType, parentIdTag, startsAt, expiryDate, createdBy, enforcement } =
    made;
  const what = { id, ...assigned, chargerId, connectorId, idTag, tokenType, ...present({ parentIdTag }) };
  return {
    ...what,
    startsAt,
    expiryDate,
    createdAt: startsAt,
    createdBy,
    status: 'PENDING',
    version: 1,
    isBreached: false,
    enforcement,
  };
}

type RawHold = { connectorId: number; expiryDate: string };
type RawIdTag = Omit<IdTag, 'expiryDate' | 'parentIdTag'> & { expiryDate: string | null; parentIdTag: string | null };

const toIdTag = ({ expiryDate, parentIdTag, ...rest }: RawIdTag): IdTag => ({
  ...rest,
  ...present({ parentIdTag }),
  ...(expiryDate && { expiryDate: new Date(expiryDate) }),
});

function filterBy(query: SelectQueryBuilder<ReservationRow>, filter: ReservationFilter): void {
  const { siteIds, chargerId, connectorId, statuses } = filter;
  const idTags = filter.idTags?.map((idTag) => idTag.toLowerCase());
  if (siteIds) query.andWhere('r.siteId = ANY(:siteIds)', { siteIds });
  if (idTags) query.andWhere('lower(r.idTag) = ANY(:idTags)', { idTags });
  if (chargerId !== undefined) query.andWhere('r.chargerId = :chargerId', { chargerId });
  if (connectorId !== undefined) query.andWhere('r.connectorId = :connectorId', { connectorId });
  if (statuses) query.andWhere('r.status = ANY(:statuses)', { statuses });
}
