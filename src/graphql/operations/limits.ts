// Limits of one document: its size, its depth and its cost, the same over every transport. The cost is counted in
// fields; the fields of a list count once for each row that the list may have.
import { createRequire } from 'node:module';
import {
  type ASTNode,
  type DocumentNode,
  type FragmentDefinitionNode,
  GraphQLError,
  type GraphQLSchema,
  getVariableValues,
  isListType,
  isNonNullType,
  Kind,
  type OperationDefinitionNode,
  type SelectionSetNode,
  visit,
} from 'graphql';
import type { ComplexityEstimator } from 'graphql-query-complexity';
import type { OperationName } from '../../model/access/rights.ts';

// Loaded as CommonJS: as an ES module it would bring its own copy of graphql, which does not know our schema's types.
const { getComplexity }: typeof import('graphql-query-complexity') = createRequire(import.meta.url)(
  'graphql-query-complexity',
);

/** Tokens of one document; the parser stops there. */
export const MAX_TOKENS = 2000;
const MAX_DEPTH = 12;
const MAX_COST = 20_000;
/** Per document: each alias asks the same field once more. */
const MAX_ALIASES = 100;
const MAX_DIRECTIVES = 50;
/** Per selection set. */
const MAX_BREADTH = 200;
/** Per operation: mutations run one after the other, and each is a separate piece of work. */
const MAX_MUTATIONS = 10;
const COST_OF_A_MUTATION = 50;
const COST_OF_INTROSPECTION = 2000;
/** Queries that read much even if they show little: they take some milliseconds longer than a simple query. */
const OWN_COSTS: Partial<Record<string, number>> = {
  availability: 200,
  reservationOptions: 200,
  reservationUsage: 2000,
} satisfies Partial<Record<OperationName, number>>;
/** Cost per character of a document that fails: it was still read and checked. */
const COST_OF_A_CHARACTER = 0.2;
const COST_OF_A_FAILURE = 100;
/** Rows assumed for a list that is not paged, such as the connectors of a charger. */
const ROWS_OF_A_LIST = 5;

const BAD_REQUEST = { status: 400 };

type Fragments = ReadonlyMap<string, FragmentDefinitionNode>;

/** Measures each fragment once, however often it is spread. A cycle, which another rule reports, counts as 0. */
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

/** The cost of a page is its rows; `edges` are the same rows and are not counted again. */
const estimate: ComplexityEstimator = ({ type, field, args, childComplexity }) => {
  if (field.name === '__schema' || field.name === '__type') return COST_OF_INTROSPECTION;
  if (field.name.startsWith('__')) return 0;
  if (typeof args.first === 'number') return 1 + Math.max(1, args.first) * childComplexity;
  const result = isNonNullType(field.type) ? field.type.ofType : field.type;
  const own = (type.name === 'Query' && OWN_COSTS[field.name]) || 1;
  return own + childComplexity * (isListType(result) && field.name !== 'edges' ? ROWS_OF_A_LIST : 1);
};

/** The cost of the operation; or the error of a document that is too large, nests too deep or costs too much. */
export function measure(
  schema: GraphQLSchema,
  document: DocumentNode,
  variables: Readonly<Record<string, unknown>> | null | undefined,
  operationName: string | null | undefined,
): number | GraphQLError {
  const tooLarge = sizeError(document);
  if (tooLarge) return tooLarge;
  const fragments = new Map<string, FragmentDefinitionNode>();
  for (const one of document.definitions) if (one.kind === Kind.FRAGMENT_DEFINITION) fragments.set(one.name.value, one);
  const operations = document.definitions.filter((one) => one.kind === Kind.OPERATION_DEFINITION);
  const known = new Map<string, number>();
  const depth = Math.max(...operations.map(({ selectionSet }) => depthOf(selectionSet, fragments, known)));
  if (depth > MAX_DEPTH) return depthError(depth);
  const named = operations.find(({ name }) => operations.length === 1 || name?.value === operationName);
  const misfit = named && misfitOf(schema, named, variables ?? {});
  if (misfit) return misfit;
  const which = { ...(variables && { variables }), ...(operations.length > 1 && operationName && { operationName }) };
  try {
    const cost = getComplexity({ schema, query: document, estimators: [estimate], ...which });
    const own = named?.operation === 'mutation' ? COST_OF_A_MUTATION * fieldsOf(document, named.selectionSet) : 0;
    return cost > MAX_COST ? costError(cost) : 1 + own + cost;
  } catch (error) {
    if (!(error instanceof GraphQLError)) throw error;
    if (!error.nodes) return costError(undefined); // Too many nodes to be counted.
    return badInput(error);
  }
}

/**
 * The error of the first variable that does not fit its type: its cost cannot be counted, so the operation is not run.
 * Only the first, because each error prints the whole value it was found in, and a list may hold many wrong values.
 */
function misfitOf(
  schema: GraphQLSchema,
  { variableDefinitions = [] }: OperationDefinitionNode,
  variables: Readonly<Record<string, unknown>>,
): GraphQLError | undefined {
  const { errors } = getVariableValues(schema, variableDefinitions, variables, { maxErrors: 1 });
  return errors?.[0] && badInput(errors[0]);
}

const MAX_MESSAGE = 500;
const badInput = ({ message, nodes }: GraphQLError): GraphQLError =>
  new GraphQLError(message.length > MAX_MESSAGE ? `${message.slice(0, MAX_MESSAGE)} …` : message, {
    nodes: nodes ?? null,
    extensions: { code: 'BAD_USER_INPUT', http: BAD_REQUEST },
  });

/** The cost of a document that cannot be run, with these variables. */
export const costOfFailure = (text: string, variables: unknown): number =>
  Math.ceil(COST_OF_A_FAILURE + COST_OF_A_CHARACTER * Math.min(text.length, MAX_COST) + valuesIn(variables));

/** Counts the values at every depth; stops at MAX_COST, which is more than any operation may cost. */
function valuesIn(variables: unknown): number {
  let count = 0;
  const waiting = [variables];
  while (waiting.length > 0 && count < MAX_COST) {
    const next = waiting.pop();
    if (typeof next !== 'object' || next === null) continue;
    const values = Object.values(next);
    count += values.length;
    for (const value of values) waiting.push(value);
  }
  return Math.min(count, MAX_COST);
}

function sizeError(document: DocumentNode): GraphQLError | undefined {
  const counted = { aliases: 0, directives: 0, breadth: 0, mutations: 0 };
  // Each alias below __schema or __type may repeat the whole introspection, so none is allowed there.
  let ofSchema = 0;
  const isOfSchema = (node: ASTNode) =>
    (node.kind === Kind.FIELD && /^__(schema|type)$/.test(node.name.value)) ||
    (node.kind === Kind.FRAGMENT_DEFINITION && node.typeCondition.name.value.startsWith('__'));
  visit(document, {
    enter: (node) => {
      if (node.kind === Kind.FIELD && node.alias) counted.aliases += ofSchema > 0 ? MAX_ALIASES + 1 : 1;
      if (isOfSchema(node)) ofSchema += 1;
      if (node.kind === Kind.DIRECTIVE) counted.directives += 1;
      if (node.kind === Kind.SELECTION_SET) counted.breadth = Math.max(counted.breadth, node.selections.length);
      if (node.kind === Kind.OPERATION_DEFINITION && node.operation === 'mutation')
        counted.mutations = Math.max(counted.mutations, fieldsOf(document, node.selectionSet));
    },
    leave: (node) => {
      if (isOfSchema(node)) ofSchema -= 1;
    },
  });
  const limits = { aliases: MAX_ALIASES, directives: MAX_DIRECTIVES, breadth: MAX_BREADTH, mutations: MAX_MUTATIONS };
  const words = {
    aliases: 'aliases',
    directives: 'directives',
    breadth: 'fields in one selection',
    mutations: 'mutations',
  };
  for (const what of ['aliases', 'directives', 'breadth', 'mutations'] as const) {
    if (counted[what] <= limits[what]) continue;
    const message = `The document has ${counted[what]} ${words[what]}; ${limits[what]} are allowed.`;
    return new GraphQLError(message, {
      extensions: { code: 'QUERY_TOO_LARGE', limit: limits[what], http: BAD_REQUEST },
    });
  }
  return undefined;
}

/** Counts the selections, also inside fragments; stops soon after MAX_MUTATIONS. */
function fieldsOf(document: DocumentNode, root: SelectionSetNode): number {
  let count = 0;
  const waiting = [root];
  for (let next = waiting.pop(); next && count <= MAX_MUTATIONS; next = waiting.pop()) {
    for (const selection of next.selections) {
      count += 1;
      if (selection.kind === Kind.INLINE_FRAGMENT) waiting.push(selection.selectionSet);
      if (selection.kind !== Kind.FRAGMENT_SPREAD) continue;
      const spread = document.definitions.find(
        (one) => one.kind === Kind.FRAGMENT_DEFINITION && one.name.value === selection.name.value,
      );
      if (spread?.kind === Kind.FRAGMENT_DEFINITION) waiting.push(spread.selectionSet);
    }
  }
  return count;
}

const depthError = (depth: number): GraphQLError =>
  new GraphQLError(`The operation nests fields ${depth} deep; ${MAX_DEPTH} are allowed.`, {
    extensions: { code: 'QUERY_TOO_DEEP', depth, limit: MAX_DEPTH, http: BAD_REQUEST },
  });

const costError = (cost: number | undefined): GraphQLError =>
  new GraphQLError(
    `The operation costs ${cost ?? `more than ${MAX_COST}`} fields; ${MAX_COST} are allowed. Ask for fewer rows or fields.`,
    {
      extensions: { code: 'QUERY_TOO_COSTLY', ...(cost !== undefined && { cost }), limit: MAX_COST, http: BAD_REQUEST },
    },
  );
