// Stores and reads reservations in PostgreSQL. Each transition is one statement: it checks the version it was decided
// on, writes version + 1 and appends one event, so it happens completely or not at all, and once.
import type { SelectQueryBuilder } from 'typeorm';
import { present } from '../../common/present.ts';
import type { Transaction } from '../../model/charger/transaction.ts';
import { type Start, startAt } from '../../model/events/cursor.ts';
import type { Actor, ReservationEventType } from '../../model/events/event.ts';
import type { Interest } from '../../model/events/interest.ts';
import type { Reservation, ReservationUpdate } from '../../model/reservation/reservation.ts';
import type { Database, Sql, Statement } from '../database.ts';
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

/** For SQL: the reservations held on `chargers` whose expiry date is after $2. */
const heldBy = (chargers: string) => `
  SELECT ${aliasedOfR} FROM reservation r WHERE ${chargers} AND r.status IN (${holding}) AND r.expiry_date > $2`;

/**
 * For SQL: a charger's bookings that have started by $2 and are not activated: the charger does not know them yet, but
 * their connector is taken.
 */
const begunOn = (chargerId: string) => `
  SELECT b.* FROM (${touching(chargerId, '$2', '$2', aliasedOfR)}) b
  WHERE b.status = 'SCHEDULED' AND b."expiryDate" > $2`;

const statements = {
  advance: {
    name: 'reservation-advance',
    text: `
      WITH changed AS (
        UPDATE reservation SET status = $6, version = version + 1, reason = $7, ended_at = $8, used_connector_id = $9,
          transaction_id = $10, is_breached = $11, reservation_id = $15, expiry_date = $16, extensions = $17,
          accepted_at = $18, is_late_cancel = $19, alternative = $20,
          no_show_at = CASE WHEN accepted_at IS NULL AND $18::timestamptz IS NOT NULL
            THEN greatest(starts_at, $18) + no_show_minutes * interval '1 minute' ELSE no_show_at END,
          extending_to = CASE $3 WHEN 'BREACHED' THEN extending_to END,
          notice_at = CASE WHEN expiry_date = $16 THEN notice_at ELSE $16::timestamptz - notice_minutes * interval '1 minute' END,
          confirmed_at = CASE WHEN $3 IN ('ACCEPTED', 'EXTENDED') AND $6 = 'ACCEPTED' THEN $1 ELSE confirmed_at END,
          doubted_at = CASE WHEN $3 IN ('ACCEPTED', 'EXTENDED') AND $6 = 'ACCEPTED' THEN NULL ELSE doubted_at END,
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
  releaseKey: {
    name: 'reservation-release-key',
    text: `
      UPDATE reservation SET idempotency_key = NULL
      WHERE created_by = $1 AND idempotency_key = $2 AND status IN ('REJECTED', 'FAILED')`,
  },
  movedTo: {
    name: 'reservation-moved-to',
    text: `SELECT ${aliased} FROM reservation WHERE moved_from = $1 AND status NOT IN ('REJECTED', 'FAILED', 'CANCELLED', 'REMOVED', 'EXPIRED')`,
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
      ORDER BY (status IN (${live})) DESC, created_at DESC LIMIT 1`,
  },
  byIdempotencyKey: {
    name: 'reservation-by-idempotency-key',
    text: `
      SELECT ${aliased}, request_digest AS "requestDigest" FROM reservation
      WHERE created_by = $1 AND idempotency_key = $2`,
  },
  live: { name: 'reservation-live', text: heldBy('r.charger_id = ANY($1::text[])') },
  heldAt: {
    name: 'reservation-held-at',
    text: `
      ${heldBy('r.charger_id = ANY($1::text[])')}
      UNION ALL SELECT h.* FROM unnest($1::text[]) AS c (id) CROSS JOIN LATERAL (${begunOn('c.id')}) h`,
  },
  matchable: {
    name: 'reservation-matchable',
    text: `
      SELECT m.* FROM (
        ${heldBy('r.charger_id = $1')} UNION ALL ${begunOn('$1')}
        UNION ALL SELECT ${aliasedOfR} FROM reservation r
        WHERE r.charger_id = $1 AND r.status IN ('EXPIRED', 'CANCELLED', 'REMOVED', 'FAILED')
          AND r.expiry_date > $2 AND r.starts_at <= $2) m
      WHERE NOT EXISTS (SELECT FROM reservation WHERE transaction_id = $3)`,
  },
} as const satisfies Record<string, Statement>;

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
  const changed = await sql.query(statements.advance, [
    event.at,
    event.actor,
    event.type,
    previous.id,
    previous.version,
    next.status,
    facts.reason,
    facts.endedAt,
    facts.usedConnectorId,
    facts.transactionId,
    next.isBreached,
    followUp.dueAt,
    followUp.isReleaseOwed,
    previous.status,
    next.reservationId,
    next.expiryDate,
    next.extensions,
    next.acceptedAt,
    next.isLateCancel,
    facts.alternative && JSON.stringify(facts.alternative),
  ]);
  return changed.length > 0;
}

export type ReservationRepository = ReturnType<typeof reservationRepository>;

export function reservationRepository(database: Database) {
  const rows = async (statement: Statement, values: readonly unknown[]) =>
    (await database.query<ReservationRow>(statement, values)).map(toReservation);
  const row = async (statement: Statement, values: readonly unknown[]) => (await rows(statement, values))[0];

  return {
    ...followUps(database),

    advance: (previous: Reservation, next: Reservation, step: Step, followUp: FollowUp) =>
      advanceReservation(database, previous, next, step, followUp),

    /** Records the charger's first status update about an ended reservation; later ones change nothing. */
    async annotate(id: string, update: ReservationUpdate): Promise<void> {
      await database.query(statements.annotate, [id, update]);
    },

    /** Returns a fresh reservationId, for a hold that is replaced on the charger. */
    async nextReservationId(): Promise<number> {
      const [found] = await database.query<{ id: number }>(statements.nextReservationId, []);
      if (!found) throw new Error('PostgreSQL returned no reservationId');
      return found.id;
    },

    byId: (id: string) => row(statements.byId, [id]),

    /** The live reservation with that id, else the latest. */
    byWireId: (chargerId: string, reservationId: number) => row(statements.byWireId, [chargerId, reservationId]),

    async byIdempotencyKey(createdBy: string, key: string) {
      type Row = ReservationRow & { requestDigest: string };
      const [found] = await database.query<Row>(statements.byIdempotencyKey, [createdBy, key]);
      if (!found) return undefined;
      const { requestDigest, ...reservation } = found;
      return { reservation: toReservation(reservation), requestDigest };
    },

    /** Frees the key of a REJECTED or FAILED reservation for another one. */
    async releaseKey(createdBy: string, key: string): Promise<void> {
      await database.query(statements.releaseKey, [createdBy, key]);
    },

    /** The reservation that this one was, or is being, moved to. */
    movedTo: (id: string) => row(statements.movedTo, [id]),

    /** The reservations that these chargers hold, or may hold, now. */
    live: (chargerIds: readonly string[], now: Date) => rows(statements.live, [[...chargerIds], now]),

    /**
     * The reservations that these chargers hold, and the bookings that have started: all that keeps other idTags away.
     */
    heldAt: (chargerIds: readonly string[], at: Date) => rows(statements.heldAt, [[...chargerIds], at]),

    /** The reservations that the transaction may use; none if it has used one already. */
    matchable: ({ chargerId, startedAt, id }: Pick<Transaction, 'chargerId' | 'startedAt' | 'id'>) =>
      rows(statements.matchable, [chargerId, startedAt, id]),

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
