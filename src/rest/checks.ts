// Checks REST requests against the schemas of their routes; a request that violates its schema is answered with 400.
import type { FastifyInstance } from 'fastify';
import { z } from 'zod';
import { ProblemError } from '../http/problem.ts';

/** A body must have the right types; a query is text, which the schema converts to numbers and lists. */
export function checkBySchemas(scope: FastifyInstance): void {
  scope.setValidatorCompiler<z.ZodType>(({ schema, httpPart }) => (data) => {
    const found = schema.safeParse(httpPart === 'querystring' ? withLists(schema, data) : data);
    return found.success ? { value: found.data } : { error: wrong(found.error, httpPart ?? 'request') };
  });
  // Answers are not checked: their schemas only serve the OpenAPI document, so no answer fails because of its form.
  scope.setSerializerCompiler(() => (data) => JSON.stringify(data));
}

/** Wraps a repeatable parameter that is given once in a list: the query parser returns it as text. */
function withLists(schema: z.ZodType, query: unknown): unknown {
  if (!(schema instanceof z.ZodObject) || typeof query !== 'object' || query === null) return query;
  const isList = (name: string) => {
    const field: unknown = schema.shape[name];
    return (field instanceof z.ZodOptional ? field.unwrap() : field) instanceof z.ZodArray;
  };
  return Object.fromEntries(
    Object.entries(query).map(([name, value]) => [name, typeof value === 'string' && isList(name) ? [value] : value]),
  );
}

function wrong({ issues }: z.ZodError, part: string): ProblemError {
  const issue = issues.find(({ code }) => code === 'unrecognized_keys') ?? issues[0];
  const extra = issue?.code === 'unrecognized_keys' ? issue.keys[0] : undefined;
  const field = extra ?? (issue?.path.map(String).join('.') || part);
  const detail = extra === undefined ? `${field}: ${issue?.message}.` : `${field}: There is no such field.`;
  return new ProblemError({ status: 400, code: 'INVALID_INPUT', detail, field });
}
