// Cache of the sites' policies in this process. An entry may be stale: ofSite() compares its version with the
// database's; a caller that decides by ofCharger() must compare site and version itself, and call forget() if they
// differ.
import { LRUCache } from 'lru-cache';
import type { SitePolicies } from '../../model/site/policy.ts';
import type { Sql } from '../database.ts';
import type { PolicyRepository } from './policy.repository.ts';

const MAX_KNOWN = 10_000;

export class KnownPolicies {
  readonly #ofSite = new LRUCache<string, SitePolicies>({ max: MAX_KNOWN });
  readonly #siteOf = new LRUCache<string, string>({ max: MAX_KNOWN });

  constructor(private readonly policies: PolicyRepository) {}

  /**
   * Undefined if there is no such charger. Inside a transaction pass its `sql`: a second pooled connection there can
   * exhaust the pool and deadlock.
   */
  async ofCharger(chargerId: string, sql?: Sql): Promise<SitePolicies | undefined> {
    const known = this.#ofSite.get(this.#siteOf.get(chargerId) ?? '');
    if (known) return known;
    const read = await this.policies.ofCharger(chargerId, sql);
    if (!read) return undefined;
    this.#siteOf.set(chargerId, read.siteId);
    return this.#remember(read);
  }

  /**
   * The current policies: reads them again if the version in the database differs. Undefined if there is no such site.
   */
  async ofSite(siteId: string): Promise<SitePolicies | undefined> {
    const known = this.#ofSite.get(siteId);
    if (known && (await this.policies.version(siteId)) === known.version) return known;
    const [read] = await this.policies.ofSites([siteId]);
    return read && this.#remember(read);
  }

  /** Drops a site's policies that have changed, and the site of a charger that may have moved. */
  forget({ siteId }: Pick<SitePolicies, 'siteId'>, chargerId?: string): void {
    this.#ofSite.delete(siteId);
    if (chargerId !== undefined) this.#siteOf.delete(chargerId);
  }

  #remember(policies: SitePolicies): SitePolicies {
    this.#ofSite.set(policies.siteId, policies);
    return policies;
  }
}
