// Reservations in PostgreSQL. Each transition is one statement: it checks the version it was decided on, writes
// version + 1 and appends one event, so it happens whole or not at all, and once.
import type { SelectQueryBuilder } from 'typeorm';
import { EntitySchema } from 'typeorm';
import { present } from '../common/present.ts';
import { type Database, type Statement, violatedConstraint } from '../database/database.ts';
import { columnsOf } from '../database/row-mapping.ts';
import type { Actor, ReservationEventType } from '../event-log/event.ts';
import type { IdTag, TokenType } from '../id-tag/id-tag.ts';
import type { Transaction } from '../transaction/transaction.ts';
import type { AdmissionFacts } from './admission.ts';
import {
  atExpiry,
  type Enforcement,
  type HoldingStatus,
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

/** What the settler must know of a row beside the reservation. */
export interface FollowUp {
  readonly dueAt?: Date;
  readonly isReleaseOwed: boolean;
}

export interface DueReservation {
  readonly reservation: Reservation;
  readonly attempts: number;
  readonly isReleaseOwed: boolean;
  /** When the charger last showed that it holds it. */
  readonly confirmedAt?: Date;
  /** Since when that is in doubt. */
  readonly doubtedAt?: Date;
}

export interface ReservationFilter {
  readonly siteIds?: readonly string[];
  readonly idTags?: readonly string[];
  readonly chargerId?: string;
  readonly connectorId?: number;
  readonly statuses?: readonly Reservation['status'][];
}

const { aliased, names } = columnsOf(reservationSchema);
const holding = holdingStatuses.map((status) => `'${status}'`).join(', ');

const appendEvent = (source: string, from: string, rest: string) => `
  INSERT INTO event (at, kind, type, site_id, charger_id, connector_id, from_status, to_status, reason, actor,
                     reservation_id, version, snapshot)
  SELECT ${rest}, c."siteId", c."chargerId", c."connectorId", ${from}, c.status, c.reason, $2,
         c.id, c.version, to_jsonb(c) - 'old_status'
  FROM ${source} c`;

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
  expire: {
    name: 'reservation-expire',
    text: `
      WITH due AS (
        SELECT id, status AS old_status FROM reservation WHERE status IN (${holding}) AND expiry_date <= $1
        ORDER BY expiry_date LIMIT 500 FOR UPDATE SKIP LOCKED
      ), changed AS (
        UPDATE reservation r SET status = rule.new_status, version = version + 1, ended_at = $1,
          reason = CASE WHEN r.status = 'CANCELLING' THEN r.reason ELSE rule.reason END,
          due_at = CASE r.enforcement WHEN 'CHARGER' THEN $3::timestamptz END,
          is_release_owed = r.enforcement = 'CHARGER', attempts = 0, claimed_until = NULL
        FROM due, unnest($4::text[], $5::text[], $6::text[]) AS rule (old_status, new_status, reason)
        WHERE r.id = due.id AND rule.old_status = due.old_status
        RETURNING ${names.map(({ column, property }) => `r.${column} AS "${property}"`).join(', ')}, due.old_status
      ), logged AS (${appendEvent('changed', 'c.old_status', "$1::timestamptz, 'RESERVATION', c.status")})
      SELECT * FROM changed`,
  },
  claimDue: {
    name: 'reservation-claim-due',
    text: `
      WITH due AS (
        SELECT r.id FROM reservation r JOIN charger c ON c.id = r.charger_id
        WHERE r.due_at <= $1 AND (r.claimed_until IS NULL OR r.claimed_until <= $1)
          AND (c.connected_node = $2 OR r.status = 'PENDING')
        ORDER BY r.due_at LIMIT 64 FOR UPDATE OF r SKIP LOCKED
      )
      UPDATE reservation r SET due_at = $3, claimed_until = $3, attempts = least(attempts + 1, 1000)
      FROM due WHERE r.id = due.id
      RETURNING ${names.map(({ column, property }) => `r.${column} AS "${property}"`).join(', ')},
                r.attempts, r.is_release_owed AS "isReleaseOwed", r.confirmed_at AS "confirmedAt",
                r.doubted_at AS "doubtedAt"`,
  },
  nextDue: {
    name: 'reservation-next-due',
    text: `
      SELECT least(
        (SELECT min(expiry_date) FROM reservation WHERE status IN (${holding})),
        (SELECT min(greatest(r.due_at, r.claimed_until)) FROM reservation r JOIN charger c ON c.id = r.charger_id
         WHERE r.due_at IS NOT NULL AND (c.connected_node = $1 OR r.status = 'PENDING'))
      ) AS at`,
  },
  postpone: {
    name: 'reservation-postpone',
    // Only as it was claimed: what became due meanwhile stays due. The claim is given back in any case.
    text: `
      UPDATE reservation SET claimed_until = NULL,
        due_at = CASE attempts WHEN $3 THEN $4::timestamptz ELSE due_at END,
        is_release_owed = CASE attempts WHEN $3 THEN $5::boolean ELSE is_release_owed END,
        doubted_at = CASE WHEN attempts = $3 AND $6::timestamptz IS NOT NULL THEN NULL ELSE doubted_at END,
        confirmed_at = coalesce($6, confirmed_at)
      WHERE id = $1 AND version = $2`,
  },
  oweRelease: {
    name: 'reservation-owe-release',
    text: `
      UPDATE reservation SET is_release_owed = true, attempts = least(attempts + 1, 1000),
        due_at = CASE status WHEN 'CANCELLING' THEN due_at ELSE $2 END
      WHERE id = $1 AND enforcement = 'CHARGER' AND status NOT IN ('PENDING', 'UNKNOWN', 'ACCEPTED')
        AND (status <> 'USED' OR $3)`,
  },
  verifyLater: {
    name: 'reservation-verify-later',
    text: `
      UPDATE reservation SET due_at = $3::timestamptz + $4 * interval '1 millisecond' * 2 ^ least(attempts, 4)
      WHERE charger_id = $1 AND connector_id = $2 AND status = 'ACCEPTED' AND expiry_date > $3
        AND due_at IS NULL AND enforcement = 'CHARGER'
      RETURNING due_at AS "dueAt"`,
  },
  claimToExtend: {
    name: 'reservation-claim-to-extend',
    text: `
      UPDATE reservation SET due_at = $3, claimed_until = $3, doubted_at = $4, attempts = least(attempts + 1, 1000)
      WHERE id = $1 AND version = $2 AND status = 'ACCEPTED' AND due_at IS NULL AND expiry_date > $4 RETURNING id`,
  },
  makeDue: {
    name: 'reservation-make-due',
    text: `
      UPDATE reservation SET due_at = $2, attempts = least(attempts + 1, 1000), doubted_at = coalesce($3, doubted_at),
        claimed_until = CASE WHEN $4 THEN NULL ELSE claimed_until END
      WHERE id = $1 AND status IN ('UNKNOWN', 'ACCEPTED') AND enforcement = 'CHARGER'`,
  },
  oweReleasesOn: {
    name: 'reservation-owe-releases-on',
    text: `
      UPDATE reservation SET is_release_owed = true, due_at = $4, attempts = least(attempts + 1, 1000)
      WHERE id IN (
        SELECT id FROM reservation
        WHERE charger_id = $1 AND connector_id IN ($2, 0) AND enforcement = 'CHARGER' AND NOT is_release_owed
          AND status IN ('USED', 'CANCELLED', 'EXPIRED', 'REMOVED', 'FAILED') AND expiry_date > $3
        ORDER BY created_at DESC LIMIT 8)
      RETURNING id`,
  },
  giveUpReleases: {
    name: 'reservation-give-up-releases',
    text: `
      UPDATE reservation SET is_release_owed = false, due_at = NULL
      WHERE due_at IS NOT NULL AND is_release_owed AND expiry_date <= $1 AND status NOT IN (${holding})`,
  },
  annotate: {
    name: 'reservation-annotate',
    text: `UPDATE reservation SET charger_said = $2 WHERE id = $1 AND status NOT IN (${holding}) AND charger_said IS NULL`,
  },
  dueOnConnect: {
    name: 'reservation-due-on-connect',
    text: `
      UPDATE reservation SET due_at = $2, attempts = least(attempts + 1, 1000)
      WHERE charger_id = $1 AND (status IN ('UNKNOWN', 'CANCELLING') OR is_release_owed
        OR (status = 'PENDING' AND created_at < $3) OR (status = 'ACCEPTED' AND due_at IS NOT NULL))`,
  },
  dueOnBoot: {
    name: 'reservation-due-on-boot',
    text: `
      UPDATE reservation SET due_at = $2, attempts = least(attempts + 1, 1000)
      WHERE charger_id = $1 AND enforcement = 'CHARGER'
        AND (status IN ('UNKNOWN', 'ACCEPTED', 'CANCELLING') OR is_release_owed)`,
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

    /** Ends every hold that reached its expiry date by the server's clock, in one statement. */
    expire(now: Date, releaseCheckAt: Date): Promise<Reservation[]> {
      const rules = Object.entries(atExpiry) as [HoldingStatus, (typeof atExpiry)[HoldingStatus]][];
      return rows(statements.expire, [
        ...[now, 'SERVER', releaseCheckAt],
        ...[rules.map(([from]) => from), rules.map(([, to]) => to.status), rules.map(([, to]) => to.reason ?? null)],
      ]);
    },

    /** Takes the due rows whose charger is connected to this node; nobody else gets them before `leaseUntil`. */
    async claimDue(now: Date, node: number, leaseUntil: Date): Promise<DueReservation[]> {
      type Row = ReservationRow & {
        attempts: number;
        isReleaseOwed: boolean;
        confirmedAt: Date | null;
        doubtedAt: Date | null;
      };
      const due = await database.query<Row>(statements.claimDue, [now, node, leaseUntil]);
      return due.map(({ attempts, isReleaseOwed, confirmedAt, doubtedAt, ...found }) => ({
        reservation: toReservation(found),
        attempts,
        isReleaseOwed,
        ...present({ confirmedAt, doubtedAt }),
      }));
    },

    async nextDue(node: number): Promise<Date | undefined> {
      const [found] = await database.query<{ at: Date | null }>(statements.nextDue, [node]);
      return found?.at ?? undefined;
    },

    /** Settles the follow-up of an unchanged reservation: later, or (without `dueAt`) no more. */
    async postpone({ reservation, attempts }: DueReservation, followUp: FollowUp, confirmedAt?: Date): Promise<void> {
      const values = [reservation.id, reservation.version, attempts, followUp.dueAt, followUp.isReleaseOwed];
      await database.query(statements.postpone, [...values, confirmedAt]);
    },

    /** The charger accepted a reservation that has ended here, or that is being cancelled. */
    async oweRelease(id: string, dueAt: Date, options: { readonly evenUsed: boolean }): Promise<void> {
      await database.query(statements.oweRelease, [id, dueAt, options.evenUsed]);
    },

    /**
     * The charger is to be asked about the hold of this connector after a pause, twice as long for each time it was asked
     * before. Tells when; undefined where there is no such hold, or it is about to be asked already.
     */
    async verifyLater(chargerId: string, connectorId: number, now: Date, pauseMs: number): Promise<Date | undefined> {
      const [row] = await database.query<{ dueAt: Date }>(statements.verifyLater, [
        chargerId,
        connectorId,
        now,
        pauseMs,
      ]);
      return row?.dueAt;
    },

    /**
     * One extension at a time, and none while the hold is being verified: false where somebody else is at it. What the
     * charger holds is in doubt from then on, until the extension is stored; if it never is, the row falls due.
     */
    async claimToExtend({ id, version }: Reservation, until: Date, now: Date): Promise<boolean> {
      return (await database.query(statements.claimToExtend, [id, version, until, now])).length > 0;
    },

    /** A live hold is to be settled at `dueAt`; from `doubtedAt` on, what the charger said before proves nothing. */
    async makeDue(
      id: string,
      dueAt: Date,
      { doubtedAt, givesBackClaim = false }: { readonly doubtedAt?: Date; readonly givesBackClaim?: boolean } = {},
    ): Promise<void> {
      await database.query(statements.makeDue, [id, dueAt, doubtedAt, givesBackClaim]);
    },

    /** Every ended reservation that the charger may be holding on this connector is to be let go; tells which. */
    async oweReleasesOn(chargerId: string, connectorId: number, expiryAfter: Date, dueAt: Date): Promise<string[]> {
      const values = [chargerId, connectorId, expiryAfter, dueAt];
      return (await database.query<{ id: string }>(statements.oweReleasesOn, values)).map(({ id }) => id);
    },

    /** Of reservations that expired so long ago that no charger holds them. */
    async giveUpReleases(expiryUntil: Date): Promise<void> {
      await database.query(statements.giveUpReleases, [expiryUntil]);
    },

    /** What the charger told of a reservation that has ended; the first word stays. */
    async annotate(id: string, update: ReservationUpdate): Promise<void> {
      await database.query(statements.annotate, [id, update]);
    },

    /** A charger started anew: what it held, or was asked, is to be verified. */
    async dueOnBoot(chargerId: string, dueAt: Date): Promise<void> {
      await database.query(statements.dueOnBoot, [chargerId, dueAt]);
    },

    /** A charger came back: what is unsettled there is due at `dueAt`. */
    async dueOnConnect(chargerId: string, dueAt: Date, connectedAt: Date): Promise<void> {
      await database.query(statements.dueOnConnect, [chargerId, dueAt, connectedAt]);
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
