// An SQL statement with named parameters, `:chargerId`, compiled once to PostgreSQL's `$1`. Each is prepared once per
// connection under its name. The row type is a claim; test/storage/statements.test.ts compares it with the columns
// that PostgreSQL describes.

export interface Statement<Row = unknown> {
  readonly name: string;
  /** With `$1`, `$2`, … in the order of `parameters`. */
  readonly text: string;
  readonly parameters: readonly string[];
  /** Only a type: rows have this shape. */
  readonly row?: Row;
}

/** Values by the names of the parameters; undefined is NULL. */
export type Values = Readonly<Record<string, unknown>>;

/** Every statement that `statement` has made, by its name. */
export const statements = new Map<string, Statement>();

/** A name after a colon, unless it is a cast (`::text`); text and comments are matched without a name. */
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
