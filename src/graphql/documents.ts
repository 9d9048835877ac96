// Documents as clients send them: parsed, validated and measured, the same over every transport; and, of a subscription,
// what its messages depend on beside the event.
import {
  type DocumentNode,
  GraphQLError,
  type GraphQLSchema,
  getOperationAST,
  parse,
  print,
  specifiedRules,
  TypeInfo,
  validate,
  visit,
  visitWithTypeInfo,
} from 'graphql';
import { beyondLimits, MAX_TOKENS } from './limits.ts';

/** As the protocols carry it. */
export interface Request {
  readonly query: string;
  readonly operationName?: string | null | undefined;
  readonly variables?: Record<string, unknown> | null | undefined;
}

export interface Operation {
  readonly kind: 'query' | 'mutation' | 'subscription';
  readonly document: DocumentNode;
  readonly operationName: string | undefined;
  readonly variables: Record<string, unknown>;
}

/** The same for operations that show the same of an event, whichever events they ask for. */
export interface Shape {
  readonly key: string;
  /** Whether a field it selects looks at who is asking. */
  readonly dependsOnCaller: boolean;
}

const MAX_DOCUMENTS = 1000;

export class Documents {
  readonly #shapes = new WeakMap<DocumentNode, { text: string; variables: string[]; dependsOnCaller: boolean }>();
  readonly #known = new Map<string, DocumentNode>();

  constructor(private readonly schema: GraphQLSchema) {}

  /** The operation that is asked for, or why it cannot be run. */
  prepare({ query, operationName, variables }: Request): Operation | readonly GraphQLError[] {
    const document = this.#parse(query);
    if (!('kind' in document)) return document;
    const node = getOperationAST(document, operationName);
    if (!node) return [new GraphQLError('Unable to identify operation', { extensions: { code: 'BAD_REQUEST' } })];
    const error = beyondLimits(this.schema, document, variables, operationName);
    if (error) return [error];
    return { kind: node.operation, document, operationName: operationName ?? undefined, variables: variables ?? {} };
  }

  #parse(text: string): DocumentNode | readonly GraphQLError[] {
    const cached = this.#known.get(text);
    if (cached) return cached;
    try {
      const document = parse(text, { maxTokens: MAX_TOKENS });
      const errors = validate(this.schema, document, specifiedRules);
      if (errors.length > 0) return errors;
      this.#known.set(text, document);
      const [oldest] = this.#known.keys();
      if (this.#known.size > MAX_DOCUMENTS && oldest !== undefined) this.#known.delete(oldest);
      return document;
    } catch (error) {
      if (error instanceof GraphQLError) return [error];
      throw error;
    }
  }

  shapeOf({ document, operationName, variables }: Operation): Shape {
    const { text, variables: used, dependsOnCaller } = this.#measure(document);
    const values = used.map((name) => [name, variables[name]]);
    return { key: JSON.stringify([operationName, values, text]), dependsOnCaller };
  }

  /** The arguments of a subscription's own field say which events come, not what is shown of them. */
  #measure(document: DocumentNode) {
    const before = this.#shapes.get(document);
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
    const shape = { text: print(shown), variables: [...used].toSorted(), dependsOnCaller };
    this.#shapes.set(document, shape);
    return shape;
  }
}
