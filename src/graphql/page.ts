// Relay connections: a bounded page, a stable cursor for each row.
import { ArgsType, type ClassType, Field, Int, ObjectType } from 'type-graphql';
import { isUuid } from '../common/identifier.ts';
import { badInput } from './errors.ts';

@ObjectType({ description: 'Where a page stands in its list.' })
export class PageInfo {
  @Field(() => Boolean, { description: 'Whether there are more rows after this page.' })
  hasNextPage!: boolean;

  @Field(() => Boolean, { description: 'Whether the page was asked for with `after`, so that rows lie before it.' })
  hasPreviousPage!: boolean;

  @Field(() => String, { nullable: true, description: 'Cursor of the first row; null on an empty page.' })
  startCursor?: string;

  @Field(() => String, { nullable: true, description: 'Cursor of the last row: pass it as `after` for the next page.' })
  endCursor?: string;
}

export interface Page<T> {
  readonly edges: readonly { readonly cursor: string; readonly node: T }[];
  readonly pageInfo: PageInfo;
}

/** The edge and connection types of a node type. */
export function pageTypes<T extends object>(node: ClassType<T>, name: string, plural: string) {
  @ObjectType(`${name}Edge`, { description: `A row of a list of ${plural}.` })
  class Edge {
    @Field(() => String, { description: 'Position of the row; opaque.' })
    cursor!: string;

    @Field(() => node, { description: 'The row itself.' })
    node!: T;
  }

  @ObjectType(`${name}Connection`, { description: `A page of ${plural}.` })
  class Connection {
    @Field(() => [Edge], { description: 'The rows, in the order of the list.' })
    edges!: Edge[];

    @Field(() => PageInfo, { description: 'Where the page stands in the list.' })
    pageInfo!: PageInfo;
  }
  return Connection;
}

export const MAX_PAGE = 100;

/** The arguments of every list. */
@ArgsType()
export class PageArgs {
  @Field(() => Int, { defaultValue: 20, description: `How many rows at most: 1 to ${MAX_PAGE}.` })
  first!: number;

  @Field(() => String, {
    nullable: true,
    description: 'The `endCursor` of the page before; without it, the first page.',
  })
  after?: string | null;
}

/** Reads one row more than asked for, to know whether there is a next page. Throws BAD_USER_INPUT on a bad argument. */
export async function readPage<T>(
  args: { first: number; after?: string | null },
  keyOf: (row: T) => readonly string[],
  read: (limit: number, after: readonly string[] | undefined) => Promise<readonly T[]>,
): Promise<Page<T>> {
  const { first } = args;
  if (first < 1 || first > MAX_PAGE) throw badInput('first', `It must be from 1 to ${MAX_PAGE}.`);
  const after = args.after == null ? undefined : fromCursor(args.after);
  const rows = await read(first + 1, after);
  const edges = rows.slice(0, first).map((node) => ({ cursor: toCursor(keyOf(node)), node }));
  const pageInfo: PageInfo = {
    hasNextPage: rows.length > first,
    hasPreviousPage: after !== undefined,
    ...(edges[0] && { startCursor: edges[0].cursor }),
    ...(edges.at(-1) && { endCursor: edges.at(-1)?.cursor }),
  };
  return { edges, pageInfo };
}

/** The place of a row in a list with the newest first. */
export const newestKey = ({ createdAt, id }: { readonly createdAt: Date; readonly id: string }) => [
  createdAt.toISOString(),
  id,
];

/** Throws BAD_USER_INPUT where that is no such place. */
export function fromNewestKey(key: readonly string[] | undefined): { createdAt: Date; id: string } | undefined {
  if (!key) return undefined;
  const [createdAt = '', id = ''] = key;
  const position = { createdAt: new Date(createdAt), id };
  if (Number.isNaN(position.createdAt.getTime()) || !isUuid(id)) throw badInput('after', NO_CURSOR);
  return position;
}

export const NO_CURSOR = 'It is not a cursor of this list; use an `endCursor` as it was given.';

const toCursor = (key: readonly string[]) => Buffer.from(JSON.stringify(key)).toString('base64url');

function fromCursor(cursor: string): readonly string[] {
  try {
    const key: unknown = JSON.parse(Buffer.from(cursor, 'base64url').toString());
    if (Array.isArray(key) && key.length > 0 && key.every((part) => typeof part === 'string')) return key;
  } catch {}
  throw badInput('after', NO_CURSOR);
}
