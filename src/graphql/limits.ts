// What one document may ask for: how deep it goes and what it costs, the same over HTTP and WebSocket. Costs are counted
// in fields, a list of rows once for each row that it may have.
import { createRequire } from 'node:module';
import {
  type DocumentNode,
  type FragmentDefinitionNode,
  GraphQLError,
  type GraphQLSchema,
  isListType,
  isNonNullType,
  Kind,
  type SelectionSetNode,
} from 'graphql';
import type { ComplexityEstimator } from 'graphql-query-complexity';

// As an ES module it would bring a graphql of its own, which does not know our schema's types.
const { getComplexity }: typeof import('graphql-query-complexity') = createRequire(import.meta.url)(
  'graphql-query-complexity',
);

/** Tokens of one document; it is not read any further. */
export const MAX_TOKENS = 5000;
const MAX_DEPTH = 12;
const MAX_COST = 20_000;
/** Rows counted for a list that is not paged, such as the connectors of a charger. */
const ROWS_OF_A_LIST = 5;

type Fragments = ReadonlyMap<string, FragmentDefinitionNode>;

/** Each fragment is measured once, however often it is spread; a cycle, which is another rule's error, ends at 0. */
function depthOf({ selections }: SelectionSetNode, fragments: Fragments, known: Map<string, number>): number {
  let deepest = 0;
  for (const selection of selections) {
    let depth = 0;
    if (selection.kind === Kind.FRAGMENT_SPREAD) {
      depth = fragmentDepth(selection.name.value, fragments, known);
    } else if (selection.kind === Kind.INLINE_FRAGMENT) {
      depth = depthOf(selection.selectionSet, fragments, known);
    } else if (!selection.name.value.startsWith('__')) {
      depth = 1 + (selection.selectionSet ? depthOf(selection.selectionSet, fragments, known) : 0);
    }
    deepest = Math.max(deepest, depth);
  }
  return deepest;
}

function fragmentDepth(name: string, fragments: Fragments, known: Map<string, number>): number {
  const before = known.get(name);
  if (before !== undefined) return before;
  known.set(name, 0);
  const fragment = fragments.get(name);
  const depth = fragment ? depthOf(fragment.selectionSet, fragments, known) : 0;
  known.set(name, depth);
  return depth;
}

/** A page costs its rows; its `edges` are those rows, so they are not counted again. */
const estimate: ComplexityEstimator = ({ field, args, childComplexity }) => {
  if (field.name.startsWith('__')) return 0;
  if (typeof args.first === 'number') return 1 + Math.max(1, args.first) * childComplexity;
  const type = isNonNullType(field.type) ? field.type.ofType : field.type;
  return 1 + childComplexity * (isListType(type) && field.name !== 'edges' ? ROWS_OF_A_LIST : 1);
};

/**
 * The error of a document that nests too deep or costs too much, or undefined. Introspection counts nothing: its depth is
 * that of the type system.
 */
export function beyondLimits(
  schema: GraphQLSchema,
  document: DocumentNode,
  variables: Readonly<Record<string, unknown>> | null | undefined,
  operationName: string | null | undefined,
): GraphQLError | undefined {
  const fragments = new Map<string, FragmentDefinitionNode>();
  for (const one of document.definitions) if (one.kind === Kind.FRAGMENT_DEFINITION) fragments.set(one.name.value, one);
  const operations = document.definitions.filter((one) => one.kind === Kind.OPERATION_DEFINITION);
  const known = new Map<string, number>();
  const depth = Math.max(...operations.map(({ selectionSet }) => depthOf(selectionSet, fragments, known)));
  if (depth > MAX_DEPTH) return depthError(depth);
  const which = { ...(variables && { variables }), ...(operations.length > 1 && operationName && { operationName }) };
  try {
    const cost = getComplexity({ schema, query: document, estimators: [estimate], ...which });
    return cost > MAX_COST ? costError(cost) : undefined;
  } catch (error) {
    if (!(error instanceof GraphQLError)) throw error;
    if (!error.nodes) return costError(undefined); // Too large to be counted.
    // Variables that do not fit: it could not be counted, so it is not run.
    return new GraphQLError(error.message, { nodes: error.nodes, extensions: { code: 'BAD_USER_INPUT' } });
  }
}

const depthError = (depth: number): GraphQLError =>
  new GraphQLError(`The operation nests fields ${depth} deep; ${MAX_DEPTH} are allowed.`, {
    extensions: { code: 'QUERY_TOO_DEEP', depth, limit: MAX_DEPTH },
  });

const costError = (cost: number | undefined): GraphQLError =>
  new GraphQLError(
    `The operation costs ${cost ?? `more than ${MAX_COST}`} fields; ${MAX_COST} are allowed. Ask for fewer rows or fields.`,
    { extensions: { code: 'QUERY_TOO_COSTLY', ...(cost !== undefined && { cost }), limit: MAX_COST } },
  );
