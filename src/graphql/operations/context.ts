// The context of every resolver: the caller, the event log, the present state, and loaders that read each row once per
// request.
import DataLoader from 'dataloader';
import type { Clock } from '../../common/clock.ts';
import type { Feed } from '../../event-log/feed.ts';
import type { Source } from '../../model/access/audit-entry.ts';
import type { Caller } from '../../model/access/caller.ts';
import type { Charger } from '../../model/charger/charger.ts';
import type { Connector } from '../../model/charger/connector.ts';
import type { Reservation } from '../../model/reservation/reservation.ts';
import type { Site } from '../../model/site/site.ts';
import type { ChargerRepository } from '../../storage/chargers/charger.repository.ts';
import type { ReservationRepository } from '../../storage/reservations/reservation.repository.ts';
import type { SiteRepository } from '../../storage/sites/site.repository.ts';

export interface ApiContext {
  readonly caller: Caller;
  readonly load: Loaders;
  /** The event log, for queries. Subscriptions get their events from the feed (subscription.ts). */
  readonly feed: Pick<Feed, 'bounds' | 'read'>;
  /** Reads the present state together with its position in the log. */
  readonly now: Pick<ReservationRepository, 'liveOf'> & Pick<ChargerRepository, 'connectorsOf'>;
  /** Absent in a subscription. */
  readonly request?: ApiRequest;
}

export interface ApiRequest extends Source {
  /** Aborted when nobody waits for the answer any longer; resolvers then read nothing further. */
  readonly signal: AbortSignal;
}

export interface LoaderPorts {
  readonly chargers: ChargerRepository;
  readonly sites: SiteRepository;
  readonly reservations: ReservationRepository;
  readonly clock: Clock;
}

/** Each loader is made on first use: most requests need none. */
export class Loaders {
  #charger?: DataLoader<string, Charger | undefined>;
  #site?: DataLoader<string, Site | undefined>;
  #connectors?: DataLoader<string, Connector[]>;
  #holds?: DataLoader<string, Reservation[]>;

  constructor(
    private readonly ports: LoaderPorts,
    /** `cache` is false in a subscription, which lives long: it reads again for each event. */
    private readonly options: { readonly cache: boolean },
  ) {}

  charger(id: string): Promise<Charger | undefined> {
    this.#charger ??= new DataLoader(
      async (ids) => inOrder(ids, await this.ports.chargers.byIds(ids), (one) => one.id),
      this.options,
    );
    return this.#charger.load(id);
  }

  site(id: string): Promise<Site | undefined> {
    this.#site ??= new DataLoader(
      async (ids) => inOrder(ids, await this.ports.sites.byIds(ids), (one) => one.id),
      this.options,
    );
    return this.#site.load(id);
  }

  connectors(chargerId: string): Promise<Connector[]> {
    this.#connectors ??= new DataLoader(
      async (ids) => grouped(ids, await this.ports.chargers.connectors(ids)),
      this.options,
    );
    return this.#connectors.load(chargerId);
  }

  /** The reservations that hold a connector of the charger now. */
  holds(chargerId: string): Promise<Reservation[]> {
    const { reservations, clock } = this.ports;
    this.#holds ??= new DataLoader(
      async (ids) => grouped(ids, await reservations.heldOrBegun(ids, clock.now())),
      this.options,
    );
    return this.#holds.load(chargerId);
  }
}

function inOrder<T>(ids: readonly string[], found: readonly T[], idOf: (one: T) => string): (T | undefined)[] {
  const byId = new Map(found.map((one) => [idOf(one), one]));
  return ids.map((id) => byId.get(id));
}

function grouped<T extends { readonly chargerId: string }>(ids: readonly string[], found: readonly T[]): T[][] {
  const groups = new Map<string, T[]>(ids.map((id) => [id, []]));
  for (const one of found) groups.get(one.chargerId)?.push(one);
  return ids.map((id) => groups.get(id) ?? []);
}
