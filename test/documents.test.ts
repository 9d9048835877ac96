// Checks what the documents show: each GraphQL example is valid, and each link and file they name exists.
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { buildSchema, parse, validate } from 'graphql';
import { expect, it } from 'vitest';

const documents = [...readdirSync('.'), ...readdirSync('docs').map((name) => join('docs', name))].filter((name) =>
  name.endsWith('.md'),
);
const read = (name: string) => readFileSync(name, 'utf8');

it.each(documents.filter((name) => read(name).includes('```graphql')))(
  'every GraphQL example of %s is valid',
  (name) => {
    const schema = buildSchema(read('schema.graphql'));
    for (const [, example = ''] of read(name).matchAll(/```graphql\n(.*?)```/gs))
      expect(validate(schema, parse(example)).map(({ message }) => message)).toEqual([]);
  },
);

it.each(documents)('every link and every file that %s names exists', (name) => {
  const text = read(name);
  const links = [...text.matchAll(/\]\((?!https?:|#)([^)#]+)/g)].map(([, to = '']) => join(dirname(name), to));
  const files = [...text.matchAll(/`((?:src|test|docs|migrations)\/[\w./-]*)`/g)].map(([, to = '']) => to);
  expect([...links, ...files].filter((path) => !path.includes('00NN') && !existsSync(path))).toEqual([]);
});
