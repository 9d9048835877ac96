// Fuzz tests of the GraphQL API: random inputs, documents and bodies get an answer and never cause an internal error.
import { readFileSync } from 'node:fs';
import fc from 'fast-check';
import {
  buildSchema,
  type GraphQLInputType,
  getNamedType,
  isEnumType,
  isInputObjectType,
  isLeafType,
  isListType,
  isNonNullType,
  isScalarType,
} from 'graphql';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { faultLog } from '../support/fault-log.ts';
import { adminToken, driverToken, TestServer } from '../support/test-server.ts';

const { log, faults } = faultLog();
let server: TestServer;
let tokens: string[];

beforeAll(async () => {
  server = await TestServer.start({ log });
  await server.fill();
  await server.charger('CH1');
  tokens = [await adminToken(), await driverToken('ANNA')];
});
afterAll(() => server.stop());

const schema = buildSchema(readFileSync('schema.graphql', 'utf8'));
const text = fc.oneof(
  fc.constantFrom(
    '',
    'CH1',
    'site',
    'ANNA',
    '\u0000',
    'a\u0000b',
    '\ud800',
    "'; DROP TABLE site; --",
    '🚗',
    '-1',
    '9'.repeat(40),
  ),
  fc.string({ unit: 'binary', maxLength: 60 }),
);
const scalars: Record<string, fc.Arbitrary<unknown>> = {
  Int: fc.oneof(
    fc.constantFrom(0, 1, -1, 2 ** 31 - 1, -(2 ** 31), 1000, 1001),
    fc.integer({ min: -(2 ** 31), max: 2 ** 31 - 1 }),
  ),
  Float: fc.double({ noNaN: true, noDefaultInfinity: true }),
  Boolean: fc.boolean(),
  DateTime: fc.oneof(
    fc.date({ noInvalidDate: true }).map((date) => date.toISOString()),
    fc.constantFrom('0000-01-01T00:00:00Z', '9999-12-31T23:59:59Z', '+275760-09-13T00:00:00Z', 'today'),
  ),
};

/** A value of the type; any member may be of another type, and a nullable member may be missing. */
function inputOf(type: GraphQLInputType): fc.Arbitrary<unknown> {
  if (isNonNullType(type)) return inputOf(type.ofType as GraphQLInputType);
  if (isListType(type)) return fc.array(inputOf(type.ofType as GraphQLInputType), { maxLength: 4 });
  if (isEnumType(type)) return fc.constantFrom(...type.getValues().map(({ name }) => name), 'NONSENSE');
  if (isScalarType(type)) return scalars[type.name] ?? text;
  if (!isInputObjectType(type)) return fc.constant(null);
  const members = Object.values(type.getFields());
  return fc.record(
    Object.fromEntries(
      members.map(({ name, type: member }) => [
        name,
        fc.oneof({ weight: 9, arbitrary: inputOf(member) }, { weight: 1, arbitrary: fc.jsonValue({ maxDepth: 2 }) }),
      ]),
    ),
    { requiredKeys: members.filter(({ type: member }) => isNonNullType(member)).map(({ name }) => name) },
  );
}

const roots = { query: schema.getQueryType(), mutation: schema.getMutationType() };
const operations = Object.entries(roots).flatMap(([kind, root]) =>
  Object.values(root?.getFields() ?? {}).map(({ name: field, args, type: result }) => {
    const variables = args.map(({ name, type }) => `$${name}: ${type}`).join(', ');
    const passed = args.map(({ name }) => `${name}: $${name}`).join(', ');
    const selection = isLeafType(getNamedType(result)) ? '' : '{ __typename }';
    const query = `${kind} ${variables && `(${variables})`} { ${field} ${passed && `(${passed})`} ${selection} }`;
    const values = fc.record(Object.fromEntries(args.map(({ name, type }) => [name, inputOf(type)])));
    return values.map((chosen) => ({ query, values: chosen }));
  }),
);

it('no operation answers random variables with an internal error', { timeout: 120_000 }, async () => {
  const property = fc.asyncProperty(fc.constantFrom(0, 1), fc.oneof(...operations), async (who, { query, values }) => {
    const { body } = await server.post(tokens[who], query, values);
    const codes = (body.errors ?? []).map(({ extensions }: { extensions: { code: string } }) => extensions.code);
    expect(codes.filter((code: string) => /INTERNAL|UNAVAILABLE/.test(code))).toEqual([]);
    expect(faults.splice(0)).toEqual([]);
  });
  await fc.assert(property, { numRuns: 600 });
});

it('no random document is answered with an internal error', { timeout: 120_000 }, async () => {
  const words = [
    'query',
    'mutation',
    'subscription',
    '{',
    '}',
    '(',
    ')',
    ':',
    '$',
    '!',
    '...',
    'on',
    'fragment',
    '@include',
    'chargers',
    'edges',
    'node',
    'id',
    'first',
    '1',
    '"x"',
    '__schema',
    'reserveNow',
    'input',
    '[',
    ']',
    '#',
    '"""',
    '\u0000',
  ];
  const document = fc.oneof(
    fc.array(fc.constantFrom(...words), { maxLength: 30 }).map((parts) => parts.join(' ')),
    fc.string({ unit: 'binary', maxLength: 100 }),
  );
  const property = fc.asyncProperty(document, fc.jsonValue({ maxDepth: 2 }), async (query, variables) => {
    const response = await fetch(server.url, {
      method: 'POST',
      headers: { 'content-type': 'application/json', authorization: `Bearer ${tokens[0]}` },
      body: JSON.stringify({ query, variables }),
    });
    expect(response.status).toBeLessThan(500);
    await response.json();
    expect(faults.splice(0)).toEqual([]);
  });
  await fc.assert(property, { numRuns: 400 });
});

it('a random body is answered with a 4xx status and an error message', { timeout: 120_000 }, async () => {
  const body = fc.oneof(
    fc.json({ maxDepth: 3 }),
    fc.string({ unit: 'binary', maxLength: 200 }),
    fc.constant('['.repeat(50_000)),
  );
  const property = fc.asyncProperty(body, async (sent) => {
    const response = await fetch(server.url, {
      method: 'POST',
      headers: { 'content-type': 'application/json', authorization: `Bearer ${tokens[0]}` },
      body: sent,
    });
    expect(response.status).toBeGreaterThanOrEqual(400);
    expect(response.status).toBeLessThan(500);
    expect(await response.json()).toMatchObject({ errors: [{ message: expect.any(String) }] });
    expect(faults.splice(0)).toEqual([]);
  });
  await fc.assert(property, { numRuns: 200 });
});
