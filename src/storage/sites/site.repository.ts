// Stores sites in PostgreSQL.
import { EntitySchema } from 'typeorm';
import type { Site } from '../../model/site/site.ts';
import { type Database, violatedConstraint } from '../database.ts';
import type { PolicyRepository } from './policy.repository.ts';

interface SiteRow {
  id: string;
  name: string;
}

export const siteSchema = new EntitySchema<SiteRow>({
  name: 'site',
  columns: {
    id: { type: 'text', primary: true },
    name: { type: 'text' },
  },
});

export type SiteRepository = ReturnType<typeof siteRepository>;

export function siteRepository(database: Database, policies: PolicyRepository) {
  const sites = database.source.getRepository(siteSchema);
  const withPolicies = async (rows: readonly SiteRow[]): Promise<Site[]> => {
    const found = new Map((await policies.ofSites(rows.map(({ id }) => id))).map((one) => [one.siteId, one]));
    return rows.flatMap(({ id, name }) => {
      const of = found.get(id);
      return of ? [{ id, name, timeZone: of.timeZone, policies: of }] : [];
    });
  };
  return {
    async byIds(ids: readonly string[]): Promise<Site[]> {
      return withPolicies(await sites.createQueryBuilder('s').where('s.id = ANY(:ids)', { ids }).getMany());
    },

    /** A page of sites, ordered by id; `after` is the last id of the previous page. */
    async page(filter: { siteIds?: readonly string[] }, first: number, after?: string): Promise<Site[]> {
      const query = sites.createQueryBuilder('s');
      if (filter.siteIds) query.andWhere('s.id = ANY(:siteIds)', { siteIds: filter.siteIds });
      if (after !== undefined) query.andWhere('s.id > :after', { after });
      return withPolicies(await query.orderBy('s.id').limit(first).getMany());
    },

    /** `IN_USE`: the site has chargers, or removed chargers whose history is kept. */
    async remove(id: string): Promise<'REMOVED' | 'NOT_FOUND' | 'IN_USE'> {
      try {
        return (await sites.delete({ id })).affected ? 'REMOVED' : 'NOT_FOUND';
      } catch (error) {
        if (violatedConstraint(error) === 'charger_site') return 'IN_USE';
        throw error;
      }
    },
  };
}
