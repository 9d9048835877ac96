// Parses, validates and measures the documents of WebSocket and event-stream clients (over plain HTTP, Apollo and
// server.ts do). Also finds everything that a subscription's messages depend on besides the event.

import {
  type DocumentNode,
  GraphQLError,
  type GraphQLSchema,
  getOperationAST,
  getVariableValues,
  Kind,
  NoSchemaIntrospectionCustomRule,
  parse,
  print,
  specifiedRules,
  TypeInfo,
  type VariableDefinitionNode,
  validate,
  visit,
  visitWithTypeInfo,
} from 'graphql';
import { LRUCache } from 'lru-cache';
import { MAX_TOKENS, measure } from './limits.ts';
import type { GraphQLPorts } from './request-context.ts';

/** A GraphQL request as the protocols carry it. */
export interface Request {
  readonly query: string;
  readonly operationName?: string | null | undefined;
  readonly variables?: Record<string, unknown> | null | undefined;
  readonly documentId?: unknown;
  readonly extensions?: unknown;
}

export interface Operation {
  readonly kind: 'query' | 'mutation' | 'subscription';
  readonly document: DocumentNode;
  readonly operationName: string | undefined;
  readonly variables: Record<string, unknown>;
  readonly variableDefinitions: readonly VariableDefinitionNode[];
  /** Counted in fields (limits.ts). */
  readonly cost: number;
}

/**
 * Everything that a subscription's messages depend on besides the event: operations with the same key show the same of
 * an event, whatever they filter by.
 */
export interface Shape {
  readonly key: string;
  /** Whether a selected field reads the context, so that different callers may be shown different things. */
  readonly dependsOnCaller: boolean;
}

/**
 * Total text length of the documents that are kept parsed; a parsed document takes about fifteen times as much memory.
 */
const MAX_KEPT_BYTES = 4 * 1024 * 1024;

interface Measured {
  /** The printed document without the arguments of the subscription's own field, which only choose events. */
  readonly text: string;
  /** Names of the variables used in `text`. */
  readonly variables: readonly string[];
  readonly dependsOnCaller: boolean;
  readonly hasOneOperation: boolean;
}

export class Documents {
  readonly #measured = new WeakMap<DocumentNode, Measured>();
  /** Documents that are parsed and valid, by their texts. */
  readonly #known = new LRUCache<string, DocumentNode>({
    maxSize: MAX_KEPT_BYTES,
    sizeCalculation: (_, text) => Math.max(1, text.length),
  });

  constructor(
    private readonly schema: GraphQLSchema,
    private readonly options: Pick<GraphQLPorts, 'isIntrospectable' | 'trustedDocuments'>,
  ) {}

  /** The requested operation, or the errors for which it cannot be run. */
  prepare(request: Request): Operation | readonly GraphQLError[] {
    const { operationName, variables } = request;
    const query = this.#textOf(request);
    if (query instanceof GraphQLError) return [query];
    const known = this.#known.get(query);
    const document = known ?? this.#parse(query);
    if (!('kind' in document)) return document;
    const node = getOperationAST(document, operationName);
    if (!node)
      return [
        new GraphQLError('The document has no such operation, or several: name one of them in operationName.', {
          extensions: { code: 'BAD_REQUEST' },
        }),
      ];
    const cost = measure(this.schema, document, variables, operationName);
    if (cost instanceof GraphQLError) return [cost];
    if (!known) this.#known.set(query, document);
    return {
      cost,
      kind: node.operation,
      document,
      operationName: operationName ?? undefined,
      variables: variables ?? {},
      variableDefinitions: node.variableDefinitions ?? [],
    };
  }

  #textOf(request: Request): string | GraphQLError {
    try {
      return this.options.trustedDocuments?.textOf(request) ?? request.query;
    } catch (error) {
      if (error instanceof GraphQLError) return error;
      throw error;
    }
  }

  #parse(text: string): DocumentNode | readonly GraphQLError[] {
    try {
      const document = parse(text, { maxTokens: MAX_TOKENS });
      const errors = validate(
        this.schema,
        document,
        this.options.isIntrospectable ? specifiedRules : [...specifiedRules, NoSchemaIntrospectionCustomRule],
      );
      return errors.length > 0 ? errors : document;
    } catch (error) {
      if (error instanceof GraphQLError) return [error];
      throw error;
    }
  }

  shapeOf({ document, operationName, variables, variableDefinitions }: Operation): Shape {
    const { text, variables: used, dependsOnCaller, hasOneOperation } = this.#measure(document);
    // Coerced values, defaults included; a variable left out has no entry, because that may differ from null.
    const { coerced = {} } = getVariableValues(this.schema, variableDefinitions, variables);
    const values = used.filter((name) => name in coerced).map((name) => [name, coerced[name]]);
    return { key: JSON.stringify([hasOneOperation ? '' : operationName, values, text]), dependsOnCaller };
  }

  /** Leaves out the arguments of the subscription's own field: they choose the events, not what is shown of them. */
  #measure(document: DocumentNode): Measured {
    const before = this.#measured.get(document);
    if (before) return before;
    const types = new TypeInfo(this.schema);
    const root = this.schema.getSubscriptionType();
    const used = new Set<string>();
    let dependsOnCaller = false;
    const shown = visit(
      document,
      visitWithTypeInfo(types, {
        VariableDefinition: () => null,
        Variable: ({ name }) => void used.add(name.value),
        Field: (node) => {
          if (types.getFieldDef()?.extensions.readsContext) dependsOnCaller = true;
          return types.getParentType() === root ? { ...node, arguments: [] } : undefined;
        },
      }),
    );
    const operations = document.definitions.filter(({ kind }) => kind === Kind.OPERATION_DEFINITION);
    const variables = [...used].toSorted();
    const measured = { text: print(shown), variables, dependsOnCaller, hasOneOperation: operations.length === 1 };
    this.#measured.set(document, measured);
    return measured;
  }
}
