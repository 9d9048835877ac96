// Stores holds in PostgreSQL. One statement stores a hold and increments the guards of everything that it counts for;
// if a guard has changed since the decision, nothing is stored.
import type { TokenType } from '../../model/charger/id-tag.ts';
import type { HoldWish } from '../../model/reservation/admission.ts';
import type { Actor, Enforcement, Reservation } from '../../model/reservation/reservation.ts';
import { type Database, type Sql, violatedConstraint } from '../database.ts';
import { statement } from '../statement.ts';
import { type Guards, type Reach, readHoldFacts } from './hold-facts.repository.ts';
import { aliased, appendEvent, type ReservationRow, toReservation } from './reservation-row.repository.ts';

export interface NewReservation {
  readonly id: string;
  readonly status: 'PENDING' | 'SCHEDULED';
  readonly chargerId: string;
  readonly connectorId: number;
  readonly plugType?: string;
  readonly idTag?: string;
  readonly tokenType: TokenType;
  readonly parentIdTag?: string;
  readonly holderGroup?: string;
  readonly policyVersion: number;
  readonly createdAt: Date;
  readonly startsAt: Date;
  readonly expiryDate: Date;
  readonly createdBy: string;
  readonly actor: Actor;
  readonly enforcement: Enforcement;
  readonly idempotencyKey?: string;
  readonly requestDigest?: string;
  /** Chosen by the caller; absent: taken from the sequence. */
  readonly reservationId?: number;
  /** When the settler takes over: at the start of a booking, or when the lease ends, in case this process died. */
  readonly dueAt: Date;
  readonly activateUntil?: Date;
  readonly isBooking: boolean;
  readonly noShowMinutes?: number;
  readonly noticeMinutes?: number;
  readonly isReReservation: boolean;
  /** Carried over from the reservation that this one is moved from. */
  readonly extensions: number;
  readonly movedFrom?: string;
}

export type InsertConflict =
  | 'FACTS_CHANGED'
  | 'CONNECTOR_HELD'
  | 'RESERVATION_ID_IN_USE'
  | 'IDEMPOTENCY_KEY_USED'
  | 'BEING_MOVED';

export const guardKeys = {
  charger: (chargerId: string) => `C/${chargerId}`,
  idTag: (siteId: string, idTag: string) => `T/${siteId}/${idTag.toLowerCase()}`,
  group: (siteId: string, group: string) => `G/${siteId}/${group.toLowerCase()}`,
  site: (siteId: string) => `S/${siteId}`,
};

/**
 * For SQL: whether a reservation may be moved. It must be ACCEPTED or SCHEDULED, and unclaimed; a claim does not matter
 * if the actor is the settler, which may have claimed it to move it.
 */
const MOVABLE = `status IN ('ACCEPTED', 'SCHEDULED')
  AND (claimed_until IS NULL OR claimed_until <= :createdAt OR :actor = 'SERVER')`;

type ClaimRow = { isCurrent: boolean; isClaimed: boolean };

const statements = {
  lockGuards: statement(
    'hold-lock-guards',
    `
      INSERT INTO hold_guard AS g (key, version) SELECT key, 0 FROM unnest(:keys::text[]) AS k (key) ORDER BY key
      ON CONFLICT (key) DO UPDATE SET version = g.version`,
  ),
  growGuard: statement(
    'hold-grow-guard',
    `
      INSERT INTO hold_guard AS g (key, version) VALUES (:key, 1)
      ON CONFLICT (key) DO UPDATE SET version = g.version + 1`,
  ),
  insert: statement<ReservationRow>(
    'hold-insert',
    `
      WITH ${guarded(':guardKeys', ':guardVersions')}, moved AS (
        -- The moved reservation must be live and unclaimed.
        SELECT id FROM reservation WHERE id = :movedFrom::uuid AND ${MOVABLE} FOR UPDATE
      ), admitted AS (
        SELECT c.id, c.site_id FROM charger c JOIN site s ON s.id = c.site_id
        WHERE c.id = :chargerId AND c.removed_at IS NULL AND s.policy_version = :policyVersion
          AND (SELECT count(*) FROM guarded) = cardinality(:guardKeys::text[])
          AND (:movedFrom IS NULL OR EXISTS (SELECT FROM moved))
          -- The charger may still hold an ended reservation under that id, and will get a CancelReservation.
          AND NOT EXISTS (SELECT FROM reservation WHERE charger_id = :chargerId AND reservation_id = :reservationId AND is_release_owed)
      ), made AS (
        INSERT INTO reservation (id, reservation_id, site_id, charger_id, connector_id, id_tag, token_type,
          parent_id_tag, status, version, starts_at, expiry_date, created_at, created_by, idempotency_key,
          request_digest, due_at, enforcement, plug_type, holder_group, policy_version, activate_until, no_show_minutes,
          notice_minutes, notice_at, is_re_reservation, moved_from, extensions, is_booking)
        SELECT :id, coalesce(:reservationId::integer, nextval('reservation_wire_id')::integer), site_id, id, :connectorId::integer, :idTag, :tokenType,
               :parentIdTag, :status, 1, :startsAt::timestamptz, :expiryDate::timestamptz, :createdAt, :createdBy, :idempotencyKey, :requestDigest, :dueAt, :enforcement, :plugType, :holderGroup, :policyVersion, :activateUntil, :noShowMinutes,
               :noticeMinutes::integer, :expiryDate::timestamptz - :noticeMinutes * interval '1 minute', :isReReservation, :movedFrom, :extensions, :isBooking
        FROM admitted RETURNING ${aliased}
      ), logged AS (${appendEvent('made', 'NULL', ":createdAt::timestamptz, 'RESERVATION', CASE c.status WHEN 'PENDING' THEN 'REQUESTED' ELSE c.status END")})
      SELECT * FROM made`,
  ),
  claimToExtend: statement<ClaimRow>(
    'hold-claim-to-extend',
    `
      WITH ${guarded(':guardKeys', ':guardVersions')}, claimed AS (
        UPDATE reservation SET due_at = :until, claimed_until = :until, extending_to = :extendingTo, attempts = least(attempts + 1, 1000),
          doubted_at = CASE WHEN status = 'ACCEPTED' AND enforcement = 'CHARGER' THEN :now::timestamptz ELSE doubted_at END
        WHERE id = :id AND version = :version AND expiry_date > :now AND (SELECT count(*) FROM guarded) = cardinality(:guardKeys::text[])
          AND (claimed_until IS NULL OR claimed_until <= :now)
          AND ((status = 'ACCEPTED' AND due_at IS NULL) OR status = 'SCHEDULED')
        RETURNING id
      )
      SELECT (SELECT count(*) FROM guarded) = cardinality(:guardKeys::text[]) AS "isCurrent",
             EXISTS (SELECT FROM claimed) AS "isClaimed"`,
  ),
};

/**
 * For SQL: increments the guards `keys` that still have their `versions`, in key order; a guard that has changed is
 * missing from the result.
 */
function guarded(keys: string, versions: string): string {
  return `guarded AS (
    INSERT INTO hold_guard AS g (key, version)
    SELECT key, version + 1 FROM unnest(${keys}::text[], ${versions}::bigint[]) AS w (key, version) ORDER BY key
    ON CONFLICT (key) DO UPDATE SET version = g.version + 1 WHERE g.version = excluded.version - 1
    RETURNING g.key
  )`;
}

export type HoldStore = ReturnType<typeof holdStore>;

/** `sql` is the pool or a transaction. */
export function holdStore(sql: Sql) {
  return {
    facts: (wish: HoldWish, reach: Reach, now: Date) => readHoldFacts(sql, wish, reach, now),

    /** Stores the hold; on a conflict (a fact changed, or a constraint is violated) it stores nothing. */
    async insert(made: NewReservation, guards: Guards): Promise<Reservation | InsertConflict> {
      try {
        const [row] = await sql.query(statements.insert, {
          createdAt: made.createdAt,
          actor: made.actor,
          chargerId: made.chargerId,
          guardKeys: [...guards.keys()],
          guardVersions: [...guards.values()],
          id: made.id,
          reservationId: made.reservationId,
          connectorId: made.connectorId,
          idTag: made.idTag,
          tokenType: made.tokenType,
          parentIdTag: made.parentIdTag,
          expiryDate: made.expiryDate,
          createdBy: made.createdBy,
          idempotencyKey: made.idempotencyKey,
          requestDigest: made.requestDigest,
          dueAt: made.dueAt,
          enforcement: made.enforcement,
          plugType: made.plugType,
          status: made.status,
          startsAt: made.startsAt,
          holderGroup: made.holderGroup,
          policyVersion: made.policyVersion,
          activateUntil: made.activateUntil,
          noShowMinutes: made.noShowMinutes,
          noticeMinutes: made.noticeMinutes,
          isReReservation: made.isReReservation,
          movedFrom: made.movedFrom,
          extensions: made.extensions,
          isBooking: made.isBooking,
        });
        return row ? toReservation(row) : 'FACTS_CHANGED';
      } catch (error) {
        switch (violatedConstraint(error)) {
          case 'reservation_connector_held':
            return 'CONNECTOR_HELD';
          case 'reservation_live_wire_id':
            return made.reservationId === undefined ? 'FACTS_CHANGED' : 'RESERVATION_ID_IN_USE';
          case 'reservation_idempotency':
            return 'IDEMPOTENCY_KEY_USED';
          case 'reservation_moved_from':
            return 'BEING_MOVED';
          default:
            throw error;
        }
      }
    },

    /**
     * Claims the row for one extension; returns NOT_NOW while another process has it or it is due for verification.
     * From then on the connector is held here until `extendingTo`, and what the charger holds is in doubt until the
     * extension is stored; if it never is, the row falls due at `until`.
     */
    async claimToExtend(
      { id, version }: Reservation,
      { extendingTo, until, now }: { readonly extendingTo: Date; readonly until: Date; readonly now: Date },
      guards: Guards,
    ): Promise<'CLAIMED' | 'NOT_NOW' | 'FACTS_CHANGED'> {
      const guarding = { guardKeys: [...guards.keys()], guardVersions: [...guards.values()] };
      try {
        const [row] = await sql.query(statements.claimToExtend, { id, version, until, now, extendingTo, ...guarding });
        return row?.isClaimed ? 'CLAIMED' : row?.isCurrent ? 'NOT_NOW' : 'FACTS_CHANGED';
      } catch (error) {
        if (violatedConstraint(error) === 'reservation_connector_held') return 'FACTS_CHANGED';
        throw error;
      }
    },
  };
}

/** Invalidates decisions made on the guard's old version: they are not stored. */
export const growGuard = (sql: Sql, key: string): Promise<unknown> => sql.query(statements.growGuard, { key });

export const holdRepository = (database: Database) => ({
  ...holdStore(database),
  /** Runs `work` in a transaction that has locked the guards, so that nobody changes the guarded facts meanwhile. */
  underLock: <T>(keys: readonly string[], work: (sql: Sql) => Promise<T>): Promise<T> =>
    database.transaction(async (sql) => {
      await sql.query(statements.lockGuards, { keys: [...keys] });
      return work(sql);
    }),
});
export type HoldRepository = ReturnType<typeof holdRepository>;
