// Loads a year of bookings: sites, chargers, idTags, and reservations of the coming year with their events, spread
// evenly over the connectors. `npm run load-bookings` fills the database of DATABASE_URL; the benchmark fills one of
// its own.
import { pathToFileURL } from 'node:url';
import { parseArgs } from 'node:util';
import { Client } from 'pg';

export interface Load {
  readonly rows: number;
  readonly sites: number;
  readonly chargersPerSite: number;
  readonly connectorsPerCharger: number;
  readonly idTags: number;
}

export const yearOfBookings: Load = {
  rows: 1_000_000,
  sites: 50,
  chargersPerSite: 10,
  connectorsPerCharger: 2,
  idTags: 10_000,
};

export const siteId = (site: number) => `LOAD-${site}`;
export const chargerId = (site: number, charger: number) => `LOAD-${site}-${charger}`;
const BATCH = 50_000;

/** Loads the sites, chargers, connectors and idTags, without bookings. */
export async function loadPlaces(client: Client, load: Load): Promise<void> {
  const { sites, chargersPerSite, connectorsPerCharger, idTags } = load;
  await client.query(
    `INSERT INTO site (id, name, time_zone) SELECT 'LOAD-' || s, 'Site ' || s, 'Europe/Berlin' FROM generate_series(1, $1) s`,
    [sites],
  );
  await client.query(
    `INSERT INTO charger (id, site_id, name, password_hash)
     SELECT 'LOAD-' || s || '-' || c, 'LOAD-' || s, 'Charger ' || c, '' FROM generate_series(1, $1) s, generate_series(1, $2) c`,
    [sites, chargersPerSite],
  );
  await client.query(
    `INSERT INTO connector (charger_id, connector_id, state, plug_types)
     SELECT id, k, 'AVAILABLE', ARRAY[CASE k % 2 WHEN 1 THEN 'CCS2' ELSE 'TYPE2' END] FROM charger, generate_series(1, $1) k`,
    [connectorsPerCharger],
  );
  await client.query(
    `INSERT INTO id_tag (id_tag, token_type, parent_id_tag, status)
     SELECT 'TAG' || t, 'ISO14443', 'GROUP' || t % 100, 'ACCEPTED' FROM generate_series(1, $1) t`,
    [idTags],
  );
}

/** Loads bookings of one hour, the same share for each connector, evenly spaced over the year from tomorrow on. */
export async function loadBookings(client: Client, load: Load, onProgress: (rows: number) => void): Promise<void> {
  const { rows, sites, chargersPerSite, connectorsPerCharger, idTags } = load;
  const connectors = sites * chargersPerSite * connectorsPerCharger;
  const stepMinutes = Math.max(61, Math.floor((365 * 24 * 60) / Math.ceil(rows / connectors)));
  const insert = `
    WITH made AS (
      INSERT INTO reservation (id, reservation_id, site_id, charger_id, connector_id, id_tag, token_type, holder_group,
        status, version, starts_at, expiry_date, created_at, created_by, due_at, activate_until)
      SELECT gen_random_uuid(), nextval('reservation_wire_id'), 'LOAD-' || site, 'LOAD-' || site || '-' || charger,
             1 + n / ($3::int * $4) % $5, 'TAG' || tag, 'ISO14443', 'group' || tag % 100, 'SCHEDULED', 1,
             starts_at, starts_at + interval '1 hour', now(), 'load', starts_at, starts_at + interval '10 minutes'
      FROM generate_series($1::int, $2::int) n,
        LATERAL (SELECT 1 + abs(hashint4(n)) % $6::int AS tag, 1 + n % $3 AS site, 1 + n / $3 % $4 AS charger,
          date_trunc('hour', now()) + interval '25 hours' + (n / ($3 * $4 * $5)) * $7 * interval '1 minute' AS starts_at) place
      RETURNING *
    )
    INSERT INTO event (at, kind, type, site_id, charger_id, connector_id, to_status, actor, reservation_id, version,
      snapshot, id_tag)
    SELECT created_at, 'RESERVATION', 'SCHEDULED', site_id, charger_id, connector_id, status, 'DRIVER', id, 1,
           jsonb_build_object('id', id, 'reservationId', reservation_id, 'siteId', site_id, 'chargerId', charger_id,
             'connectorId', connector_id, 'idTag', id_tag, 'tokenType', token_type, 'status', status, 'version', 1,
             'startsAt', starts_at, 'expiryDate', expiry_date, 'createdAt', created_at, 'createdBy', created_by,
             'isBreached', false, 'enforcement', enforcement), id_tag
    FROM made`;
  for (let from = 0; from < rows; from += BATCH) {
    const until = Math.min(from + BATCH, rows) - 1;
    const values = [from, until, sites, chargersPerSite, connectorsPerCharger, idTags, stepMinutes];
    await client.query(insert, values);
    onProgress(until + 1);
  }
  await client.query('VACUUM ANALYZE');
}

if (import.meta.url === pathToFileURL(process.argv[1] ?? '').href) {
  const { values } = parseArgs({ options: { rows: { type: 'string', default: `${yearOfBookings.rows}` } } });
  const connectionString = process.env.DATABASE_URL;
  if (!connectionString) throw new Error('Set DATABASE_URL to a database that the server has migrated.');
  const client = new Client({ connectionString });
  await client.connect();
  const load = { ...yearOfBookings, rows: Number(values.rows) };
  await loadPlaces(client, load);
  await loadBookings(client, load, (rows) => console.log(`${rows} bookings`));
  await client.end();
}
