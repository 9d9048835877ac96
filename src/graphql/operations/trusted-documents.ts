// Trusted documents: if the operator names a file of them (made by a client's build), no other document is executed. A
// request asks for one by its id, its SHA-256 hash or its text.
import { createHash } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { GraphQLError, type GraphQLSchema, parse, specifiedRules, validate } from 'graphql';
import { z } from 'zod';

/** The formats of the file, as client tools write them: id -> text, or Apollo’s manifest. */
const manifest = z.union([
  z.object({ operations: z.array(z.object({ id: z.string(), body: z.string() })) }),
  z.record(z.string(), z.string()),
]);

/** The parts of a request that may name a document. */
export interface Named {
  readonly query?: unknown;
  readonly documentId?: unknown;
  readonly extensions?: unknown;
}

export class TrustedDocuments {
  readonly #byId = new Map<string, string>();
  readonly #texts = new Set<string>();

  /** Throws if this schema cannot execute one of the documents: its clients would fail. */
  constructor(schema: GraphQLSchema, documents: Iterable<readonly [id: string, text: string]>) {
    for (const [id, text] of documents) {
      const [error] = errorsOf(schema, text);
      if (error) throw new Error(`The trusted document "${id}" cannot be executed: ${error.message}`);
      this.#byId.set(id, text);
      this.#byId.set(createHash('sha256').update(text).digest('hex'), text);
      this.#texts.add(text);
    }
  }

  static async read(schema: GraphQLSchema, path: string): Promise<TrustedDocuments> {
    const parsed = manifest.safeParse(JSON.parse(await readFile(path, 'utf8')));
    if (!parsed.success)
      throw new Error(`${path}: expected {"<id>": "<document>"}, or {"operations": [{"id": …, "body": …}]}`);
    const { data } = parsed;
    const isList = (value: typeof data): value is { operations: { id: string; body: string }[] } =>
      Array.isArray(value.operations);
    return new TrustedDocuments(
      schema,
      isList(data) ? data.operations.map(({ id, body }) => [id, body] as const) : Object.entries(data),
    );
  }

  /** The text of the document that the request asks for by id, by hash or by its text. Throws DOCUMENT_NOT_TRUSTED. */
  textOf({ query, documentId, extensions }: Named): string {
    const { documentId: inner, persistedQuery } = (extensions ?? {}) as Record<string, unknown>;
    const { sha256Hash } = (persistedQuery ?? {}) as Record<string, unknown>;
    const id = [documentId, inner, sha256Hash].find((one) => typeof one === 'string' && one !== '');
    const text = id === undefined ? undefined : this.#byId.get(String(id));
    if (text !== undefined) return text;
    if (id === undefined && typeof query === 'string' && this.#texts.has(query)) return query;
    throw new GraphQLError('Only known documents are executed here: send the `documentId` of one.', {
      extensions: { code: 'DOCUMENT_NOT_TRUSTED', http: { status: 400 } },
    });
  }
}

function errorsOf(schema: GraphQLSchema, text: string): readonly GraphQLError[] {
  try {
    return validate(schema, parse(text), specifiedRules);
  } catch (error) {
    return [error as GraphQLError];
  }
}
