// The list of all migrations, oldest first.
import { SitesChargersAndIdTags1763800000001 } from '../../migrations/0001-sites-chargers-and-id-tags.ts';
import { ReservationsAndTransactions1763800000002 } from '../../migrations/0002-reservations-and-transactions.ts';
import { EventLog1763800000003 } from '../../migrations/0003-event-log.ts';
import { Settling1763900000004 } from '../../migrations/0004-settling.ts';
import { Policies1764000000005 } from '../../migrations/0005-policies.ts';
import { Bookings1764000000006 } from '../../migrations/0006-bookings.ts';
import { Usage1764000000007 } from '../../migrations/0007-usage.ts';
import { Retention1764100000008 } from '../../migrations/0008-retention.ts';
import { ApiKeys1764100000009 } from '../../migrations/0009-api-keys.ts';
import { Audit1764100000010 } from '../../migrations/0010-audit.ts';
import { ChargerSecurity1764100000011 } from '../../migrations/0011-charger-security.ts';
import { Webhooks1764100000012 } from '../../migrations/0012-webhooks.ts';

export const migrations = [
  SitesChargersAndIdTags1763800000001,
  ReservationsAndTransactions1763800000002,
  EventLog1763800000003,
  Settling1763900000004,
  Policies1764000000005,
  Bookings1764000000006,
  Usage1764000000007,
  Retention1764100000008,
  ApiKeys1764100000009,
  Audit1764100000010,
  ChargerSecurity1764100000011,
  Webhooks1764100000012,
];
