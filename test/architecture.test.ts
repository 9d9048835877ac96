// The layout's rules, read from the import lines of src/.
import { readdirSync, readFileSync } from 'node:fs';
import { dirname, join, normalize, relative } from 'node:path';
import { expect, it } from 'vitest';

const files = readdirSync('src', { recursive: true, encoding: 'utf8' })
  .filter((path) => path.endsWith('.ts'))
  .map((path) => {
    const text = readFileSync(join('src', path), 'utf8');
    const specifiers = [
      ...text.matchAll(/^(?:import|export)\s[^'"]*?['"]([^'"]+)['"]|^import ['"]([^'"]+)['"]/gms),
    ].map(([, from, bare]) => from ?? bare ?? '');
    const own = specifiers
      .filter((one) => one.startsWith('.'))
      .map((one) => relative('.', normalize(join(dirname(path), one))));
    return { path, text, own, packages: specifiers.filter((one) => !one.startsWith('.')) };
  });

const offenders = (isWrong: (file: (typeof files)[number]) => boolean) => files.filter(isWrong).map(({ path }) => path);
const isGraphQLFile = (path: string) => path.startsWith('graphql/') || path.endsWith('.graphql.ts');
const isDatabaseFile = (path: string) => /^(database|event-log|demo)\/|\.repository\.ts$/.test(path);
const uses = ({ packages }: { packages: string[] }, ...names: string[]) => packages.some((one) => names.includes(one));

/** main -> app -> edges -> use cases -> pure files -> common; the demo stands beside main. */
function layerOf(path: string): number {
  if (/^(main\.ts|demo\/)/.test(path)) return 5;
  if (path === 'app.ts') return 4;
  if (/^(ocpp|http|graphql)\/|\.graphql\.ts$/.test(path)) return 3;
  return path.startsWith('common/') ? 0 : 1;
}

it('nothing points back', () => {
  const back = files.flatMap(({ path, own }) =>
    own.filter((to) => layerOf(to) > layerOf(path)).map((to) => `${path} -> ${to}`),
  );
  expect(back).toEqual([]);
});

it('there are no cycles', () => {
  const imports = new Map(files.map(({ path, own }) => [path, own]));
  const done = new Set<string>();
  const cycles: string[] = [];
  const visit = (path: string, trail: string[]) => {
    if (trail.includes(path)) cycles.push([...trail.slice(trail.indexOf(path)), path].join(' -> '));
    if (done.has(path) || trail.includes(path)) return;
    for (const next of imports.get(path) ?? []) visit(next, [...trail, path]);
    done.add(path);
  };
  for (const { path } of files) visit(path, []);
  expect(cycles).toEqual([]);
});

it('the wire and the API meet only in use cases and in app.ts', () => {
  const isOcpp = (path: string) => path.startsWith('ocpp/');
  expect(
    offenders(({ path, own }) => isOcpp(path) && own.some((to) => isGraphQLFile(to) || to.startsWith('http/'))),
  ).toEqual([]);
  expect(offenders(({ path, own }) => (isGraphQLFile(path) || path.startsWith('http/')) && own.some(isOcpp))).toEqual(
    [],
  );
});

it('typeorm and pg stay with the database, graphql with the API, and no file knows both', () => {
  expect(offenders((file) => uses(file, 'typeorm', 'pg') && !isDatabaseFile(file.path))).toEqual([]);
  expect(offenders((file) => uses(file, 'type-graphql', 'graphql') && !isGraphQLFile(file.path))).toEqual([]);
});

it('the wire’s words stay in ocpp/v16 and ocpp/v2x, which do not know each other', () => {
  const words = /\b(expiryDateTime|evseId|groupIdToken|idTokenInfo|idTagInfo|chargePointVendor|connectorStatus)\b/;
  const isWire = (path: string) => /^(ocpp\/v(16|2x)|simulator)\//.test(path);
  expect(offenders(({ path, text }) => words.test(text) && !isWire(path))).toEqual([]);
  expect(
    offenders(({ path, own }) => path.startsWith('ocpp/v16/') && own.some((to) => to.startsWith('ocpp/v2x/'))),
  ).toEqual([]);
  expect(
    offenders(({ path, own }) => path.startsWith('ocpp/v2x/') && own.some((to) => to.startsWith('ocpp/v16/'))),
  ).toEqual([]);
});

it('the simulator shares nothing with the server', () => {
  expect(
    offenders(({ path, own }) => path.startsWith('simulator/') && own.some((to) => !to.startsWith('simulator/'))),
  ).toEqual([]);
});

it('only config.ts reads the environment, only the clock reads the time', () => {
  expect(offenders(({ path, text }) => /process\.env\b/.test(text) && path !== 'config.ts')).toEqual([]);
  const readsTime = /\bDate\.now\(|\bnew Date\(\)/;
  const isServer = (path: string) => !/^(simulator|demo)\//.test(path) && path !== 'common/clock.ts';
  expect(offenders(({ path, text }) => isServer(path) && readsTime.test(text))).toEqual([]);
});

it('only the server reads the address of a socket: everybody else asks who is behind the proxies', () => {
  expect(offenders(({ text }) => /[.{,]\s*ip\b/.test(text))).toEqual([]);
});

it('there are no barrels, no default exports, no catch-all names', () => {
  expect(offenders(({ path }) => /(^|\/)(index|utils?|helpers?|manager)\b/.test(path))).toEqual([]);
  expect(offenders(({ text }) => /^export default|^export \* from/m.test(text))).toEqual([]);
});
