// Reads from PostgreSQL the facts that a hold is decided on, in one statement and so from one snapshot; skips what no
// layer of the policy needs.

import { present } from '../../common/present.ts';
import type { OcppVersion } from '../../model/charger/charger.ts';
import type { IdTag } from '../../model/charger/id-tag.ts';
import type { AdmissionFacts, HoldWish, OtherHold } from '../../model/reservation/admission.ts';
import type { Place, SiteHold, SitePlace } from '../../model/reservation/occupancy.ts';
import type { PolicyFacts } from '../../model/site/decide.ts';
import type { Window } from '../../model/site/opening-hours.ts';
import type { Strike, StrikeKind } from '../../model/site/strikes.ts';
import type { Sql } from '../database.ts';
import { statement } from '../statement.ts';
import { live, touching } from './reservation-row.repository.ts';

/** The limits up to which facts are read, as the policy needs them; a fact whose limit is absent is not read. */
export interface Reach {
  readonly window: Window;
  readonly day?: Window;
  readonly strikesSince?: Date;
  readonly unusedSince?: Date;
  /** Reads the idTag's live reservations that touch this window. */
  readonly near?: Window;
  /** How many live reservations of the idTag, and of its group, are read at most. */
  readonly maxOfIdTag?: number;
  readonly maxOfGroup?: number;
  readonly wants: { readonly lastEnd: boolean; readonly site: boolean };
}

/** The facts as the database returns them; admission-facts.ts adds the policy to make AdmissionFacts. */
export interface HoldFacts
  extends Omit<AdmissionFacts, 'policy' | 'timeZone' | 'free' | 'priorityOf' | 'isPreemptible'>,
    Omit<PolicyFacts, 'timeZone' | 'free'> {
  readonly sitePlaces: readonly SitePlace[];
  readonly siteHolds: readonly SiteHold[];
  readonly guards: Guards;
  /** About the reservation in `except`: whether it is ACCEPTED or SCHEDULED, and whether a process has claimed it. */
  readonly isHolding?: boolean;
  readonly isClaimed?: boolean;
}

/** Versions of guards, by guard key. */
export type Guards = ReadonlyMap<string, number>;

const TOUCHING_COLUMNS = `r.id, r.charger_id AS "chargerId", r.connector_id AS "connectorId", r.plug_type AS "plugType", r.status,
  r.starts_at AS "from", r.held_until AS "until", r.holder_group AS "group"`;

/** For SQL: the rows as one JSON array. */
export const json = (query: string) => `(SELECT coalesce(json_agg(q), '[]') FROM (${query}) q)`;

/** For SQL: whether a row, aliased r, is a strike against its holder. */
export const STRIKE = `(r.status = 'EXPIRED' OR (r.status = 'CANCELLED' AND r.is_late_cancel)
  OR (r.is_re_reservation AND r.status NOT IN ('REJECTED', 'FAILED')))`;
export const STRIKE_COLUMNS = `r.status = 'EXPIRED' AS "isNoShow", r.status = 'CANCELLED' AND r.is_late_cancel AS "isLateCancel",
  r.is_re_reservation AS "isReReservation", r.ended_at AS "endedAt", r.created_at AS "createdAt"`;

const strikesOf = (who: string, scope: string, key: string) => `
  SELECT ${STRIKE_COLUMNS}, (SELECT p.pardoned_at FROM pardon p
    WHERE p.site_id = c.site_id AND p.scope = '${scope}' AND p.key = ${key}) AS "pardonedAt"
  FROM reservation r
  WHERE r.site_id = c.site_id AND ${who} AND ${STRIKE} AND coalesce(r.ended_at, r.created_at) >= :strikesSince`;

const statements = {
  facts: statement<FactsRow>(
    'hold-facts',
    `
      SELECT c.site_id AS "siteId", s.policy_version AS "policyVersion", c.ocpp_version AS "ocppVersion",
             c.supports_reservation AS "supportsReservation", c.supports_connector_zero AS "supportsConnectorZero",
             c.connected_node IS NOT NULL AS "isConnected", c.last_seen_at AS "lastSeenAt", who.grp AS "group",
             CASE WHEN t.id_tag IS NOT NULL THEN json_build_object('idTag', t.id_tag, 'tokenType', t.token_type,
               'parentIdTag', t.parent_id_tag, 'status', t.status, 'expiryDate', t.expiry_date) END AS "idTag",
             ${json(`SELECT k.connector_id AS "connectorId", k.state, k.plug_types AS "plugTypes" FROM connector k
               WHERE k.charger_id = c.id ORDER BY k.connector_id`)} AS connectors,
             ${json(touching(':chargerId', ':from', ':until', TOUCHING_COLUMNS))} AS holds,
             (SELECT r.status IN ('ACCEPTED', 'SCHEDULED') FROM reservation r WHERE r.id = :except::uuid) AS "isHolding",
             (SELECT r.claimed_until > :now FROM reservation r WHERE r.id = :except) AS "isClaimed",
             :reservationId::integer IS NOT NULL AND EXISTS (SELECT FROM reservation r WHERE r.charger_id = c.id
               AND r.reservation_id = :reservationId AND (r.status IN (${live}) OR r.is_release_owed)) AS "isReservationIdInUse",
             CASE WHEN :nearFrom::timestamptz IS NOT NULL THEN ${json(`SELECT r.starts_at AS "from", r.held_until AS "until"
               FROM reservation r WHERE r.site_id = c.site_id AND lower(r.id_tag) = lower(:idTag) AND r.status IN (${live})
                 AND r.held_until > greatest(:now, :nearFrom) AND r.starts_at < :nearUntil::timestamptz
                 AND r.id IS DISTINCT FROM :except::uuid`)} END AS "ofIdTag",
             CASE WHEN :maxOfIdTag::integer IS NOT NULL THEN ${json(`SELECT r.held_until AS "until" FROM reservation r
               WHERE r.site_id = c.site_id AND lower(r.id_tag) = lower(:idTag) AND r.status IN (${live})
                 AND r.held_until > :now AND r.id IS DISTINCT FROM :except::uuid
               ORDER BY r.held_until DESC LIMIT :maxOfIdTag`)} END AS "endsOfIdTag",
             CASE WHEN :maxOfGroup::integer IS NOT NULL THEN ${json(`SELECT r.held_until AS "until" FROM reservation r
               WHERE r.site_id = c.site_id AND r.holder_group = who.grp AND r.holder_group IS NOT NULL
                 AND r.status IN (${live}) AND r.held_until > :now AND r.id IS DISTINCT FROM :except::uuid
               ORDER BY r.held_until DESC LIMIT :maxOfGroup`)} END AS "endsOfGroup",
             CASE WHEN :dayFrom::timestamptz IS NOT NULL THEN (SELECT count(*)::integer FROM reservation r
               WHERE r.site_id = c.site_id AND lower(r.id_tag) = lower(:idTag) AND r.starts_at >= :dayFrom
                 AND r.starts_at < :dayUntil::timestamptz AND r.status NOT IN ('REJECTED', 'FAILED')
                 AND r.reason IS DISTINCT FROM 'MOVED'
                 AND r.id IS DISTINCT FROM :except::uuid) END AS "startingThatDay",
             CASE WHEN :wantsLastEnd::boolean THEN (SELECT r.ended_at FROM reservation r
               WHERE r.site_id = c.site_id AND lower(r.id_tag) = lower(:idTag)
                 AND r.status IN ('USED', 'CANCELLED', 'EXPIRED') AND r.ended_at > r.starts_at
                 AND (r.status = 'USED' OR r.reason IN ('NO_SHOW', 'DRIVER_REQUEST'))
                 AND r.id IS DISTINCT FROM :except::uuid
               ORDER BY r.ended_at DESC LIMIT 1) END AS "lastEndedAt",
             CASE WHEN :unusedSince::timestamptz IS NOT NULL THEN (SELECT r.ended_at FROM reservation r
               WHERE r.site_id = c.site_id AND lower(r.id_tag) = lower(:idTag) AND r.charger_id = c.id
                 AND r.status IN ('USED', 'CANCELLED', 'EXPIRED') AND r.reason IN ('NO_SHOW', 'DRIVER_REQUEST')
                 AND r.ended_at >= :unusedSince
               ORDER BY r.ended_at DESC LIMIT 1) END AS "lastUnusedEnd",
             CASE WHEN :strikesSince::timestamptz IS NOT NULL THEN
               ${json(strikesOf('lower(r.id_tag) = lower(:idTag)', 'ID_TAG', 'lower(:idTag)'))} END AS "strikesOfIdTag",
             CASE WHEN :strikesSince IS NOT NULL THEN
               ${json(strikesOf('r.holder_group = who.grp', 'GROUP', 'who.grp'))} END AS "strikesOfGroup",
             CASE WHEN :wantsSite::boolean THEN ${json(`SELECT k.charger_id AS "chargerId", k.connector_id AS "connectorId",
                 k.state, k.plug_types AS "plugTypes"
               FROM connector k JOIN charger o ON o.id = k.charger_id
               WHERE o.site_id = c.site_id AND o.removed_at IS NULL`)} END AS "sitePlaces",
             CASE WHEN :wantsSite THEN ${json(`SELECT h.* FROM charger o CROSS JOIN LATERAL (
                 ${touching('o.id', ':from', ':until', TOUCHING_COLUMNS)}) h
               WHERE o.site_id = c.site_id AND o.removed_at IS NULL AND h.id IS DISTINCT FROM :except::uuid`)}
             END AS "siteHolds",
             ${json(`SELECT g.key, g.version FROM hold_guard g WHERE g.key IN ('C/' || c.id, 'S/' || c.site_id,
               'T/' || c.site_id || '/' || lower(:idTag), 'G/' || c.site_id || '/' || who.grp)`)} AS guards
      FROM charger c JOIN site s ON s.id = c.site_id LEFT JOIN id_tag t ON lower(t.id_tag) = lower(:idTag)
        CROSS JOIN LATERAL (SELECT lower(coalesce(:parentIdTag, t.parent_id_tag)) AS grp) who
      WHERE c.id = :chargerId AND c.removed_at IS NULL`,
  ),
};

type Raw<T> = { [K in keyof T]: T[K] extends Date | undefined ? string | null : T[K] };
export interface RawStrike {
  isNoShow: boolean;
  isLateCancel: boolean;
  isReReservation: boolean;
  endedAt: string | Date | null;
  createdAt: string | Date;
  /** Strikes up to the pardon do not count. */
  pardonedAt?: string | Date | null;
}
interface FactsRow {
  siteId: string;
  ocppVersion: OcppVersion | null;
  supportsReservation: boolean | null;
  supportsConnectorZero: boolean | null;
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

const toWindow = <W extends { from: string | null; until: string | null }>(raw: W) => ({
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

/** `sql` is the pool or a transaction. Returns undefined for an unknown charger. */
export async function readHoldFacts(sql: Sql, wish: HoldWish, reach: Reach, now: Date): Promise<HoldFacts | undefined> {
  const { chargerId, idTag, parentIdTag, reservationId, except } = wish;
  const { window, day, strikesSince, unusedSince, near, maxOfIdTag, maxOfGroup, wants } = reach;
  const [row] = await sql.query(statements.facts, {
    chargerId,
    idTag,
    now,
    reservationId,
    parentIdTag,
    from: window.from,
    until: window.until,
    except,
    dayFrom: day?.from,
    dayUntil: day?.until,
    strikesSince,
    nearFrom: near?.from,
    wantsLastEnd: wants.lastEnd,
    unusedSince,
    wantsSite: wants.site,
    nearUntil: near?.until,
    maxOfIdTag,
    maxOfGroup,
  });
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
}

const toIdTag = ({ expiryDate, parentIdTag, ...rest }: NonNullable<FactsRow['idTag']>): IdTag => ({
  ...(rest as IdTag),
  ...present({ parentIdTag }),
  ...(expiryDate && { expiryDate: new Date(expiryDate) }),
});
