// Reads from PostgreSQL what is held and booked at a site in a window of time.
import type { Held, Place } from '../../model/reservation/occupancy.ts';
import type { Window } from '../../model/site/opening-hours.ts';
import type { Database } from '../database.ts';
import { statement } from '../statement.ts';
import { json } from './hold-facts.repository.ts';
import { touching } from './reservation-row.repository.ts';

/** A charger with its connectors, and the holds and bookings on it. */
export interface ChargerOccupancy {
  readonly chargerId: string;
  readonly isConnected: boolean;
  readonly isReservable: boolean;
  readonly places: readonly Place[];
  readonly holds: readonly Held[];
}

interface Row {
  chargerId: string;
  isConnected: boolean;
  isReservable: boolean;
  places: Place[];
  /** Instants are epoch milliseconds instead of timestamps, because there may be many. */
  holds: { connectorId: number; plugType?: string; from: number; until: number }[];
}

const HELD = `r.connector_id AS "connectorId", r.plug_type AS "plugType",
  extract(epoch FROM r.starts_at)::double precision * 1000 AS "from",
  extract(epoch FROM r.held_until)::double precision * 1000 AS "until"`;

const statements = {
  ofSite: statement<Row>(
    'occupancy-of-site',
    `
      SELECT c.id AS "chargerId", c.connected_node IS NOT NULL AS "isConnected",
             c.supports_reservation IS DISTINCT FROM false AS "isReservable",
             ${json(`SELECT k.connector_id AS "connectorId", k.state, k.plug_types AS "plugTypes" FROM connector k
               WHERE k.charger_id = c.id ORDER BY k.connector_id`)} AS places,
             ${json(touching('c.id', ':from', ':until', HELD))} AS holds
      FROM charger c WHERE c.site_id = :siteId AND c.removed_at IS NULL AND (:chargerId::text IS NULL OR c.id = :chargerId) ORDER BY c.id`,
  ),
};

export type OccupancyRepository = ReturnType<typeof occupancyRepository>;

export const occupancyRepository = (database: Database) => ({
  /** All chargers of the site, or one of them, ordered by id. */
  async of(siteId: string, { from, until }: Window, chargerId?: string): Promise<ChargerOccupancy[]> {
    const rows = await database.query(statements.ofSite, { siteId, from, until, chargerId });
    return rows.map((row) => ({
      ...row,
      holds: row.holds.map(({ connectorId, plugType, from: start, until: end }) => ({
        connectorId,
        from: new Date(start),
        until: new Date(end),
        ...(plugType != null && { plugType }),
      })),
    }));
  },
});
