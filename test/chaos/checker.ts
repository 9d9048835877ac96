// Compares, once all is quiet, the answers that clients got, the rows of the database, the event log, the events that
// watchers saw and the holds of each charger. Each difference is a line.
import type { Client as DatabaseClient } from 'pg';
import type { SimulatedCharger } from '../../src/dev/simulator/simulated-charger.ts';
import type { Told } from './client.ts';
import type { Watcher } from './watcher.ts';

interface Evidence {
  readonly database: DatabaseClient;
  readonly told: readonly Told[];
  readonly chargers: readonly SimulatedCharger[];
  readonly watchers: readonly Watcher[];
}

/** Holds that end within this time are not compared: they may have ended on one side only. */
const EDGE_MS = 5000;
const finals = ['USED', 'CANCELLED', 'EXPIRED', 'REMOVED', 'REJECTED', 'FAILED'];
const correctable = ['CANCELLED', 'EXPIRED', 'REMOVED', 'FAILED'];

export async function differences(evidence: Evidence): Promise<string[]> {
  return [
    ...(await answersAgainstRows(evidence)),
    ...(await historiesAgainstRows(evidence)),
    ...(await holdsInTheLog(evidence)),
    ...(await chargersAgainstRows(evidence)),
    ...(await watchersAgainstLog(evidence)),
  ];
}

/** No acknowledged reservation is lost, no refused one is held, and no idempotencyKey has two. */
async function answersAgainstRows({ database, told }: Evidence): Promise<string[]> {
  const { rows } = await database.query<{ key: string; id: string; status: string; statuses: string[] }>(
    `SELECT idempotency_key AS key, id, status,
       (SELECT array_agg(to_status ORDER BY version) FROM event e WHERE e.reservation_id = r.id) AS statuses FROM reservation r`,
  );
  const keyed = rows.filter(({ key }) => key !== null);
  const byKey = new Map(keyed.map((row) => [row.key, row]));
  const found: string[] = [];
  if (byKey.size !== keyed.length) found.push('a key has two reservations');
  for (const { key, id, words } of told) {
    const row = byKey.get(key);
    const [first, ...later] = words;
    if (first === undefined) continue;
    if (id === undefined) {
      if (row && !['REJECTED', 'FAILED'].includes(row.status))
        found.push(`${key} was told ${first} and is ${row.status}`);
      continue;
    }
    if (row?.id !== id) found.push(`${key} was acknowledged and is not there`);
    else if (!row.statuses.includes(first)) found.push(`${key} was told ${first}, which it never was`);
    for (const word of later) {
      if (['CANCELLED', 'CANCELLING', 'ACCEPTED', 'UNKNOWN'].includes(word) && !row?.statuses.includes(word)) {
        found.push(`${key} was told ${word}, which it never was`);
      }
    }
  }
  return found;
}

/**
 * Each version has one event, no final status changes except by a correction to USED, and the last event matches the
 * row.
 */
async function historiesAgainstRows({ database }: Evidence): Promise<string[]> {
  type Row = { id: string; version: number; status: string; told: { v: number; f: string | null; t: string }[] };
  const { rows } = await database.query<Row>(
    `SELECT r.id, r.version, r.status,
       (SELECT json_agg(json_build_object('v', e.version, 'f', e.from_status, 't', e.to_status) ORDER BY e.version)
        FROM event e WHERE e.reservation_id = r.id) AS told FROM reservation r`,
  );
  return rows.flatMap(({ id, version, status, told }) => {
    const isChain = told.every(({ v, f }, index) => v === index + 1 && f === (told[index - 1]?.t ?? null));
    const isUndone = told.some(
      ({ f, t }) => f !== null && finals.includes(f) && !(t === 'USED' && correctable.includes(f)),
    );
    const isComplete = told.length === version && told.at(-1)?.t === status;
    return isChain && isComplete && !isUndone ? [] : [`the history of ${id} is broken: ${JSON.stringify(told)}`];
  });
}

/** By the order of the log, no connector is ever held twice at once. */
async function holdsInTheLog({ database }: Evidence): Promise<string[]> {
  type Row = { id: string; place: string; status: string; startsAt: string; expiryDate: string };
  const { rows } = await database.query<Row>(
    `SELECT reservation_id AS id, charger_id || '/' || connector_id AS place, to_status AS status,
       snapshot->>'startsAt' AS "startsAt", snapshot->>'expiryDate' AS "expiryDate"
     FROM event WHERE kind = 'RESERVATION' AND connector_id > 0 ORDER BY event.xid, event.id`,
  );
  const held = new Map<string, Map<string, Row>>();
  const found: string[] = [];
  for (const row of rows) {
    const here = held.get(row.place) ?? new Map<string, Row>();
    held.set(row.place, here);
    here.delete(row.id);
    if (finals.includes(row.status)) continue;
    for (const other of here.values()) {
      const isTwice =
        Date.parse(other.expiryDate) > Date.parse(row.startsAt) &&
        Date.parse(row.expiryDate) > Date.parse(other.startsAt);
      if (isTwice) found.push(`${row.place} is held by ${other.id} and ${row.id} at once`);
    }
    here.set(row.id, row);
  }
  return found;
}

/** A charger holds exactly the reservations that are ACCEPTED in the database. */
async function chargersAgainstRows({ database, chargers }: Evidence): Promise<string[]> {
  const { rows } = await database.query<{ chargerId: string; reservationId: number; expiryDate: Date; status: string }>(
    `SELECT charger_id AS "chargerId", reservation_id AS "reservationId", expiry_date AS "expiryDate", status FROM reservation
     WHERE status IN ('PENDING', 'UNKNOWN', 'ACCEPTED', 'CANCELLING')`,
  );
  const isClear = ({ expiryDate }: { expiryDate: Date }) => expiryDate.getTime() > Date.now() + EDGE_MS;
  const name = (chargerId: string, reservationId: number, until: Date) =>
    `${chargerId} ${reservationId} until ${until.toISOString()}`;
  const open = rows
    .filter(({ status }) => status !== 'ACCEPTED')
    .map((row) => `${row.chargerId} ${row.reservationId} is still ${row.status}`);
  const ours = new Set(rows.filter(isClear).map((row) => name(row.chargerId, row.reservationId, row.expiryDate)));
  const theirs = new Set(
    chargers.flatMap(({ id, reservations }) =>
      reservations.filter(isClear).map(({ reservationId, expiryDate }) => name(id, reservationId, expiryDate)),
    ),
  );
  return [
    ...open,
    ...[...ours].filter((one) => !theirs.has(one)).map((one) => `${one}: held here, not by the charger`),
    ...[...theirs].filter((one) => !ours.has(one)).map((one) => `${one}: held by the charger, not here`),
  ];
}

/** Every watcher saw every event once, in the order of the log. */
async function watchersAgainstLog({ database, watchers }: Evidence): Promise<string[]> {
  const { rows } = await database.query<{ id: string; version: number }>(
    `SELECT reservation_id AS id, version FROM event WHERE kind = 'RESERVATION' ORDER BY event.xid, event.id`,
  );
  const log = rows.map(({ id, version }) => `${id}/${version}`);
  return watchers.flatMap(({ seen }, index) => {
    const saw = seen.map(({ reservation }) => `${reservation.id}/${reservation.version}`);
    if (JSON.stringify(saw) === JSON.stringify(log)) return [];
    const missed = log.filter((one) => !saw.includes(one)).length;
    const doubled = saw.length - new Set(saw).size;
    return [
      `watcher ${index} saw ${saw.length} of ${log.length} events: ${missed} missed, ${doubled} doubled, or out of order`,
    ];
  });
}
