// Measures what a year of bookings costs: the same requests, one at a time and in turn, to a server with an empty
// database and to one with the bookings. Prints the ratios of their latencies.
import { Client } from 'pg';
import { Passwords } from '../../src/charging/login/passwords.ts';
import { systemClock } from '../../src/common/clock.ts';
import { chargerId, type Load, loadBookings, loadPlaces, siteId } from './load-bookings.ts';
import {
  CANCEL,
  expectStatus,
  PASSWORD,
  percentile,
  RESERVE,
  type Server,
  startChargers,
  startServer,
} from './processes.ts';

const POLICY = {
  maxActivePerIdTag: 100,
  maxActivePerGroup: 1000,
  maxPerDayPerIdTag: 100_000,
  minFreeConnectors: 1,
  noShowLimit: 1000,
  lateCancelMinutes: 10,
  lateCancelLimit: 1000,
  maxLeadTimeMinutes: null,
};
const AVAILABILITY = `query ($siteId: ID!, $from: DateTime!, $to: DateTime!) { availability(siteId: $siteId, from: $from, to: $to, plugType: "CCS2") {
  __typename ... on Availability { connectors { chargerId connectorId windows { from until } } } } }`;
const OPTIONS = `query ($chargerId: ID!, $idTag: String!) { reservationOptions(chargerId: $chargerId, connectorId: 1, idTag: $idTag) {
  __typename ... on ReservationOptions { isAllowed maxDurationMinutes remainingActive freeWindows { from until } } } }`;
const USAGE = `query ($siteId: ID!, $from: DateTime!, $to: DateTime!) { reservationUsage(siteId: $siteId, from: $from, to: $to, bucket: DAY) {
  __typename ... on ReservationUsage { made buckets { from made } } } }`;

const DAY_MS = 86_400_000;
const SITES_ASKED = 10;

interface Request {
  readonly name: string;
  send(server: Server, round: number): Promise<unknown>;
}

const siteOf = (round: number) => 1 + (round % SITES_ASKED);
const tagOf = (round: number) => `TAG${1 + (round % 500)}`;

const requests: Request[] = [
  {
    name: 'availability',
    send(server, round) {
      const from = new Date(Date.now() + (1 + (round % 300)) * DAY_MS);
      const to = new Date(from.getTime() + DAY_MS);
      return server.run(AVAILABILITY, { siteId: siteId(siteOf(round)), from, to });
    },
  },
  {
    name: 'reservationOptions',
    send: (server, round) => server.run(OPTIONS, { chargerId: chargerId(siteOf(round), 1), idTag: tagOf(round) }),
  },
  {
    name: 'reserveNow',
    async send(server, round) {
      const input = { chargerId: chargerId(siteOf(round), 1), connectorId: 1, idTag: tagOf(round), durationMinutes: 5 };
      return expectStatus(await server.run(RESERVE, { input }), 'ACCEPTED');
    },
  },
];

async function startFilled(url: string, load: Load, hasBookings: boolean): Promise<Server> {
  const client = new Client({ connectionString: url });
  await client.connect();
  await loadPlaces(client, load);
  await client.query('UPDATE charger SET password_hash = $1', [await new Passwords(systemClock).hash(PASSWORD)]);
  const begun = performance.now();
  if (hasBookings) {
    await loadBookings(client, load, () => {});
    const [row] = (await client.query('SELECT count(*)::int AS n FROM reservation')).rows;
    console.log(`\n${row.n} bookings of a year loaded in ${((performance.now() - begun) / 1000).toFixed(0)} s`);
  } else await client.query('VACUUM ANALYZE');
  await client.end();
  const server = await startServer(url);
  for (let site = 1; site <= SITES_ASKED; site += 1) {
    const input = { id: siteId(site), name: `Site ${site}`, timeZone: 'Europe/Berlin', policy: POLICY };
    await server.run('mutation ($input: SaveSiteInput!) { saveSite(input: $input) { __typename } }', { input });
  }
  await startChargers(
    server.ocppPort,
    Array.from({ length: SITES_ASKED }, (_, index) => chargerId(index + 1, 1)),
  );
  return server;
}

/** Each server has a database of its own. */
export async function benchYear(urls: { empty: string; year: string }, load: Load, rounds: number): Promise<void> {
  const servers = [await startFilled(urls.empty, load, false), await startFilled(urls.year, load, true)] as const;
  console.log(`${rounds} requests each, one at a time, in turn: empty / with the year, ms`);
  console.log('                           p50                    p99          ratio p50   p99');
  for (const { name, send } of requests) {
    const taken: [number[], number[]] = [[], []];
    for (let round = -20; round < rounds; round += 1) {
      for (const [which, server] of servers.entries()) {
        const begun = performance.now();
        const answer = await send(server, Math.abs(round));
        if (round >= 0) taken[which as 0 | 1].push(performance.now() - begun);
        if (name === 'reserveNow') expectStatus(await server.run(CANCEL, { input: { id: answer } }), 'CANCELLED');
      }
    }
    const [empty, year] = taken.map((one) => one.toSorted((a, b) => a - b)) as [number[], number[]];
    const pair = (share: number) => [percentile(empty, share), percentile(year, share)] as const;
    const [p50, p99] = [pair(0.5), pair(0.99)];
    const shown = [p50, p99].map(([one, other]) => `${one.toFixed(2)} / ${other.toFixed(2)}`.padStart(20)).join('  ');
    const ratios = [p50, p99].map(([one, other]) => (other / one).toFixed(2).padStart(6)).join('  ');
    console.log(`${name.padEnd(20)} ${shown}  ${ratios}`);
  }
  const [, year] = servers;
  const begun = performance.now();
  await year.run(USAGE, {
    siteId: siteId(1),
    from: new Date(Date.now() - 30 * DAY_MS),
    to: new Date(Date.now() + DAY_MS),
  });
  console.log(`reservationUsage of a month, over the events of the site: ${(performance.now() - begun).toFixed(1)} ms`);
}
