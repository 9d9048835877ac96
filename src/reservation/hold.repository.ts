// Making holds in PostgreSQL: what one is decided on, read as one snapshot, and the statement that stores it unless
// that has changed since. Whatever counts for a limit grows the guards of what it counts for; a hold that was decided on
// older guards is not stored.
import { present } from '../common/present.ts';
import { type Database, type Sql, type Statement, violatedConstraint } from '../database/database.ts';
import type { Actor } from '../event-log/event.ts';
import type { IdTag, TokenType } from '../id-tag/id-tag.ts';
import type { PolicyFacts } from '../site/decide.ts';
import type { Window } from '../site/opening-hours.ts';
import type { Strike, StrikeKind } from '../site/strikes.ts';
import type { AdmissionFacts, OtherHold } from './admission.ts';
import type { Place, SiteHold, SitePlace } from './occupancy.ts';
import type { Enforcement, Reservation } from './reservation.ts';
import {
  aliased,
  appendEvent,
  live,
  type ReservationRow,
  toReservation,
  touching,
} from './reservation-row.repository.ts';

/** What is asked about, and how far one has to look: what a policy does not ask for is not read. */
export interface FactsQuery {
  readonly chargerId: string;
  readonly idTag?: string;
  readonly parentIdTag?: string;
  readonly reservationId?: number;
  readonly window: Window;
  /** A reservation that is left out of what counts for limits: the one that is being changed. */
  readonly except?: string;
  readonly day?: Window;
  readonly strikesSince?: Date;
  readonly unusedSince?: Date;
  /** What of the same idTag comes near: its live reservations that touch this window. */
  readonly near?: Window;
  /** So many live reservations of the idTag, and of its group, matter. */
  readonly maxOfIdTag?: number;
  readonly maxOfGroup?: number;
  readonly wants: { readonly lastEnd: boolean; readonly site: boolean };
}

/** As the database has it; the policy, which the caller knows, makes AdmissionFacts of it. */
export interface HoldFacts
  extends Omit<AdmissionFacts, 'policy' | 'timeZone' | 'free' | 'priorityOf' | 'isPreemptible'>,
    Omit<PolicyFacts, 'timeZone' | 'free'> {
  readonly sitePlaces: readonly SitePlace[];
  readonly siteHolds: readonly SiteHold[];
  readonly guards: Guards;
  /** Of the reservation that is left out: whether it holds, and whether somebody is at work on it. */
  readonly isHolding?: boolean;
  readonly isClaimed?: boolean;
}

/** The versions of what the hold counts for. */
export type Guards = ReadonlyMap<string, number>;

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
  /** The caller's own; without it the sequence gives one. */
  readonly reservationId?: number;
  /** When the settler takes over: at its start, or if the process dies on the way. */
  readonly dueAt: Date;
  readonly activateUntil?: Date;
  readonly isBooking: boolean;
  readonly noShowMinutes?: number;
  readonly noticeMinutes?: number;
  readonly isReReservation: boolean;
  /** Of the one that it takes the place of. */
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

export const TOUCHING_COLUMNS = `r.id, r.charger_id AS "chargerId", r.connector_id AS "connectorId", r.plug_type AS "plugType", r.status,
  r.starts_at AS "from", r.held_until AS "until", r.holder_group AS "group"`;

/** For SQL: the rows as one JSON array. */
export const json = (query: string) => `(SELECT coalesce(json_agg(q), '[]') FROM (${query}) q)`;

/** For SQL: a row, aliased r, that counts against its holder. */
export const STRIKE = `(r.status = 'EXPIRED' OR (r.status = 'CANCELLED' AND r.is_late_cancel)
  OR (r.is_re_reservation AND r.status NOT IN ('REJECTED', 'FAILED')))`;
export const STRIKE_COLUMNS = `r.status = 'EXPIRED' AS "isNoShow", r.status = 'CANCELLED' AND r.is_late_cancel AS "isLateCancel",
  r.is_re_reservation AS "isReReservation", r.ended_at AS "endedAt", r.created_at AS "createdAt"`;

const strikesOf = (who: string, scope: string, key: string) => `
  SELECT ${STRIKE_COLUMNS}, (SELECT p.pardoned_at FROM pardon p
    WHERE p.site_id = c.site_id AND p.scope = '${scope}' AND p.key = ${key}) AS "pardonedAt"
  FROM reservation r
  WHERE r.site_id = c.site_id AND ${who} AND ${STRIKE} AND coalesce(r.ended_at, r.created_at) >= $11`;

/** For SQL: it holds what it may be moved from, and nobody is at work on it but the settler ($2), who may be moving it. */
const MOVABLE = `status IN ('ACCEPTED', 'SCHEDULED')
  AND (claimed_until IS NULL OR claimed_until <= $1 OR $2 = 'SERVER')`;

const statements = {
  facts: {
    name: 'hold-facts',
    text: `
      SELECT c.site_id AS "siteId", s.policy_version AS "policyVersion", c.ocpp_version AS "ocppVersion",
             c.supports_reservation AS "supportsReservation", c.supports_connector_zero AS "supportsConnectorZero",
             c.connected_node IS NOT NULL AS "isConnected", c.last_seen_at AS "lastSeenAt", who.grp AS "group",
             CASE WHEN t.id_tag IS NOT NULL THEN json_build_object('idTag', t.id_tag, 'tokenType', t.token_type,
               'parentIdTag', t.parent_id_tag, 'status', t.status, 'expiryDate', t.expiry_date) END AS "idTag",
             ${json(`SELECT k.connector_id AS "connectorId", k.state, k.plug_types AS "plugTypes" FROM connector k
               WHERE k.charger_id = c.id ORDER BY k.connector_id`)} AS connectors,
             ${json(touching('$1', '$6', '$7', TOUCHING_COLUMNS))} AS holds,
             (SELECT r.status IN ('ACCEPTED', 'SCHEDULED') FROM reservation r WHERE r.id = $8::uuid) AS "isHolding",
             (SELECT r.claimed_until > $3 FROM reservation r WHERE r.id = $8) AS "isClaimed",
             $4::integer IS NOT NULL AND EXISTS (SELECT FROM reservation r WHERE r.charger_id = c.id
               AND r.reservation_id = $4 AND (r.status IN (${live}) OR r.is_release_owed)) AS "isReservationIdInUse",
             CASE WHEN $12::timestamptz IS NOT NULL THEN ${json(`SELECT r.starts_at AS "from", r.held_until AS "until"
               FROM reservation r WHERE r.site_id = c.site_id AND lower(r.id_tag) = lower($2) AND r.status IN (${live})
                 AND r.held_until > greatest($3, $12) AND r.starts_at < $16::timestamptz
                 AND r.id IS DISTINCT FROM $8::uuid`)} END AS "ofIdTag",
             CASE WHEN $17::integer IS NOT NULL THEN ${json(`SELECT r.held_until AS "until" FROM reservation r
               WHERE r.site_id = c.site_id AND lower(r.id_tag) = lower($2) AND r.status IN (${live})
                 AND r.held_until > $3 AND r.id IS DISTINCT FROM $8::uuid
               ORDER BY r.held_until DESC LIMIT $17`)} END AS "endsOfIdTag",
             CASE WHEN $18::integer IS NOT NULL THEN ${json(`SELECT r.held_until AS "until" FROM reservation r
               WHERE r.site_id = c.site_id AND r.holder_group = who.grp AND r.holder_group IS NOT NULL
                 AND r.status IN (${live}) AND r.held_until > $3 AND r.id IS DISTINCT FROM $8::uuid
               ORDER BY r.held_until DESC LIMIT $18`)} END AS "endsOfGroup",
             CASE WHEN $9::timestamptz IS NOT NULL THEN (SELECT count(*)::integer FROM reservation r
               WHERE r.site_id = c.site_id AND lower(r.id_tag) = lower($2) AND r.starts_at >= $9
                 AND r.starts_at < $10::timestamptz AND r.status NOT IN ('REJECTED', 'FAILED')
                 AND r.reason IS DISTINCT FROM 'MOVED'
                 AND r.id IS DISTINCT FROM $8::uuid) END AS "startingThatDay",
             CASE WHEN $13::boolean THEN (SELECT r.ended_at FROM reservation r
               WHERE r.site_id = c.site_id AND lower(r.id_tag) = lower($2)
                 AND r.status IN ('USED', 'CANCELLED', 'EXPIRED') AND r.ended_at > r.starts_at
                 AND (r.status = 'USED' OR r.reason IN ('NO_SHOW', 'DRIVER_REQUEST'))
                 AND r.id IS DISTINCT FROM $8::uuid
               ORDER BY r.ended_at DESC LIMIT 1) END AS "lastEndedAt",
             CASE WHEN $14::timestamptz IS NOT NULL THEN (SELECT r.ended_at FROM reservation r
               WHERE r.site_id = c.site_id AND lower(r.id_tag) = lower($2) AND r.charger_id = c.id
                 AND r.status IN ('USED', 'CANCELLED', 'EXPIRED') AND r.reason IN ('NO_SHOW', 'DRIVER_REQUEST')
                 AND r.ended_at >= $14
               ORDER BY r.ended_at DESC LIMIT 1) END AS "lastUnusedEnd",
             CASE WHEN $11::timestamptz IS NOT NULL THEN
               ${json(strikesOf('lower(r.id_tag) = lower($2)', 'ID_TAG', 'lower($2)'))} END AS "strikesOfIdTag",
             CASE WHEN $11 IS NOT NULL THEN
               ${json(strikesOf('r.holder_group = who.grp', 'GROUP', 'who.grp'))} END AS "strikesOfGroup",
             CASE WHEN $15::boolean THEN ${json(`SELECT k.charger_id AS "chargerId", k.connector_id AS "connectorId",
                 k.state, k.plug_types AS "plugTypes"
               FROM connector k JOIN charger o ON o.id = k.charger_id
               WHERE o.site_id = c.site_id AND o.removed_at IS NULL`)} END AS "sitePlaces",
             CASE WHEN $15 THEN ${json(`SELECT h.* FROM charger o CROSS JOIN LATERAL (
                 ${touching('o.id', '$6', '$7', TOUCHING_COLUMNS)}) h
               WHERE o.site_id = c.site_id AND o.removed_at IS NULL AND h.id IS DISTINCT FROM $8::uuid`)}
             END AS "siteHolds",
             ${json(`SELECT g.key, g.version FROM hold_guard g WHERE g.key IN ('C/' || c.id, 'S/' || c.site_id,
               'T/' || c.site_id || '/' || lower($2), 'G/' || c.site_id || '/' || who.grp)`)} AS guards
      FROM charger c JOIN site s ON s.id = c.site_id LEFT JOIN id_tag t ON lower(t.id_tag) = lower($2)
        CROSS JOIN LATERAL (SELECT lower(coalesce($5, t.parent_id_tag)) AS grp) who
      WHERE c.id = $1 AND c.removed_at IS NULL`,
  },
  lockGuards: {
    name: 'hold-lock-guards',
    // In the order of their keys, everywhere: nobody waits for somebody who waits for him.
    text: `
      INSERT INTO hold_guard AS g (key, version) SELECT key, 0 FROM unnest($1::text[]) AS k (key) ORDER BY key
      ON CONFLICT (key) DO UPDATE SET version = g.version`,
  },
  growGuard: {
    name: 'hold-grow-guard',
    text: `
      INSERT INTO hold_guard AS g (key, version) VALUES ($1, 1)
      ON CONFLICT (key) DO UPDATE SET version = g.version + 1`,
  },
  insert: {
    name: 'hold-insert',
    text: `
      WITH ${guarded('$4', '$5')}, moved AS (
        -- It must still be there, and nobody else at work on it.
        SELECT id FROM reservation WHERE id = $27::uuid AND ${MOVABLE} FOR UPDATE
      ), admitted AS (
        SELECT c.id, c.site_id FROM charger c JOIN site s ON s.id = c.site_id
        WHERE c.id = $3 AND c.removed_at IS NULL AND s.policy_version = $22
          AND (SELECT count(*) FROM guarded) = cardinality($4::text[])
          AND ($27 IS NULL OR EXISTS (SELECT FROM moved))
          -- The charger may still hold an ended reservation under that id, and will be told to let it go.
          AND NOT EXISTS (SELECT FROM reservation WHERE charger_id = $3 AND reservation_id = $7 AND is_release_owed)
      ), made AS (
        INSERT INTO reservation (id, reservation_id, site_id, charger_id, connector_id, id_tag, token_type,
          parent_id_tag, status, version, starts_at, expiry_date, created_at, created_by, idempotency_key,
          request_digest, due_at, enforcement, plug_type, holder_group, policy_version, activate_until, no_show_minutes,
          notice_minutes, notice_at, is_re_reservation, moved_from, extensions, is_booking)
        SELECT $6, coalesce($7::integer, nextval('reservation_wire_id')::integer), site_id, id, $8::integer, $9, $10,
               $11, $19, 1, $20::timestamptz, $12::timestamptz, $1, $13, $14, $15, $16, $17, $18, $21, $22, $23, $24,
               $25::integer, $12::timestamptz - $25 * interval '1 minute', $26, $27, $28, $29
        FROM admitted RETURNING ${aliased}
      ), logged AS (${appendEvent('made', 'NULL', "$1::timestamptz, 'RESERVATION', CASE c.status WHEN 'PENDING' THEN 'REQUESTED' ELSE c.status END")})
      SELECT * FROM made`,
  },
  claimToExtend: {
    name: 'hold-claim-to-extend',
    text: `
      WITH ${guarded('$6', '$7')}, claimed AS (
        UPDATE reservation SET due_at = $3, claimed_until = $3, extending_to = $5, attempts = least(attempts + 1, 1000),
          doubted_at = CASE WHEN status = 'ACCEPTED' AND enforcement = 'CHARGER' THEN $4::timestamptz ELSE doubted_at END
        WHERE id = $1 AND version = $2 AND expiry_date > $4 AND (SELECT count(*) FROM guarded) = cardinality($6::text[])
          AND (claimed_until IS NULL OR claimed_until <= $4)
          AND ((status = 'ACCEPTED' AND due_at IS NULL) OR status = 'SCHEDULED')
        RETURNING id
      )
      SELECT (SELECT count(*) FROM guarded) = cardinality($6::text[]) AS "isCurrent",
             EXISTS (SELECT FROM claimed) AS "isClaimed"`,
  },
} as const satisfies Record<string, Statement>;

/** For SQL: grows the guards `keys` from `versions`, in the order of the keys; one that has grown since is left out. */
function guarded(keys: string, versions: string): string {
  return `guarded AS (
    INSERT INTO hold_guard AS g (key, version)
    SELECT key, version + 1 FROM unnest(${keys}::text[], ${versions}::bigint[]) AS w (key, version) ORDER BY key
    ON CONFLICT (key) DO UPDATE SET version = g.version + 1 WHERE g.version = excluded.version - 1
    RETURNING g.key
  )`;
}

type Raw<T> = { [K in keyof T]: T[K] extends Date | undefined ? string | null : T[K] };
export interface RawStrike {
  isNoShow: boolean;
  isLateCancel: boolean;
  isReReservation: boolean;
  endedAt: string | Date | null;
  createdAt: string | Date;
  /** What was before it counts no more. */
  pardonedAt?: string | Date | null;
}
interface FactsRow {
  siteId: string;
  policyVersion: number;
  isConnected: boolean;
  isReservationIdInUse: boolean;
  isHolding: boolean | null;
  isClaimed: boolean | null;
  lastSeenAt: Date | null;
  lastEndedAt: Date | null;
  lastUnusedEnd: Date | null;
  startingThatDay: number | null;
  group: string | null;
  idTag: (Omit<Raw<IdTag>, 'parentIdTag'> & { parentIdTag: string | null }) | null;
  connectors: Place[];
  holds: Raw<OtherHold>[];
  ofIdTag: Raw<Window>[] | null;
  endsOfIdTag: { until: string }[] | null;
  endsOfGroup: { until: string }[] | null;
  strikesOfIdTag: RawStrike[] | null;
  strikesOfGroup: RawStrike[] | null;
  sitePlaces: SitePlace[] | null;
  siteHolds: Raw<SiteHold>[] | null;
  guards: { key: string; version: number }[];
}

export type HeldRow = Raw<SiteHold>;

export const toWindow = <W extends { from: string | null; until: string | null }>(raw: W) => ({
  ...present(raw),
  from: new Date(raw.from ?? 0),
  until: new Date(raw.until ?? 0),
});

export function toStrikes(rows: readonly RawStrike[]): Strike[] {
  return rows.flatMap(({ isNoShow, isLateCancel, isReReservation, endedAt, createdAt, pardonedAt }) => {
    const kinds: [boolean, StrikeKind, string | Date | null][] = [
      [isNoShow, 'NO_SHOW', endedAt],
      [isLateCancel, 'LATE_CANCEL', endedAt],
      [isReReservation, 'RE_RESERVATION', createdAt],
    ];
    const counts = (at: string | Date) => !pardonedAt || new Date(at) > new Date(pardonedAt);
    return kinds.flatMap(([is, kind, at]) => (is && at && counts(at) ? [{ kind, at: new Date(at) }] : []));
  });
}

export type HoldStore = ReturnType<typeof holdStore>;

/** On the pool, or within a transaction. */
export function holdStore(sql: Sql) {
  return {
    /** Undefined where there is no such charger. */
    async facts(query: FactsQuery, now: Date): Promise<HoldFacts | undefined> {
      const { chargerId, idTag, parentIdTag, reservationId, window, except, day, strikesSince, near, wants } = query;
      const [row] = await sql.query<FactsRow & Record<string, unknown>>(statements.facts, [
        ...[chargerId, idTag, now, reservationId, parentIdTag, window.from, window.until, except],
        ...[day?.from, day?.until, strikesSince, near?.from, wants.lastEnd, query.unusedSince, wants.site, near?.until],
        ...[query.maxOfIdTag, query.maxOfGroup],
      ]);
      if (!row) return undefined;
      const { idTag: tag, guards, ...facts } = row;
      return {
        ...(present(facts) as unknown as HoldFacts),
        holds: row.holds.map((raw) => toWindow(raw) as OtherHold),
        ofIdTag: (row.ofIdTag ?? []).map(toWindow),
        endsOfIdTag: (row.endsOfIdTag ?? []).map(({ until }) => new Date(until)),
        endsOfGroup: (row.endsOfGroup ?? []).map(({ until }) => new Date(until)),
        startingThatDay: row.startingThatDay ?? 0,
        strikesOfIdTag: toStrikes(row.strikesOfIdTag ?? []),
        strikesOfGroup: toStrikes(row.strikesOfGroup ?? []),
        sitePlaces: row.sitePlaces ?? [],
        siteHolds: (row.siteHolds ?? []).map((raw) => toWindow(raw) as SiteHold),
        guards: new Map(guards.map(({ key, version }) => [key, version])),
        idTag: tag ? toIdTag(tag) : undefined,
      };
    },

    /** Stores the hold, unless what it was admitted on has changed since: nothing is stored on a conflict. */
    async insert(made: NewReservation, guards: Guards): Promise<Reservation | InsertConflict> {
      try {
        const [row] = await sql.query<ReservationRow>(statements.insert, [
          ...[made.createdAt, made.actor, made.chargerId, [...guards.keys()], [...guards.values()], made.id],
          ...[made.reservationId, made.connectorId, made.idTag, made.tokenType, made.parentIdTag, made.expiryDate],
          ...[made.createdBy, made.idempotencyKey, made.requestDigest, made.dueAt, made.enforcement, made.plugType],
          ...[made.status, made.startsAt, made.holderGroup, made.policyVersion, made.activateUntil, made.noShowMinutes],
          ...[made.noticeMinutes, made.isReReservation, made.movedFrom, made.extensions, made.isBooking],
        ]);
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
     * One extension at a time, and none while the hold is being verified: NOT_NOW where somebody else is at it. From then on the connector is held here until `extendingTo`, and what the charger holds is in
     * doubt until the extension is stored; if it never is, the row falls due.
     */
    async claimToExtend(
      { id, version }: Reservation,
      { extendingTo, until, now }: { readonly extendingTo: Date; readonly until: Date; readonly now: Date },
      guards: Guards,
    ): Promise<'CLAIMED' | 'NOT_NOW' | 'FACTS_CHANGED'> {
      const values = [id, version, until, now, extendingTo, [...guards.keys()], [...guards.values()]];
      try {
        type Row = { isCurrent: boolean; isClaimed: boolean };
        const [row] = await sql.query<Row>(statements.claimToExtend, values);
        return row?.isClaimed ? 'CLAIMED' : row?.isCurrent ? 'NOT_NOW' : 'FACTS_CHANGED';
      } catch (error) {
        if (violatedConstraint(error) === 'reservation_connector_held') return 'FACTS_CHANGED';
        throw error;
      }
    },
  };
}

const toIdTag = ({ expiryDate, parentIdTag, ...rest }: NonNullable<FactsRow['idTag']>): IdTag => ({
  ...(rest as IdTag),
  ...present({ parentIdTag }),
  ...(expiryDate && { expiryDate: new Date(expiryDate) }),
});

/** Takes the guards for as long as the transaction lasts; what is read after it nobody changes meanwhile. */
export const lockGuards = (sql: Sql, keys: readonly string[]): Promise<unknown> =>
  sql.query(statements.lockGuards, [[...keys]]);

/** What was decided on this before is not stored. */
export const growGuard = (sql: Sql, key: string): Promise<unknown> => sql.query(statements.growGuard, [key]);

/** Runs on the pool; or, `locked`, in a transaction that nobody disturbs. */
export const holdRepository = (database: Database) => ({
  ...holdStore(database),
  underLock: <T>(keys: readonly string[], work: (sql: Sql) => Promise<T>): Promise<T> =>
    database.transaction(async (sql) => {
      await lockGuards(sql, keys);
      return work(sql);
    }),
});
export type HoldRepository = ReturnType<typeof holdRepository>;
