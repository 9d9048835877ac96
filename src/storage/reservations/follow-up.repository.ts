// The follow-up work of a reservation, in columns of its row: when it is due, who has claimed it, whether a release is
// owed or the hold is in doubt. The settler reads it; use cases and reports of chargers write it. Only expiry and the
// ending notice change the version.
import { present } from '../../common/present.ts';
import { atExpiry, type LiveStatus, type Reservation } from '../../model/reservation/reservation.ts';
import type { Database } from '../database.ts';
import { statement } from '../statement.ts';
import {
  aliasedOfR,
  appendEvent,
  holding,
  live,
  properties,
  type ReservationRow,
  toReservation,
  touching,
} from './reservation-row.repository.ts';

/** When the settler takes up the row again (absent: never), and whether a release is owed. */
export interface FollowUp {
  readonly dueAt?: Date;
  readonly isReleaseOwed: boolean;
}

export interface DueReservation {
  readonly reservation: Reservation;
  readonly attempts: number;
  readonly isReleaseOwed: boolean;
  /** When the charger last proved that it holds the reservation. */
  readonly confirmedAt?: Date;
  /** Since when it is in doubt whether the charger holds it. */
  readonly doubtedAt?: Date;
  /** For a booking: until when its activation is tried. */
  readonly activateUntil?: Date;
}

/** Limits of one settler round: rows that it ends or gives notice to, and rows that it claims. */
export const MAX_ENDED = 500;
export const MAX_CLAIMED = 64;

/**
 * For SQL: the ids of charger `:chargerId`'s live reservations that touch the minute before `at`, and of those whose
 * release is owed.
 */
const ofCharger = (at: string) => `
  ${touching(':chargerId', `(${at}::timestamptz - interval '1 minute')`, at, 'r.id')}
  UNION ALL SELECT r.id FROM reservation r WHERE r.charger_id = :chargerId AND r.is_release_owed`;

type DueRow = ReservationRow & {
  attempts: number;
  isReleaseOwed: boolean;
  confirmedAt: Date | null;
  doubtedAt: Date | null;
  activateUntil: Date | null;
};

const statements = {
  expire: statement<ReservationRow>(
    'reservation-expire',
    `
      WITH due AS (
        SELECT id, status AS old_status FROM reservation
        WHERE status IN (${live}) AND least(expiry_date, no_show_at) <= :now
          AND (expiry_date <= :now OR status = 'ACCEPTED')
        ORDER BY least(expiry_date, no_show_at) LIMIT ${MAX_ENDED} FOR UPDATE SKIP LOCKED
      ), changed AS (
        UPDATE reservation r SET status = rule.new_status, version = version + 1, ended_at = :now,
          reason = coalesce(CASE WHEN rule.keeps_reason THEN r.reason END, rule.reason),
          due_at = CASE WHEN r.enforcement = 'CHARGER' AND r.status <> 'SCHEDULED'
            THEN CASE WHEN r.expiry_date <= :now THEN :releaseCheckAt::timestamptz ELSE :now END END,
          is_release_owed = r.enforcement = 'CHARGER' AND r.status <> 'SCHEDULED', attempts = 0, claimed_until = NULL,
          extending_to = NULL
        FROM due, unnest(:from::text[], :to::text[], :reasons::text[], :keepReasons::boolean[])
          AS rule (old_status, new_status, reason, keeps_reason)
        WHERE r.id = due.id AND rule.old_status = due.old_status
        RETURNING ${aliasedOfR}, due.old_status
      ), logged AS (${appendEvent('changed', 'c.old_status', ":now::timestamptz, 'RESERVATION', c.status")})
      SELECT ${properties} FROM changed`,
  ),
  giveNotice: statement(
    'reservation-give-notice',
    `
      WITH due AS (
        SELECT id FROM reservation
        WHERE notice_at IS NOT NULL AND status = 'ACCEPTED'
          AND notice_at <= :now AND expiry_date > :now
        ORDER BY notice_at LIMIT ${MAX_ENDED} FOR UPDATE SKIP LOCKED
      ), changed AS (
        UPDATE reservation r SET version = version + 1, notice_at = NULL FROM due WHERE r.id = due.id
        RETURNING ${aliasedOfR}
      ), logged AS (${appendEvent('changed', 'c.status', ":now::timestamptz, 'RESERVATION', 'ENDING_SOON'")})
      SELECT FROM changed`,
  ),
  claimDue: statement<DueRow>(
    'reservation-claim-due',
    `
      WITH due AS (
        SELECT r.id FROM reservation r JOIN charger c ON c.id = r.charger_id
        WHERE r.due_at <= :now AND (r.claimed_until IS NULL OR r.claimed_until <= :now)
          AND (c.connected_node = :node OR r.status IN ('PENDING', 'SCHEDULED') OR r.enforcement = 'SERVER')
        ORDER BY r.due_at LIMIT ${MAX_CLAIMED} FOR UPDATE OF r SKIP LOCKED
      )
      UPDATE reservation r SET due_at = :leaseUntil, claimed_until = :leaseUntil, attempts = least(attempts + 1, 1000)
      FROM due WHERE r.id = due.id
      RETURNING ${aliasedOfR},
                r.attempts, r.is_release_owed AS "isReleaseOwed", r.confirmed_at AS "confirmedAt",
                r.doubted_at AS "doubtedAt", r.activate_until AS "activateUntil"`,
  ),
  nextDue: statement<{ at: Date | null }>(
    'reservation-next-due',
    `
      SELECT least(
        (SELECT min(least(expiry_date, no_show_at)) FROM reservation
         WHERE status IN (${live}) AND least(expiry_date, no_show_at) > :now),
        (SELECT min(notice_at) FROM reservation WHERE notice_at IS NOT NULL AND status IN (${holding}) AND notice_at > :now),
        (SELECT min(due.at) FROM (
          SELECT greatest(r.due_at, r.claimed_until) AS at FROM reservation r JOIN charger c ON c.id = r.charger_id
          WHERE r.due_at IS NOT NULL AND (c.connected_node = :node OR r.status IN ('PENDING', 'SCHEDULED') OR r.enforcement = 'SERVER')
          ORDER BY r.due_at LIMIT 64) due)
      ) AS at`,
  ),
  postpone: statement(
    'reservation-postpone',
    `
      UPDATE reservation SET claimed_until = NULL,
        due_at = CASE attempts WHEN :attempts THEN :dueAt::timestamptz ELSE due_at END,
        is_release_owed = CASE attempts WHEN :attempts THEN :isReleaseOwed::boolean ELSE is_release_owed END,
        doubted_at = CASE WHEN attempts = :attempts AND :confirmedAt::timestamptz IS NOT NULL THEN NULL ELSE doubted_at END,
        confirmed_at = coalesce(:confirmedAt, confirmed_at),
        extending_to = CASE attempts WHEN :attempts THEN NULL ELSE extending_to END
      WHERE id = :id AND version = :version`,
  ),
  oweRelease: statement(
    'reservation-owe-release',
    `
      UPDATE reservation SET is_release_owed = true, attempts = least(attempts + 1, 1000),
        due_at = CASE status WHEN 'CANCELLING' THEN due_at ELSE :dueAt END
      WHERE id = :id AND enforcement = 'CHARGER' AND status NOT IN ('PENDING', 'UNKNOWN', 'ACCEPTED')
        AND (status <> 'USED' OR :evenUsed)`,
  ),
  verifyLater: statement<{ dueAt: Date }>(
    'reservation-verify-later',
    `
      UPDATE reservation SET due_at = :now::timestamptz + :pauseMs * interval '1 millisecond' * 2 ^ least(attempts, 4)
      WHERE charger_id = :chargerId AND connector_id = :connectorId AND connector_id > 0 AND status = 'ACCEPTED'
        AND tstzrange(starts_at, held_until) @> :now::timestamptz AND expiry_date > :now
        AND due_at IS NULL AND enforcement = 'CHARGER'
      RETURNING due_at AS "dueAt"`,
  ),
  makeDue: statement(
    'reservation-make-due',
    `
      UPDATE reservation SET due_at = :dueAt, attempts = least(attempts + 1, 1000), doubted_at = coalesce(:doubtedAt, doubted_at),
        claimed_until = CASE WHEN :givesBackClaim THEN NULL ELSE claimed_until END,
        extending_to = CASE WHEN :givesBackClaim THEN NULL ELSE extending_to END
      WHERE id = :id AND status IN ('UNKNOWN', 'ACCEPTED') AND enforcement = 'CHARGER'`,
  ),
  oweReleasesOn: statement<{ id: string }>(
    'reservation-owe-releases-on',
    `
      UPDATE reservation SET is_release_owed = true, due_at = :dueAt, attempts = least(attempts + 1, 1000)
      WHERE id IN (
        SELECT id FROM reservation
        WHERE charger_id = :chargerId AND connector_id IN (:connectorId, 0) AND enforcement = 'CHARGER' AND NOT is_release_owed
          AND status IN ('USED', 'CANCELLED', 'EXPIRED', 'REMOVED', 'FAILED') AND expiry_date > :expiryAfter
        ORDER BY created_at DESC LIMIT 8)
      RETURNING id`,
  ),
  giveUpReleases: statement(
    'reservation-give-up-releases',
    `
      UPDATE reservation SET is_release_owed = false, due_at = NULL
      WHERE due_at IS NOT NULL AND is_release_owed AND expiry_date <= :expiryUntil AND status NOT IN (${holding})`,
  ),
  dueOnConnect: statement(
    'reservation-due-on-connect',
    `
      UPDATE reservation SET due_at = :dueAt, attempts = least(attempts + 1, 1000)
      WHERE id IN (${ofCharger(':dueAt')})
        AND (status IN ('UNKNOWN', 'CANCELLING') OR is_release_owed
          OR (status = 'PENDING' AND created_at < :connectedAt) OR (status = 'ACCEPTED' AND due_at IS NOT NULL)
          OR (status = 'SCHEDULED' AND starts_at <= :dueAt))`,
  ),
  activateOn: statement(
    'reservation-activate-on',
    `
      UPDATE reservation SET due_at = :now, attempts = least(attempts + 1, 1000)
      WHERE id IN (${touching(':chargerId', ':now', ':now', 'r.id')})
        AND connector_id IN (:connectorId, 0) AND status = 'SCHEDULED' AND starts_at <= :now AND due_at > :now
      RETURNING id`,
  ),
  dueOnBoot: statement(
    'reservation-due-on-boot',
    `
      UPDATE reservation SET due_at = :dueAt, attempts = least(attempts + 1, 1000)
      WHERE id IN (${ofCharger(':dueAt')}) AND enforcement = 'CHARGER'
        AND (status IN ('UNKNOWN', 'ACCEPTED', 'CANCELLING') OR is_release_owed)`,
  ),
};

export function followUps(database: Database) {
  return {
    /**
     * Ends reservations that reached their expiry date or no-show limit by the server's clock, up to MAX_ENDED in one
     * statement.
     */
    async expire(now: Date, releaseCheckAt: Date): Promise<Reservation[]> {
      const rules = Object.entries(atExpiry) as [LiveStatus, (typeof atExpiry)[LiveStatus]][];
      const ended = await database.query(statements.expire, {
        now,
        actor: 'SERVER',
        releaseCheckAt,
        from: rules.map(([from]) => from),
        to: rules.map(([, to]) => to.status),
        reasons: rules.map(([, to]) => to.reason),
        keepReasons: rules.map(([, to]) => to.keepsReason),
      });
      return ended.map(toReservation);
    },

    /**
     * Claims up to MAX_CLAIMED due rows until `leaseUntil`: those whose charger is connected to this node, and at any
     * node PENDING and SCHEDULED ones and server-side holds.
     */
    async claimDue(now: Date, node: number, leaseUntil: Date): Promise<DueReservation[]> {
      const due = await database.query(statements.claimDue, { now, node, leaseUntil });
      return due.map(({ attempts, isReleaseOwed, confirmedAt, doubtedAt, activateUntil, ...found }) => ({
        reservation: toReservation(found),
        attempts,
        isReleaseOwed,
        ...present({ confirmedAt, doubtedAt, activateUntil }),
      }));
    },

    /** Appends ENDING_SOON for each reservation that ends soon, once; returns how many. */
    async giveNotice(now: Date): Promise<number> {
      return (await database.query(statements.giveNotice, { now, actor: 'SERVER' })).length;
    },

    /** When the next row falls due for this node; undefined if none does. */
    async nextDue(node: number, now: Date): Promise<Date | undefined> {
      const [found] = await database.query(statements.nextDue, { node, now });
      return found?.at ?? undefined;
    },

    /**
     * Gives back the claim of an unchanged reservation: it is due again at `dueAt`; without `dueAt` it is not.
     * `confirmedAt` ends a doubt.
     */
    async postpone({ reservation, attempts }: DueReservation, followUp: FollowUp, confirmedAt?: Date): Promise<void> {
      const { id, version } = reservation;
      const { dueAt, isReleaseOwed } = followUp;
      await database.query(statements.postpone, { id, version, attempts, dueAt, isReleaseOwed, confirmedAt });
    },

    /**
     * Owes a release of a reservation that the charger accepted, or may have, although it has ended here or is being
     * cancelled.
     */
    async oweRelease(id: string, dueAt: Date, options: { readonly evenUsed: boolean }): Promise<void> {
      await database.query(statements.oweRelease, { id, dueAt, evenUsed: options.evenUsed });
    },

    /**
     * Makes the hold of this connector due after a pause, which doubles with each earlier attempt. Returns when;
     * undefined if there is no such hold, or it has a due time already.
     */
    async verifyLater(chargerId: string, connectorId: number, now: Date, pauseMs: number): Promise<Date | undefined> {
      const [row] = await database.query(statements.verifyLater, { chargerId, connectorId, now, pauseMs });
      return row?.dueAt;
    },

    /**
     * Makes a live hold due at `dueAt`; with `doubtedAt`, what the charger reported before then no longer proves it.
     */
    async makeDue(
      id: string,
      dueAt: Date,
      { doubtedAt, givesBackClaim = false }: { readonly doubtedAt?: Date; readonly givesBackClaim?: boolean } = {},
    ): Promise<void> {
      await database.query(statements.makeDue, { id, dueAt, doubtedAt, givesBackClaim });
    },

    /**
     * Owes a release of the ended reservations (the latest eight) that the charger may hold on this connector; returns
     * their ids.
     */
    async oweReleasesOn(chargerId: string, connectorId: number, expiryAfter: Date, dueAt: Date): Promise<string[]> {
      const values = { chargerId, connectorId, expiryAfter, dueAt };
      return (await database.query(statements.oweReleasesOn, values)).map(({ id }) => id);
    },

    /** Drops the owed releases of reservations that expired by `expiryUntil`: no charger holds them any longer. */
    async giveUpReleases(expiryUntil: Date): Promise<void> {
      await database.query(statements.giveUpReleases, { expiryUntil });
    },

    /** After a boot: makes due what the charger held or was asked, so that it is verified. */
    async dueOnBoot(chargerId: string, dueAt: Date): Promise<void> {
      await database.query(statements.dueOnBoot, { chargerId, dueAt });
    },

    /** The connector is free: makes the bookings that wait for it due at once; returns whether there are any. */
    async activateOn(chargerId: string, connectorId: number, now: Date): Promise<boolean> {
      return (await database.query(statements.activateOn, { chargerId, connectorId, now })).length > 0;
    },

    /**
     * After a reconnect: makes unsettled reservations due at `dueAt`; PENDING ones only if made before `connectedAt`.
     */
    async dueOnConnect(chargerId: string, dueAt: Date, connectedAt: Date): Promise<void> {
      await database.query(statements.dueOnConnect, { chargerId, dueAt, connectedAt });
    },
  };
}
