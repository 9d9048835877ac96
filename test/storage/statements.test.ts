// Every statement is one that PostgreSQL accepts, and its row type claims the columns that PostgreSQL describes.
import { readFileSync } from 'node:fs';
import { Client, type Connection } from 'pg';
import ts from 'typescript';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import '../../src/app/start.ts';
import { type Statement, statement, statements, valuesOf } from '../../src/storage/statement.ts';
import { createTestDatabase, type TestDatabase } from '../support/test-database.ts';

interface Column {
  readonly name: string;
  readonly dataTypeID: number;
}

let database: TestDatabase;
let client: Client;
let claims: ReadonlyMap<string, Claim | undefined>;

beforeAll(async () => {
  database = await createTestDatabase();
  client = new Client({ connectionString: database.url });
  await client.connect();
  claims = readClaims();
}, 120_000);
afterAll(async () => {
  await client.end();
  await database.drop();
});

/** Prepares the statement without running it; resolves with the columns of its rows. */
function describeStatement({ name, text }: Statement): Promise<Column[]> {
  return new Promise((resolve, reject) => {
    let columns: Column[] = [];
    let failure: Error | undefined;
    // The driver takes an object that sends the messages and handles the answers.
    client.query({
      submit(connection: Connection & Record<'parse' | 'describe', (message: object) => void> & { sync(): void }) {
        connection.parse({ name, text, types: [] });
        connection.describe({ type: 'S', name });
        connection.sync();
      },
      handleRowDescription: ({ fields }: { fields: Column[] }) => {
        columns = fields;
      },
      handleError: (error: Error) => {
        failure = error;
        reject(error);
      },
      handleReadyForQuery: () => failure ?? resolve(columns),
      handleDataRow: () => {},
      handleCommandComplete: () => {},
      handlePortalSuspended: () => {},
      handleEmptyQuery: () => {},
    } as never);
  });
}

/** For each type of PostgreSQL, the TypeScript types that its columns may have, as the driver returns them. */
const typesOf: Readonly<Record<number, string>> = {
  16: 'boolean',
  17: 'Buffer',
  20: 'string', // bigint
  21: 'number',
  23: 'number',
  25: 'string',
  114: 'json',
  701: 'number',
  1009: 'string[]',
  1043: 'string',
  1184: 'Date',
  2950: 'string', // uuid
  3802: 'json',
};

interface Claim {
  /** By column: the types that the row type allows, without null. */
  readonly columns: ReadonlyMap<string, ReadonlySet<string>>;
}

/** The row types of all `statement<Row>(name, …)` in the sources; undefined where a statement claims none. */
function readClaims(): Map<string, Claim | undefined> {
  const { options } = ts.parseJsonConfigFileContent(
    ts.readConfigFile('tsconfig.json', (path) => readFileSync(path, 'utf8')).config,
    ts.sys,
    '.',
  );
  const program = ts.createProgram(['src/app/start.ts'], options);
  const checker = program.getTypeChecker();
  const found = new Map<string, Claim | undefined>();
  const visit = (node: ts.Node): void => {
    if (ts.isCallExpression(node) && node.expression.getText() === 'statement') {
      const [name] = node.arguments;
      const row = node.typeArguments?.[0];
      if (name && ts.isStringLiteral(name)) found.set(name.text, row && claimOf(checker, row));
    }
    ts.forEachChild(node, visit);
  };
  for (const file of program.getSourceFiles()) if (!file.isDeclarationFile) visit(file);
  return found;
}

function claimOf(checker: ts.TypeChecker, row: ts.TypeNode): Claim {
  const columns = new Map<string, Set<string>>();
  const type = checker.getTypeFromTypeNode(row);
  for (const member of type.isUnion() ? type.types : [type]) {
    for (const property of checker.getPropertiesOfType(member)) {
      const types = columns.get(property.name) ?? new Set();
      columns.set(property.name, types);
      const propertyType = checker.getTypeOfSymbol(property);
      for (const one of propertyType.isUnion() ? propertyType.types : [propertyType]) types.add(nameOf(checker, one));
    }
  }
  return { columns };
}

function nameOf(checker: ts.TypeChecker, type: ts.Type): string {
  const { flags } = type;
  if (flags & ts.TypeFlags.StringLike) return 'string';
  if (flags & ts.TypeFlags.NumberLike) return 'number';
  if (flags & ts.TypeFlags.BooleanLike) return 'boolean';
  if (flags & (ts.TypeFlags.Null | ts.TypeFlags.Undefined)) return 'null';
  const name = checker.typeToString(type);
  if (name === 'Date' || name.startsWith('Buffer')) return name.startsWith('Buffer') ? 'Buffer' : name;
  const element = checker.getIndexTypeOfType(type, ts.IndexKind.Number);
  if (element && element.flags & ts.TypeFlags.StringLike) return 'string[]';
  if (element?.isUnion() && element.types.every((one) => one.flags & ts.TypeFlags.StringLike)) return 'string[]';
  return 'json';
}

describe('every SQL statement', () => {
  it.each([...statements.values()].map((one) => [one.name, one] as const))(
    'PostgreSQL prepares the statement %s, and its columns are those that its row type claims',
    async (name, one) => {
      const columns = await describeStatement(one);
      expect(claims.has(name)).toBe(true);
      const claim = claims.get(name);
      if (!claim) return;
      expect(columns.map((column) => column.name).toSorted()).toEqual([...claim.columns.keys()].toSorted());
      for (const column of columns) {
        const type = typesOf[column.dataTypeID];
        expect(type, `the type ${column.dataTypeID} of ${column.name} is in the table`).toBeDefined();
        expect([...(claim.columns.get(column.name) ?? [])], `${name}.${column.name}`).toContain(type);
      }
    },
  );

  it('the sources have no SQL statement that this test does not prepare', () => {
    expect([...claims.keys()].toSorted()).toEqual([...statements.keys()].toSorted());
  });
});

describe('named parameters', () => {
  it('named parameters are numbered in the order of their first use; casts, string literals and comments do not change', () => {
    const made = statement(
      'test-named',
      `SELECT :second::text, :first, :second, 'at :no' -- :none\n WHERE a::int = :first`,
    );
    expect(made.text).toBe(`SELECT $1::text, $2, $1, 'at :no' -- :none\n WHERE a::int = $2`);
    expect(valuesOf(made, { first: 1, second: undefined })).toEqual([undefined, 1]);
    statements.delete('test-named');
  });

  it('a named parameter without a value throws, and so does a second statement of the same name', () => {
    const made = statement('test-missing', 'SELECT :first');
    expect(() => valuesOf(made, { frist: 1 })).toThrow('test-missing needs a value for :first');
    expect(() => statement('test-missing', 'SELECT 1')).toThrow('test-missing');
    statements.delete('test-missing');
  });
});
