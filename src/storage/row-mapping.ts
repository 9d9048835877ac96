// Derives the columns of our own statements from TypeORM's description of a row, so that they come back under their
// property names.
import type { EntitySchema } from 'typeorm';

interface ColumnName {
  readonly column: string;
  readonly property: string;
}

export function columnsOf<Row>(schema: EntitySchema<Row>): {
  readonly names: readonly ColumnName[];
  readonly aliased: string;
} {
  const columns = schema.options.columns as Record<string, { name?: string }>;
  const names = Object.entries(columns).map(([property, { name }]) => ({ property, column: name ?? property }));
  return { names, aliased: names.map(({ column, property }) => `${column} AS "${property}"`).join(', ') };
}
