// Stores and reads reservations in PostgreSQL. Each transition is one statement: it checks the version it was decided
// on, writes version + 1 and appends one event, so it happens completely or not at all, and once.
import type { SelectQueryBuilder } from 'typeorm';
import { present } from '../../common/present.ts';
import type { Transaction } from '../../model/charger/transaction.ts';
import { type Start, startAt } from '../../model/events/cursor.ts';
import type { ReservationEventType } from '../../model/events/event.ts';
import type { Interest } from '../../model/events/interest.ts';
import type { Actor, Reservation, ReservationUpdate } from '../../model/reservation/reservation.ts';
import type { Database, Sql } from '../database.ts';
import { type Statement, statement, type Values } from '../statement.ts';
import { type FollowUp, followUps } from './follow-up.repository.ts';
import {
  aliased,
  aliasedOfR,
  appendEvent,
  holding,
  live,
  type ReservationRow,
  reservationSchema,
  toReservation,
  touching,
} from './reservation-row.repository.ts';

export interface ReservationFilter {
  readonly siteIds?: readonly string[];
  /** Reservations of these idTags; with `groups`, also those for one of these groups alone. */
  readonly idTags?: readonly string[];
  readonly groups?: readonly string[];
  readonly chargerId?: string;
  readonly connectorId?: number;
  readonly statuses?: readonly Reservation['status'][];
}

/** For SQL: the reservations held on `chargers` whose expiry date is after `:at`. */
const heldBy = (chargers: string) => `
  SELECT ${aliasedOfR} FROM reservation r WHERE ${chargers} AND r.status IN (${holding}) AND r.expiry_date > :at`;

/**
 * For SQL: a charger's bookings that have started by `:at` and are not activated: the charger does not know them yet,
 * but their connector is taken.
 */
const begunOn = (chargerId: string) => `
  SELECT b.* FROM (${touching(chargerId, ':at', ':at', aliasedOfR)}) b
  WHERE b.status = 'SCHEDULED' AND b."expiryDate" > :at`;

type KeyedRow = ReservationRow & { requestDigest: string };

const statements = {
  advance: statement(
    'reservation-advance',
    `
      WITH changed AS (
        UPDATE reservation SET status = :status, version = version + 1, reason = :reason, ended_at = :endedAt, used_connector_id = :usedConnectorId,
          transaction_id = :transactionId, is_breached = :isBreached, reservation_id = :reservationId, expiry_date = :expiryDate, extensions = :extensions,
          accepted_at = :acceptedAt, is_late_cancel = :isLateCancel, alternative = :alternative,
          no_show_at = CASE WHEN accepted_at IS NULL AND :acceptedAt::timestamptz IS NOT NULL
            THEN greatest(starts_at, :acceptedAt) + no_show_minutes * interval '1 minute' ELSE no_show_at END,
          extending_to = CASE :type WHEN 'BREACHED' THEN extending_to END,
          notice_at = CASE WHEN expiry_date = :expiryDate THEN notice_at ELSE :expiryDate::timestamptz - notice_minutes * interval '1 minute' END,
          confirmed_at = CASE WHEN :type IN ('ACCEPTED', 'EXTENDED') AND :status = 'ACCEPTED' THEN :at ELSE confirmed_at END,
          doubted_at = CASE WHEN :type IN ('ACCEPTED', 'EXTENDED') AND :status = 'ACCEPTED' THEN NULL ELSE doubted_at END,
          -- A breach keeps attempts and claim; a cancel keeps a release that became owed meanwhile.
          attempts = CASE :type WHEN 'BREACHED' THEN attempts ELSE 0 END,
          claimed_until = CASE :type WHEN 'BREACHED' THEN claimed_until END,
          is_release_owed = :isReleaseOwed OR (is_release_owed AND :status = 'CANCELLED'),
          due_at = CASE WHEN :type = 'BREACHED' THEN due_at WHEN is_release_owed AND :status = 'CANCELLED' THEN :at ELSE :dueAt END
        WHERE id = :id AND version = :version RETURNING ${aliased}
      ), logged AS (${appendEvent('changed', ':from', ":at::timestamptz, 'RESERVATION', :type")})
      SELECT FROM changed`,
  ),
  annotate: statement(
    'reservation-annotate',
    `UPDATE reservation SET charger_said = :update WHERE id = :id AND status NOT IN (${holding}) AND charger_said IS NULL`,
  ),
  releaseKey: statement(
    'reservation-release-key',
    `
      UPDATE reservation SET idempotency_key = NULL
      WHERE created_by = :createdBy AND idempotency_key = :key AND status IN ('REJECTED', 'FAILED')`,
  ),
  movedTo: statement<ReservationRow>(
    'reservation-moved-to',
    `SELECT ${aliased} FROM reservation WHERE moved_from = :id AND status NOT IN ('REJECTED', 'FAILED', 'CANCELLED', 'REMOVED', 'EXPIRED')`,
  ),
  nextReservationId: statement<{ id: number }>(
    'reservation-next-id',
    `SELECT nextval('reservation_wire_id')::integer AS id`,
  ),
  byId: statement<ReservationRow>('reservation-by-id', `SELECT ${aliased} FROM reservation WHERE id = :id`),
  byWireId: statement<ReservationRow>(
    'reservation-by-wire-id',
    `
      SELECT ${aliased} FROM reservation WHERE charger_id = :chargerId AND reservation_id = :reservationId
      ORDER BY (status IN (${live})) DESC, created_at DESC LIMIT 1`,
  ),
  byIdempotencyKey: statement<KeyedRow>(
    'reservation-by-idempotency-key',
    `
      SELECT ${aliased}, request_digest AS "requestDigest" FROM reservation
      WHERE created_by = :createdBy AND idempotency_key = :key`,
  ),
  held: statement<ReservationRow>('reservation-held', heldBy('r.charger_id = ANY(:chargerIds::text[])')),
  heldOrBegun: statement<ReservationRow>(
    'reservation-held-or-begun',
    `
      ${heldBy('r.charger_id = ANY(:chargerIds::text[])')}
      UNION ALL SELECT h.* FROM unnest(:chargerIds::text[]) AS c (id) CROSS JOIN LATERAL (${begunOn('c.id')}) h`,
  ),
  matchable: statement<ReservationRow>(
    'reservation-matchable',
    `
      SELECT m.* FROM (
        ${heldBy('r.charger_id = :chargerId')} UNION ALL ${begunOn(':chargerId')}
        UNION ALL SELECT ${aliasedOfR} FROM reservation r
        WHERE r.charger_id = :chargerId AND r.status IN ('EXPIRED', 'CANCELLED', 'REMOVED', 'FAILED')
          AND r.expiry_date > :at AND r.starts_at <= :at) m
      WHERE NOT EXISTS (SELECT FROM reservation WHERE transaction_id = :transactionId)`,
  ),
};

/** The event of a transition. */
export interface Step {
  readonly type: ReservationEventType;
  readonly actor: Actor;
  readonly at: Date;
}

/**
 * Stores what `apply` made of `previous`; returns false if another change came first. `sql` is the pool or a
 * transaction.
 */
export async function advanceReservation(
  sql: Sql,
  previous: Reservation,
  next: Reservation,
  event: Step,
  followUp: FollowUp,
): Promise<boolean> {
  type OfSome = 'reason' | 'endedAt' | 'usedConnectorId' | 'transactionId' | 'alternative';
  const facts = next as Partial<Record<OfSome, unknown>>;
  const changed = await sql.query(statements.advance, {
    at: event.at,
    actor: event.actor,
    type: event.type,
    id: previous.id,
    version: previous.version,
    status: next.status,
    reason: facts.reason,
    endedAt: facts.endedAt,
    usedConnectorId: facts.usedConnectorId,
    transactionId: facts.transactionId,
    isBreached: next.isBreached,
    dueAt: followUp.dueAt,
    isReleaseOwed: followUp.isReleaseOwed,
    from: previous.status,
    reservationId: next.reservationId,
    expiryDate: next.expiryDate,
    extensions: next.extensions,
    acceptedAt: next.acceptedAt,
    isLateCancel: next.isLateCancel,
    alternative: facts.alternative && JSON.stringify(facts.alternative),
  });
  return changed.length > 0;
}

export type ReservationRepository = ReturnType<typeof reservationRepository>;

export function reservationRepository(database: Database) {
  const rows = async (wanted: Statement<ReservationRow>, values: Values) =>
    (await database.query(wanted, values)).map(toReservation);
  const row = async (wanted: Statement<ReservationRow>, values: Values) => (await rows(wanted, values))[0];

  return {
    ...followUps(database),

    advance: (previous: Reservation, next: Reservation, step: Step, followUp: FollowUp) =>
      advanceReservation(database, previous, next, step, followUp),

    /** Records the charger's first status update about an ended reservation; later ones change nothing. */
    async annotate(id: string, update: ReservationUpdate): Promise<void> {
      await database.query(statements.annotate, { id, update });
    },

    /** Returns a fresh reservationId, for a hold that is replaced on the charger. */
    async nextReservationId(): Promise<number> {
      const [found] = await database.query(statements.nextReservationId);
      if (!found) throw new Error('PostgreSQL returned no reservationId');
      return found.id;
    },

    byId: (id: string) => row(statements.byId, { id }),

    /** The live reservation with that id, else the latest. */
    byWireId: (chargerId: string, reservationId: number) => row(statements.byWireId, { chargerId, reservationId }),

    async byIdempotencyKey(createdBy: string, key: string) {
      const [found] = await database.query(statements.byIdempotencyKey, { createdBy, key });
      if (!found) return undefined;
      const { requestDigest, ...reservation } = found;
      return { reservation: toReservation(reservation), requestDigest };
    },

    /** Frees the key of a REJECTED or FAILED reservation for another one. */
    async releaseKey(createdBy: string, key: string): Promise<void> {
      await database.query(statements.releaseKey, { createdBy, key });
    },

    /** The reservation that this one was, or is being, moved to. */
    movedTo: (id: string) => row(statements.movedTo, { id }),

    /** The reservations that these chargers hold, or may hold, now. */
    held: (chargerIds: readonly string[], now: Date) => rows(statements.held, { chargerIds: [...chargerIds], at: now }),

    /**
     * The reservations that these chargers hold, and the bookings that have started: all that keeps other idTags away.
     */
    heldOrBegun: (chargerIds: readonly string[], at: Date) =>
      rows(statements.heldOrBegun, { chargerIds: [...chargerIds], at }),

    /** The reservations that the transaction may use; none if it has used one already. */
    matchable: ({ chargerId, startedAt, id }: Pick<Transaction, 'chargerId' | 'startedAt' | 'id'>) =>
      rows(statements.matchable, { chargerId, at: startedAt, transactionId: id }),

    /**
     * Up to `limit` live reservations that match the interest, and the place in the log of the snapshot they were read
     * from.
     */
    async liveOf(interest: Interest, limit: number): Promise<{ start: Start; reservations: Reservation[] }> {
      const { siteIds, chargerId, connectorId, reservationId, holders } = interest;
      // One snapshot for both statements; a transaction that only reads does not hold back the feed.
      return database.source.transaction('REPEATABLE READ', async (manager) => {
        const [row] = await manager.query<{ snapshot: string }[]>('SELECT pg_current_snapshot()::text AS snapshot');
        const start = startAt(row?.snapshot);
        const query = manager.getRepository(reservationSchema).createQueryBuilder('r').where(`r.status IN (${live})`);
        filterBy(query, present({ siteIds, chargerId, connectorId, ...holders }));
        if (reservationId !== undefined) query.andWhere('r.id = :reservationId', { reservationId });
        const found = await query.orderBy('r.createdAt').addOrderBy('r.id').limit(limit).getMany();
        return { start, reservations: found.map(toReservation) };
      });
    },

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

function filterBy(query: SelectQueryBuilder<ReservationRow>, filter: ReservationFilter): void {
  const { siteIds, chargerId, connectorId, statuses } = filter;
  const idTags = filter.idTags?.map((idTag) => idTag.toLowerCase());
  if (siteIds) query.andWhere('r.siteId = ANY(:siteIds)', { siteIds });
  const groups = filter.groups?.map((group) => group.toLowerCase()) ?? [];
  if (idTags && groups.length > 0) {
    query.andWhere('(lower(r.idTag) = ANY(:idTags) OR (r.idTag IS NULL AND r.holderGroup = ANY(:groups)))', {
      idTags,
      groups,
    });
  } else if (idTags) query.andWhere('lower(r.idTag) = ANY(:idTags)', { idTags });
  if (chargerId !== undefined) query.andWhere('r.chargerId = :chargerId', { chargerId });
  if (connectorId !== undefined) query.andWhere('r.connectorId = :connectorId', { connectorId });
  if (statuses) query.andWhere('r.status = ANY(:statuses)', { statuses });
}
