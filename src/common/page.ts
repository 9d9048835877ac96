// Reads one bounded page of a list, with a stable cursor for each row. It must not know the API or the caller.
import { isUuid } from './identifier.ts';

/** A page cannot be read with this argument. */
export class BadPageArgument extends Error {
  override readonly name = 'BadPageArgument';

  constructor(
    readonly argument: string,
    message: string,
  ) {
    super(message);
  }
}

export const MAX_PAGE = 100;

export interface Rows<T> {
  readonly rows: readonly { readonly cursor: string; readonly node: T }[];
  readonly hasNext: boolean;
  /** Whether `after` was given: then rows lie before this page. */
  readonly hasPrevious: boolean;
}

export interface PageRequest {
  readonly first: number;
  readonly after?: string | null;
}

/** Reads one row more than asked for, to know whether there is a next page. Throws BadPageArgument. */
export async function readRows<T>(
  { first, after }: PageRequest,
  keyOf: (row: T) => readonly string[],
  read: (limit: number, after: readonly string[] | undefined) => Promise<readonly T[]>,
): Promise<Rows<T>> {
  if (first < 1 || first > MAX_PAGE) throw new BadPageArgument('first', `It must be from 1 to ${MAX_PAGE}.`);
  const key = after == null ? undefined : fromCursor(after);
  const found = await read(first + 1, key);
  return {
    rows: found.slice(0, first).map((node) => ({ cursor: toCursor(keyOf(node)), node })),
    hasNext: found.length > first,
    hasPrevious: key !== undefined,
  };
}

/** The key of a row in a list that is ordered newest first. */
export const newestKey = ({ createdAt, id }: { readonly createdAt: Date; readonly id: string }) => [
  createdAt.toISOString(),
  id,
];

/** The position that such a key stands for. Throws BadPageArgument if it stands for none. */
export function fromNewestKey(key: readonly string[] | undefined): { createdAt: Date; id: string } | undefined {
  if (!key) return undefined;
  const [createdAt = '', id = ''] = key;
  const position = { createdAt: new Date(createdAt), id };
  if (Number.isNaN(position.createdAt.getTime()) || !isUuid(id)) throw noCursor();
  return position;
}

export const noCursor = () =>
  new BadPageArgument('after', 'It is not a cursor of this list; use a cursor of a page exactly as it was given.');

const toCursor = (key: readonly string[]) => Buffer.from(JSON.stringify(key)).toString('base64url');

function fromCursor(cursor: string): readonly string[] {
  try {
    const key: unknown = JSON.parse(Buffer.from(cursor, 'base64url').toString());
    if (Array.isArray(key) && key.length > 0 && key.every((part) => typeof part === 'string')) return key;
  } catch {}
  throw noCursor();
}
