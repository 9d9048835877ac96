// The follow-up work of a reservation, in columns of its row: when it is due, who has claimed it, whether a release is
// owed or the hold is in doubt. The settler reads it; use cases and reports of chargers write it. Only expiry and the
// ending notice change the version.
import { present } from '../../common/present.ts';
import { atExpiry, type LiveStatus, type Reservation } from '../../model/reservation/reservation.ts';
import type { Database, Statement } from '../database.ts';
import {
  aliasedOfR,
  appendEvent,
  holding,
  live,
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
 * For SQL: the ids of charger $1's live reservations that touch the minute before `at`, and of those whose release is
 * owed.
 */
const ofCharger = (at: string) => `
  ${touching('$1', `(${at}::timestamptz - interval '1 minute')`, at, 'r.id')}
  UNION ALL SELECT r.id FROM reservation r WHERE r.charger_id = $1 AND r.is_release_owed`;

const statements = {
  expire: {
    name: 'reservation-expire',
    // A no-show ends before its expiry date; the charger does not know that limit, so its release is due at once.
    text: `
      WITH due AS (
        SELECT id, status AS old_status FROM reservation
        WHERE status IN (${live}) AND least(expiry_date, no_show_at) <= $1
          AND (expiry_date <= $1 OR status = 'ACCEPTED')
        ORDER BY least(expiry_date, no_show_at) LIMIT ${MAX_ENDED} FOR UPDATE SKIP LOCKED
      ), changed AS (
        UPDATE reservation r SET status = rule.new_status, version = version + 1, ended_at = $1,
          reason = coalesce(CASE WHEN rule.keeps_reason THEN r.reason END, rule.reason),
          due_at = CASE WHEN r.enforcement = 'CHARGER' AND r.status <> 'SCHEDULED'
            THEN CASE WHEN r.expiry_date <= $1 THEN $3::timestamptz ELSE $1 END END,
          is_release_owed = r.enforcement = 'CHARGER' AND r.status <> 'SCHEDULED', attempts = 0, claimed_until = NULL,
          extending_to = NULL
        FROM due, unnest($4::text[], $5::text[], $6::text[], $7::boolean[])
          AS rule (old_status, new_status, reason, keeps_reason)
        WHERE r.id = due.id AND rule.old_status = due.old_status
        RETURNING ${aliasedOfR}, due.old_status
      ), logged AS (${appendEvent('changed', 'c.old_status', "$1::timestamptz, 'RESERVATION', c.status")})
      SELECT * FROM changed`,
  },
  giveNotice: {
    name: 'reservation-give-notice',
    text: `
      WITH due AS (
        SELECT id FROM reservation
        WHERE notice_at IS NOT NULL AND status = 'ACCEPTED'
          AND notice_at <= $1 AND expiry_date > $1
        ORDER BY notice_at LIMIT ${MAX_ENDED} FOR UPDATE SKIP LOCKED
      ), changed AS (
        UPDATE reservation r SET version = version + 1, notice_at = NULL FROM due WHERE r.id = due.id
        RETURNING ${aliasedOfR}
      ), logged AS (${appendEvent('changed', 'c.status', "$1::timestamptz, 'RESERVATION', 'ENDING_SOON'")})
      SELECT FROM changed`,
  },
  claimDue: {
    name: 'reservation-claim-due',
    text: `
      WITH due AS (
        SELECT r.id FROM reservation r JOIN charger c ON c.id = r.charger_id
        WHERE r.due_at <= $1 AND (r.claimed_until IS NULL OR r.claimed_until <= $1)
          AND (c.connected_node = $2 OR r.status IN ('PENDING', 'SCHEDULED') OR r.enforcement = 'SERVER')
        ORDER BY r.due_at LIMIT ${MAX_CLAIMED} FOR UPDATE OF r SKIP LOCKED
      )
      UPDATE reservation r SET due_at = $3, claimed_until = $3, attempts = least(attempts + 1, 1000)
      FROM due WHERE r.id = due.id
      RETURNING ${aliasedOfR},
                r.attempts, r.is_release_owed AS "isReleaseOwed", r.confirmed_at AS "confirmedAt",
                r.doubted_at AS "doubtedAt", r.activate_until AS "activateUntil"`,
  },
  nextDue: {
    name: 'reservation-next-due',
    // Each part is bounded by an index: there may be a year of bookings.
    text: `
      SELECT least(
        (SELECT min(least(expiry_date, no_show_at)) FROM reservation
         WHERE status IN (${live}) AND least(expiry_date, no_show_at) > $2),
        (SELECT min(notice_at) FROM reservation WHERE notice_at IS NOT NULL AND status IN (${holding}) AND notice_at > $2),
        (SELECT min(due.at) FROM (
          SELECT greatest(r.due_at, r.claimed_until) AS at FROM reservation r JOIN charger c ON c.id = r.charger_id
          WHERE r.due_at IS NOT NULL AND (c.connected_node = $1 OR r.status IN ('PENDING', 'SCHEDULED') OR r.enforcement = 'SERVER')
          ORDER BY r.due_at LIMIT 64) due)
      ) AS at`,
  },
  postpone: {
    name: 'reservation-postpone',
    // Changes the follow-up only if `attempts` is as claimed: what fell due meanwhile stays due. The claim ends in any
    // case.
    text: `
      UPDATE reservation SET claimed_until = NULL,
        due_at = CASE attempts WHEN $3 THEN $4::timestamptz ELSE due_at END,
        is_release_owed = CASE attempts WHEN $3 THEN $5::boolean ELSE is_release_owed END,
        doubted_at = CASE WHEN attempts = $3 AND $6::timestamptz IS NOT NULL THEN NULL ELSE doubted_at END,
        confirmed_at = coalesce($6, confirmed_at),
        extending_to = CASE attempts WHEN $3 THEN NULL ELSE extending_to END
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
      WHERE charger_id = $1 AND connector_id = $2 AND connector_id > 0 AND status = 'ACCEPTED'
        AND tstzrange(starts_at, held_until) @> $3::timestamptz AND expiry_date > $3
        AND due_at IS NULL AND enforcement = 'CHARGER'
      RETURNING due_at AS "dueAt"`,
  },
  makeDue: {
    name: 'reservation-make-due',
    text: `
      UPDATE reservation SET due_at = $2, attempts = least(attempts + 1, 1000), doubted_at = coalesce($3, doubted_at),
        claimed_until = CASE WHEN $4 THEN NULL ELSE claimed_until END,
        extending_to = CASE WHEN $4 THEN NULL ELSE extending_to END
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
  dueOnConnect: {
    name: 'reservation-due-on-connect',
    text: `
      UPDATE reservation SET due_at = $2, attempts = least(attempts + 1, 1000)
      WHERE id IN (${ofCharger('$2')})
        AND (status IN ('UNKNOWN', 'CANCELLING') OR is_release_owed
          OR (status = 'PENDING' AND created_at < $3) OR (status = 'ACCEPTED' AND due_at IS NOT NULL)
          OR (status = 'SCHEDULED' AND starts_at <= $2))`,
  },
  activateOn: {
    name: 'reservation-activate-on',
    text: `
      UPDATE reservation SET due_at = $3, attempts = least(attempts + 1, 1000)
      WHERE id IN (${touching('$1', '$3', '$3', 'r.id')})
        AND connector_id IN ($2, 0) AND status = 'SCHEDULED' AND starts_at <= $3 AND due_at > $3
      RETURNING id`,
  },
  dueOnBoot: {
    name: 'reservation-due-on-boot',
    text: `
      UPDATE reservation SET due_at = $2, attempts = least(attempts + 1, 1000)
      WHERE id IN (${ofCharger('$2')}) AND enforcement = 'CHARGER'
        AND (status IN ('UNKNOWN', 'ACCEPTED', 'CANCELLING') OR is_release_owed)`,
  },
} as const satisfies Record<string, Statement>;

export function followUps(database: Database) {
  return {
    /**
     * Ends reservations that reached their expiry date or no-show limit by the server's clock, up to MAX_ENDED in one
     * statement.
     */
    async expire(now: Date, releaseCheckAt: Date): Promise<Reservation[]> {
      const rules = Object.entries(atExpiry) as [LiveStatus, (typeof atExpiry)[LiveStatus]][];
      const ended = await database.query<ReservationRow>(statements.expire, [
        now,
        'SERVER',
        releaseCheckAt,
        rules.map(([from]) => from),
        rules.map(([, to]) => to.status),
        rules.map(([, to]) => to.reason),
        rules.map(([, to]) => to.keepsReason),
      ]);
      return ended.map(toReservation);
    },

    /**
     * Claims up to MAX_CLAIMED due rows until `leaseUntil`: those whose charger is connected to this node, and at any
     * node PENDING and SCHEDULED ones and server-side holds.
     */
    async claimDue(now: Date, node: number, leaseUntil: Date): Promise<DueReservation[]> {
      type Row = ReservationRow & {
        attempts: number;
        isReleaseOwed: boolean;
        confirmedAt: Date | null;
        doubtedAt: Date | null;
        activateUntil: Date | null;
      };
      const due = await database.query<Row>(statements.claimDue, [now, node, leaseUntil]);
      return due.map(({ attempts, isReleaseOwed, confirmedAt, doubtedAt, activateUntil, ...found }) => ({
        reservation: toReservation(found),
        attempts,
        isReleaseOwed,
        ...present({ confirmedAt, doubtedAt, activateUntil }),
      }));
    },

    /** Appends ENDING_SOON for each reservation that ends soon, once; returns how many. */
    async giveNotice(now: Date): Promise<number> {
      return (await database.query(statements.giveNotice, [now, 'SERVER'])).length;
    },

    /** When the next row falls due for this node; undefined if none does. */
    async nextDue(node: number, now: Date): Promise<Date | undefined> {
      const [found] = await database.query<{ at: Date | null }>(statements.nextDue, [node, now]);
      return found?.at ?? undefined;
    },

    /**
     * Gives back the claim of an unchanged reservation: it is due again at `dueAt`, or, without it, no longer.
     * `confirmedAt` ends a doubt.
     */
    async postpone({ reservation, attempts }: DueReservation, followUp: FollowUp, confirmedAt?: Date): Promise<void> {
      const values = [reservation.id, reservation.version, attempts, followUp.dueAt, followUp.isReleaseOwed];
      await database.query(statements.postpone, [...values, confirmedAt]);
    },

    /**
     * Owes a release of a reservation that the charger accepted, or may have, although it has ended here or is being
     * cancelled.
     */
    async oweRelease(id: string, dueAt: Date, options: { readonly evenUsed: boolean }): Promise<void> {
      await database.query(statements.oweRelease, [id, dueAt, options.evenUsed]);
    },

    /**
     * Makes the hold of this connector due after a pause, which doubles with each earlier attempt. Returns when;
     * undefined if there is no such hold, or it has a due time already.
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
     * Makes a live hold due at `dueAt`; with `doubtedAt`, what the charger reported before then no longer proves it.
     */
    async makeDue(
      id: string,
      dueAt: Date,
      { doubtedAt, givesBackClaim = false }: { readonly doubtedAt?: Date; readonly givesBackClaim?: boolean } = {},
    ): Promise<void> {
      await database.query(statements.makeDue, [id, dueAt, doubtedAt, givesBackClaim]);
    },

    /**
     * Owes a release of the ended reservations (the latest eight) that the charger may hold on this connector; returns
     * their ids.
     */
    async oweReleasesOn(chargerId: string, connectorId: number, expiryAfter: Date, dueAt: Date): Promise<string[]> {
      const values = [chargerId, connectorId, expiryAfter, dueAt];
      return (await database.query<{ id: string }>(statements.oweReleasesOn, values)).map(({ id }) => id);
    },

    /** Drops the owed releases of reservations that expired by `expiryUntil`: no charger holds them any longer. */
    async giveUpReleases(expiryUntil: Date): Promise<void> {
      await database.query(statements.giveUpReleases, [expiryUntil]);
    },

    /** After a boot: makes due what the charger held or was asked, so that it is verified. */
    async dueOnBoot(chargerId: string, dueAt: Date): Promise<void> {
      await database.query(statements.dueOnBoot, [chargerId, dueAt]);
    },

    /** The connector is free: makes the bookings that wait for it due at once; returns whether there are any. */
    async activateOn(chargerId: string, connectorId: number, now: Date): Promise<boolean> {
      return (await database.query(statements.activateOn, [chargerId, connectorId, now])).length > 0;
    },

    /**
     * After a reconnect: makes unsettled reservations due at `dueAt`; PENDING ones only if made before `connectedAt`.
     */
    async dueOnConnect(chargerId: string, dueAt: Date, connectedAt: Date): Promise<void> {
      await database.query(statements.dueOnConnect, [chargerId, dueAt, connectedAt]);
    },
  };
}
