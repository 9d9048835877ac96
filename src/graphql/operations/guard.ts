// Wraps the root fields: every operation needs its permission, every mutation is written to the audit log, and nothing
// more is read once nobody waits for the answer.
import {
  GraphQLError,
  type GraphQLField,
  type GraphQLFieldResolver,
  type GraphQLSchema,
  getNamedType,
  isUnionType,
} from 'graphql';
import type { Audit } from '../../audit/audit.ts';
import { may, needsPermission, type OperationName, operations } from '../../model/access/rights.ts';
import type { Refusal } from '../../model/refusals/refusal.ts';
import type { ApiContext } from './context.ts';
import { forbidden, timedOut } from './errors.ts';

type Field = GraphQLField<unknown, ApiContext>;
type Resolve = GraphQLFieldResolver<unknown, ApiContext>;

/** Throws if model/access/rights.ts names no permission for an operation. */
export function guardOperations(schema: GraphQLSchema, audit: Audit | undefined): void {
  for (const field of rootFields(schema.getQueryType())) {
    const refusalOf = refusals(field);
    const resolve = field.resolve as Resolve;
    field.resolve = (root, args, context, info) => refusalOf(context) ?? resolve(root, args, context, info);
    stopWhenAborted(field);
  }
  for (const field of rootFields(schema.getMutationType())) {
    const refusalOf = refusals(field);
    const resolve = field.resolve as Resolve;
    field.resolve = (root, args, context, info) => {
      const { caller, request } = context;
      if (!audit || !request) throw new Error('A mutation needs a request and the audit log');
      const change = () => refusalOf(context) ?? resolve(root, args, context, info);
      return audit.record(caller, request, field.name, args, change);
    };
    stopWhenAborted(field);
  }
  for (const field of rootFields(schema.getSubscriptionType())) {
    const refusalOf = refusals(field);
    const subscribe = field.subscribe as Resolve;
    field.subscribe = (root, args, context, info) => refusalOf(context) ?? subscribe(root, args, context, info);
  }
}

/** Wraps a resolver: it throws instead of reading once nobody waits for the answer. */
export function stopWhenAborted(field: Field): void {
  const resolve = field.resolve as Resolve;
  field.resolve = (root, args, context, info) => {
    refuseIfAborted(context);
    return resolve(root, args, context, info);
  };
}

const rootFields = (type: { getFields(): Record<string, unknown> } | null | undefined): Field[] =>
  Object.values(type?.getFields() ?? {}) as Field[];

/**
 * Returns the check of a caller: undefined if permitted, the FORBIDDEN refusal if the result union can carry it;
 * otherwise it throws.
 */
function refusals({ name, type }: Field): (context: ApiContext) => Refusal | undefined {
  const permission = operations[name as OperationName];
  if (!permission) throw new Error(`model/access/rights.ts names no permission for "${name}"`);
  const result = getNamedType(type);
  const hasPlace = isUnionType(result) && result.getTypes().some((one) => one.name === 'NotAllowed');
  return ({ caller }) => {
    if (may(caller, permission)) return undefined;
    if (!hasPlace) throw forbidden(needsPermission(permission));
    return { code: 'FORBIDDEN', message: needsPermission(permission) };
  };
}

function refuseIfAborted(context: ApiContext | undefined): void {
  if (context?.request?.signal.aborted) throw new GraphQLError(timedOut.message, { extensions: timedOut.extensions });
}
