// The policies of sites as this process last read them. They may be old: whoever decides by them compares the version
// with the database's, and forgets them where it differs.

import type { SitePolicies } from '../../model/site/policy.ts';
import type { Sql } from '../database.ts';
import type { PolicyRepository } from './policy.repository.ts';

const MAX_KNOWN = 10_000;

export class KnownPolicies {
  readonly #ofSite = new Map<string, SitePolicies>();
  readonly #siteOf = new Map<string, string>();

  constructor(private readonly policies: PolicyRepository) {}

  /**
   * Undefined where there is no such charger. Within a transaction they are read on its connection: one that waited for
   * another connection could wait for itself.
   */
  async ofCharger(chargerId: string, sql?: Sql): Promise<SitePolicies | undefined> {
    const known = this.#ofSite.get(this.#siteOf.get(chargerId) ?? '');
    if (known) return known;
    const read = await this.policies.ofCharger(chargerId, sql);
    if (!read) return undefined;
    if (this.#siteOf.size >= MAX_KNOWN) this.#siteOf.clear();
    this.#siteOf.set(chargerId, read.siteId);
    return this.#remember(read);
  }

  /** As they stand now; undefined where there is no such site. */
  async ofSite(siteId: string): Promise<SitePolicies | undefined> {
    const known = this.#ofSite.get(siteId);
    if (known && (await this.policies.version(siteId)) === known.version) return known;
    const [read] = await this.policies.ofSites([siteId]);
    return read && this.#remember(read);
  }

  /** They have changed, or the charger stands elsewhere now. */
  forget({ siteId }: Pick<SitePolicies, 'siteId'>, chargerId?: string): void {
    this.#ofSite.delete(siteId);
    if (chargerId !== undefined) this.#siteOf.delete(chargerId);
  }

  #remember(policies: SitePolicies): SitePolicies {
    if (this.#ofSite.size >= MAX_KNOWN) this.#ofSite.clear();
    this.#ofSite.set(policies.siteId, policies);
    return policies;
  }
}
