// Sites in PostgreSQL.
import { EntitySchema } from 'typeorm';
import { type Database, violatedConstraint } from '../database/database.ts';
import type { Site } from './site.ts';

interface SiteRow {
  id: string;
  name: string;
  timeZone: string;
  enabled: boolean;
  minDurationMinutes: number;
  maxDurationMinutes: number;
  defaultDurationMinutes: number;
  precheckStatus: boolean;
  serverSideHoldAllowed: boolean;
  extensionAllowed: boolean;
  extensionMayReplace: boolean;
}

export const siteSchema = new EntitySchema<SiteRow>({
  name: 'site',
  columns: {
    id: { type: 'text', primary: true },
    name: { type: 'text' },
    timeZone: { type: 'text', name: 'time_zone' },
    enabled: { type: 'boolean' },
    minDurationMinutes: { type: 'int', name: 'min_duration_minutes' },
    maxDurationMinutes: { type: 'int', name: 'max_duration_minutes' },
    defaultDurationMinutes: { type: 'int', name: 'default_duration_minutes' },
    precheckStatus: { type: 'boolean', name: 'precheck_status' },
    serverSideHoldAllowed: { type: 'boolean', name: 'server_side_hold_allowed' },
    extensionAllowed: { type: 'boolean', name: 'extension_allowed' },
    extensionMayReplace: { type: 'boolean', name: 'extension_may_replace' },
  },
});

const toSite = ({ id, name, timeZone, ...policy }: SiteRow): Site => ({ id, name, timeZone, policy });
const toRow = ({ id, name, timeZone, policy }: Site): SiteRow => ({ id, name, timeZone, ...policy });

export type SiteRepository = ReturnType<typeof siteRepository>;

export function siteRepository(database: Database) {
  const sites = database.source.getRepository(siteSchema);
  return {
    async byIds(ids: readonly string[]): Promise<Site[]> {
      return (await sites.createQueryBuilder('s').where('s.id = ANY(:ids)', { ids }).getMany()).map(toSite);
    },

    /** In the order of their ids; `after` is the last id of the page before. */
    async page(filter: { siteIds?: readonly string[] }, first: number, after?: string): Promise<Site[]> {
      const query = sites.createQueryBuilder('s');
      if (filter.siteIds) query.andWhere('s.id = ANY(:siteIds)', { siteIds: filter.siteIds });
      if (after !== undefined) query.andWhere('s.id > :after', { after });
      return (await query.orderBy('s.id').limit(first).getMany()).map(toSite);
    },

    async save(site: Site): Promise<void> {
      await sites.upsert(toRow(site), ['id']);
    },

    /** `IN_USE` where chargers, or the history of chargers, belong to it. */
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
