// Writes schema.graphql from the code: `npm run schema`.
import { writeFileSync } from 'node:fs';
import { lexicographicSortSchema, printSchema } from 'graphql';
import { buildApiSchema } from './schema.ts';

writeFileSync('schema.graphql', `${printSchema(lexicographicSortSchema(buildApiSchema()))}\n`);
