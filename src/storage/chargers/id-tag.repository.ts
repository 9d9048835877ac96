// Stores idTags in PostgreSQL; lookups ignore case.
import { EntitySchema } from 'typeorm';
import { present } from '../../common/present.ts';
import type { IdTag, TokenType } from '../../model/charger/id-tag.ts';
import { type Database, violatedConstraint } from '../database.ts';
import { columnsOf } from '../row-mapping.ts';
import { statement } from '../statement.ts';

interface IdTagRow {
  idTag: string;
  tokenType: TokenType;
  parentIdTag: string | null;
  status: IdTag['status'];
  expiryDate: Date | null;
}

export const idTagSchema = new EntitySchema<IdTagRow>({
  name: 'id_tag',
  columns: {
    idTag: { type: 'text', name: 'id_tag', primary: true },
    tokenType: { type: 'text', name: 'token_type' },
    parentIdTag: { type: 'text', name: 'parent_id_tag', nullable: true },
    status: { type: 'text' },
    expiryDate: { type: 'timestamptz', name: 'expiry_date', nullable: true },
  },
});

const { aliased } = columnsOf(idTagSchema);
const statements = {
  find: statement<IdTagRow>('id-tag-find', `SELECT ${aliased} FROM id_tag WHERE lower(id_tag) = lower(:idTag)`),
};

const toIdTag = ({ parentIdTag, expiryDate, ...row }: IdTagRow): IdTag => ({
  ...row,
  ...present({ parentIdTag, expiryDate }),
});

export type IdTagRepository = ReturnType<typeof idTagRepository>;

export function idTagRepository(database: Database) {
  const idTags = database.source.getRepository(idTagSchema);
  return {
    async find(idTag: string): Promise<IdTag | undefined> {
      const [row] = await database.query(statements.find, { idTag });
      return row && toIdTag(row);
    },

    /** A page of idTags in ascending order; `after` is the last idTag of the previous page. */
    async page(first: number, after?: string): Promise<IdTag[]> {
      const query = idTags.createQueryBuilder('t');
      if (after !== undefined) query.where('t.idTag > :after', { after });
      return (await query.orderBy('t.idTag').limit(first).getMany()).map(toIdTag);
    },

    async save(idTag: IdTag): Promise<void> {
      const row = { ...idTag, parentIdTag: idTag.parentIdTag ?? null, expiryDate: idTag.expiryDate ?? null };
      try {
        await idTags.upsert(row, ['idTag']);
      } catch (error) {
        if (violatedConstraint(error) !== 'id_tag_ignoring_case') throw error;
        // The idTag exists in another spelling: the new spelling replaces it.
        await database.source.transaction(async (manager) => {
          const rows = manager.getRepository(idTagSchema);
          await rows.createQueryBuilder().delete().where('lower(id_tag) = lower(:idTag)', idTag).execute();
          await rows.insert(row);
        });
      }
    },

    async remove(idTag: string): Promise<boolean> {
      const removed = idTags.createQueryBuilder().delete().where('lower(id_tag) = lower(:idTag)', { idTag });
      return ((await removed.execute()).affected ?? 0) > 0;
    },
  };
}
