// The migrations in their order.
import { SitesChargersAndIdTags1763800000001 } from '../../migrations/0001-sites-chargers-and-id-tags.ts';
import { ReservationsAndTransactions1763800000002 } from '../../migrations/0002-reservations-and-transactions.ts';
import { EventLog1763800000003 } from '../../migrations/0003-event-log.ts';
import { Settling1763900000004 } from '../../migrations/0004-settling.ts';

export const migrations = [
  SitesChargersAndIdTags1763800000001,
  ReservationsAndTransactions1763800000002,
  EventLog1763800000003,
  Settling1763900000004,
];
