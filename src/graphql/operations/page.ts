// Relay connections: a bounded page, a stable cursor for each row.
import { ArgsType, type ClassType, Field, Int, ObjectType } from 'type-graphql';
import { BadPageArgument, MAX_PAGE, type PageRequest, readRows } from '../../common/page.ts';
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

/** Throws BAD_USER_INPUT on a bad argument. */
export async function readPage<T>(
  args: PageRequest,
  keyOf: (row: T) => readonly string[],
  read: (limit: number, after: readonly string[] | undefined) => Promise<readonly T[]>,
): Promise<Page<T>> {
  try {
    const { rows: edges, hasNext, hasPrevious } = await readRows(args, keyOf, read);
    const [first, last] = [edges[0], edges.at(-1)];
    const pageInfo: PageInfo = {
      hasNextPage: hasNext,
      hasPreviousPage: hasPrevious,
      ...(first && { startCursor: first.cursor }),
      ...(last && { endCursor: last.cursor }),
    };
    return { edges, pageInfo };
  } catch (error) {
    throw error instanceof BadPageArgument ? badInput(error.argument, error.message) : error;
  }
}
