// Tests that schema.graphql is the schema that the code builds, that every part of it is described, and that union
// members agree.
import { readFileSync } from 'node:fs';
import {
  type GraphQLField,
  isEnumType,
  isInputObjectType,
  isInterfaceType,
  isIntrospectionType,
  isObjectType,
  isSpecifiedScalarType,
  isUnionType,
  lexicographicSortSchema,
  printSchema,
} from 'graphql';
import { expect, it } from 'vitest';
import { buildApiSchema } from '../../src/graphql/schema.ts';

const schema = buildApiSchema();
const types = Object.values(schema.getTypeMap()).filter(
  (type) => !isIntrospectionType(type) && !isSpecifiedScalarType(type),
);
const roots = new Set(['Query', 'Mutation', 'Subscription']);

it('schema.graphql is the schema that the code builds (`npm run schema` rewrites it)', () => {
  expect(readFileSync('schema.graphql', 'utf8')).toBe(`${printSchema(lexicographicSortSchema(schema))}\n`);
});

it('every type, field, argument and enum value has a description', () => {
  const bare: string[] = [];
  const check = (name: string, described: { description?: string | null | undefined }) => {
    if (!described.description) bare.push(name);
  };
  for (const type of types) {
    if (!roots.has(type.name)) check(type.name, type);
    if (isEnumType(type)) for (const value of type.getValues()) check(`${type.name}.${value.name}`, value);
    if (isInputObjectType(type))
      for (const field of Object.values(type.getFields())) check(`${type.name}.${field.name}`, field);
    if (isObjectType(type) || isInterfaceType(type)) {
      for (const field of Object.values(type.getFields()) as GraphQLField<unknown, unknown>[]) {
        check(`${type.name}.${field.name}`, field);
        for (const argument of field.args) check(`${type.name}.${field.name}(${argument.name})`, argument);
      }
    }
  }
  expect(bare).toEqual([]);
});

it('a field that several members of a union share has the same type in each', () => {
  const clashes: string[] = [];
  for (const union of types.filter(isUnionType)) {
    const seen = new Map<string, string>();
    for (const member of union.getTypes()) {
      for (const field of Object.values(member.getFields())) {
        const before = seen.get(field.name);
        if (before !== undefined && before !== `${field.type}`)
          clashes.push(`${union.name}: ${member.name}.${field.name}`);
        seen.set(field.name, `${field.type}`);
      }
    }
  }
  expect(clashes).toEqual([]);
});

it('every refusal in a result union implements Refusal, and no success does', () => {
  const results = types.filter(isUnionType);
  const successes = [
    'Reservation',
    'Site',
    'Charger',
    'IdTag',
    'Removed',
    'ReservationOptions',
    'Availability',
    'ReservationUsage',
    'ReservationBlocks',
    'CreatedApiKey',
    'ApiKey',
    'ChargerPasswordChange',
    'ChargerCertificate',
    'SavedWebhook',
  ];
  for (const union of results) {
    for (const member of union.getTypes()) {
      const isRefusal = member.getInterfaces().some(({ name }) => name === 'Refusal');
      expect([member.name, isRefusal]).toEqual([member.name, !successes.includes(member.name)]);
    }
  }
});
