// Tests the rules of the layout, by the imports and the texts of the files in src/.
import { readdirSync, readFileSync } from 'node:fs';
import { dirname, join, normalize, relative } from 'node:path';
import { preProcessFile } from 'typescript';
import { expect, it } from 'vitest';

const files = readdirSync('src', { recursive: true, encoding: 'utf8' })
  .filter((path) => path.endsWith('.ts'))
  .map((path) => {
    const text = readFileSync(join('src', path), 'utf8');
    const specifiers = preProcessFile(text).importedFiles.map(({ fileName }) => fileName);
    const own = specifiers
      .filter((one) => one.startsWith('.'))
      .map((one) => relative('.', normalize(join(dirname(path), one))));
    return { path, text, own, packages: specifiers.filter((one) => !one.startsWith('.')) };
  });

const offenders = (isWrong: (file: (typeof files)[number]) => boolean) => files.filter(isWrong).map(({ path }) => path);
const isWeb = (path: string) => /^(http|rest)\//.test(path);
const isGraphQLFile = (path: string) => path.startsWith('graphql/') || path.endsWith('.graphql.ts');
const isDatabaseFile = (path: string) => /^(storage|nodes|dev)\//.test(path);
const uses = ({ packages }: { packages: string[] }, ...names: string[]) => packages.some((one) => names.includes(one));

/** Every folder of src/, from top to bottom. A folder imports only from folders below its own. */
const floors = [
  // Development (needs devDependencies), and the start.
  'dev',
  'dev/simulator',
  '.',
  'app',
  // The edges: clients, chargers, receivers of webhooks.
  'graphql',
  'graphql/transport',
  'graphql/types',
  'graphql/operations',
  'rest',
  'http',
  'ocpp',
  'ocpp/v16',
  'ocpp/v2x',
  'ocpp/protocol',
  'webhook',
  // Use cases: of the settler, of operators, of callers, of chargers.
  'settling',
  'reports',
  'administration',
  'reserving',
  'charging',
  'charging/login',
  'lifecycle',
  // Below the use cases: events, streams to clients, other nodes, callers, the database.
  'event-log',
  'streams',
  'nodes',
  'audit',
  'auth',
  'storage/access',
  'storage/events',
  'storage/chargers',
  'storage/sites',
  'storage/reservations',
  'storage',
  // Pure.
  'model/access',
  'model/events',
  'model/reservation',
  'model/site',
  'model/charger',
  'model/refusals',
  'common',
];
const arrows = files.flatMap(({ path, own }) =>
  own.filter((to) => !to.startsWith('..')).map((to) => [path, to] as const),
);

it('every folder of src/ is listed in the layer order', () => {
  const folders = [...new Set(files.map(({ path }) => dirname(path)))];
  expect(folders.toSorted()).toEqual(floors.toSorted());
});

it('a folder of src/ imports from no folder above it in the layer order, so no two folders import each other', () => {
  const upward = arrows.filter(([from, to]) => floors.indexOf(dirname(to)) < floors.indexOf(dirname(from)));
  expect(upward.map(([from, to]) => `${from} -> ${to}`)).toEqual([]);
});

it('no folder of src/ has 20 files or more', () => {
  const full = floors.filter((floor) => files.filter(({ path }) => dirname(path) === floor).length >= 20);
  expect(full).toEqual([]);
});

it('model/ imports only itself, common/ and packages without input or output', () => {
  const isPure = (path: string) => /^(model|common)\//.test(path);
  expect(arrows.filter(([from, to]) => from.startsWith('model/') && !isPure(to))).toEqual([]);
  const computes = ['node:crypto', '@js-temporal/polyfill'];
  expect(
    files.flatMap(({ path, packages }) =>
      path.startsWith('model/') ? packages.filter((one) => !computes.includes(one)) : [],
    ),
  ).toEqual([]);
});

it('no two files import each other, directly or through others', () => {
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

it('ocpp/ and the API files (GraphQL, http/, rest/) do not import each other', () => {
  const isOcpp = (path: string) => path.startsWith('ocpp/');
  expect(offenders(({ path, own }) => isOcpp(path) && own.some((to) => isGraphQLFile(to) || isWeb(to)))).toEqual([]);
  expect(offenders(({ path, own }) => (isGraphQLFile(path) || isWeb(path)) && own.some(isOcpp))).toEqual([]);
});

it('only database files import typeorm or pg, and only GraphQL files import graphql', () => {
  expect(offenders((file) => uses(file, 'typeorm', 'pg') && !isDatabaseFile(file.path))).toEqual([]);
  expect(offenders((file) => uses(file, 'type-graphql', 'graphql') && !isGraphQLFile(file.path))).toEqual([]);
});

it('OCPP field names appear only in ocpp/v16, ocpp/v2x and the simulator, and v16 and v2x do not import each other', () => {
  const words = /\b(expiryDateTime|evseId|groupIdToken|idTokenInfo|idTagInfo|chargePointVendor|connectorStatus)\b/;
  const isWire = (path: string) => /^(ocpp\/v(16|2x)|dev\/simulator)\//.test(path);
  expect(offenders(({ path, text }) => words.test(text) && !isWire(path))).toEqual([]);
  expect(
    offenders(({ path, own }) => path.startsWith('ocpp/v16/') && own.some((to) => to.startsWith('ocpp/v2x/'))),
  ).toEqual([]);
  expect(
    offenders(({ path, own }) => path.startsWith('ocpp/v2x/') && own.some((to) => to.startsWith('ocpp/v16/'))),
  ).toEqual([]);
});

it('the simulator imports nothing of the server', () => {
  expect(
    offenders(
      ({ path, own }) => path.startsWith('dev/simulator/') && own.some((to) => !to.startsWith('dev/simulator/')),
    ),
  ).toEqual([]);
});

it('only app/config.ts and dev/watch.ts read the environment, and outside dev/ only common/clock.ts reads the time', () => {
  expect(
    offenders(({ path, text }) => /process\.env\b/.test(text) && !['app/config.ts', 'dev/watch.ts'].includes(path)),
  ).toEqual([]);
  const readsTime = /\bDate\.now\(|\bnew Date\(\)/;
  const isServer = (path: string) => !/^dev\//.test(path) && path !== 'common/clock.ts';
  expect(offenders(({ path, text }) => isServer(path) && readsTime.test(text))).toEqual([]);
});

it('no file reads request.ip, which may be the address of a proxy', () => {
  expect(offenders(({ text }) => /[.{,]\s*ip\b/.test(text))).toEqual([]);
});

it('src/ has no barrels, no default exports and no catch-all file names', () => {
  expect(offenders(({ path }) => /(^|\/)(index|utils?|helpers?|manager)\b/.test(path))).toEqual([]);
  expect(offenders(({ text }) => /^export default|^export \* from/m.test(text))).toEqual([]);
});
