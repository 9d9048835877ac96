// An SQL statement with named parameters, `:chargerId`, compiled once to PostgreSQL's `$1`. Each is prepared once per
// connection under its name. The compiler cannot check the row type; test/storage/statements.test.ts compares it with
// the columns that PostgreSQL describes.

export interface Statement<Row = unknown> {
  readonly name: string;
  /** The SQL with `$1`, `$2`, … in the order of `parameters`. */
  readonly text: string;
  readonly parameters: readonly string[];
  /** Never set: it only carries the type of the rows. */
  readonly row?: Row;
}

/** Values by the names of the parameters; undefined is NULL. */
export type Values = Readonly<Record<string, unknown>>;

/** Every statement that `statement` has made, by its name. */
export const statements = new Map<string, Statement>();

/** Captures the name after a colon, but not a cast (`::text`). Also matches literals and comments, which stay as is. */
const PARAMETER = /'[^']*'|--.*|(?<!:):([a-z]\w*)/gi;

/** Throws if another statement has the name. */
export function statement<Row = unknown>(name: string, sql: string): Statement<Row> {
  const parameters: string[] = [];
  const text = sql.replace(PARAMETER, (matched, parameter: string | undefined) => {
    if (parameter === undefined) return matched;
    if (!parameters.includes(parameter)) parameters.push(parameter);
    return `$${parameters.indexOf(parameter) + 1}`;
  });
  if (statements.has(name)) throw new Error(`Two statements are named ${name}`);
  const made: Statement<Row> = { name, text, parameters };
  statements.set(name, made);
  return made;
}

/** The values in the order of the parameters. Throws if one is not given, which is a mistake of the caller. */
export function valuesOf({ name, parameters }: Statement, values: Values): unknown[] {
  return parameters.map((parameter) => {
    if (!(parameter in values)) throw new Error(`The statement ${name} needs a value for :${parameter}`);
    return values[parameter];
  });
}
