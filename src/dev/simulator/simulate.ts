// `npm run simulate`: runs simulated chargers against a server of your own.
import { parseArgs } from 'node:util';
import { commandHelp, readCommands, serveCommands } from './console.ts';
import { SimulatedCharger, type SimulatedVersion } from './simulated-charger.ts';

const usage = `npm run simulate -- --url ws://127.0.0.1:9000 [options]

  --url <ws url>        where chargers connect; required
  --chargers <n>        how many (1)
  --ocpp <version>      1.6, 2.0.1 or 2.1 (1.6)
  --connectors <n>      of each charger (2)
  --prefix <text>       ids are <prefix>0001 and on (SIM-)
  --password <text>     of each charger (simulated-charger)
  --graphql <url>       registers the chargers there first, with
  --token <token>         an operator's or admin's token, at
  --site <id>             that site
  --control <port>      takes commands by HTTP POST on this port, too
`;

const { values } = parseArgs({
  options: {
    url: { type: 'string' },
    chargers: { type: 'string', default: '1' },
    ocpp: { type: 'string', default: '1.6' },
    connectors: { type: 'string', default: '2' },
    prefix: { type: 'string', default: 'SIM-' },
    password: { type: 'string', default: 'simulated-charger' },
    graphql: { type: 'string' },
    token: { type: 'string' },
    site: { type: 'string' },
    control: { type: 'string' },
    help: { type: 'boolean', default: false },
  },
});

function fail(message: string): never {
  console.error(`${message}\n\n${usage}`);
  process.exit(1);
}

if (values.help) {
  console.log(usage);
  process.exit(0);
}
const { url, prefix, password } = values;
if (!url) fail('--url is required.');
if (!['1.6', '2.0.1', '2.1'].includes(values.ocpp)) fail('--ocpp is 1.6, 2.0.1 or 2.1.');
const count = Number(values.chargers);
const connectors = Number(values.connectors);
if (!(count >= 1 && count <= 10_000)) fail('--chargers is from 1 to 10000.');
if (!(connectors >= 1 && connectors <= 100)) fail('--connectors is from 1 to 100.');
const version = values.ocpp as SimulatedVersion;

const chargers = Array.from(
  { length: count },
  (_, index) =>
    new SimulatedCharger({ url, id: `${prefix}${`${index + 1}`.padStart(4, '0')}`, password, version, connectors }),
);

async function register(graphql: string): Promise<void> {
  if (!values.token || !values.site) fail('--graphql needs --token and --site.');
  const query = `mutation ($input: SaveChargerInput!) {
    saveCharger(input: $input) { __typename ... on Refusal { code message } }
  }`;
  for (const { id } of chargers) {
    const variables = { input: { id, siteId: values.site, password } };
    const response = await fetch(graphql, {
      method: 'POST',
      headers: { 'content-type': 'application/json', authorization: `Bearer ${values.token}` },
      body: JSON.stringify({ query, variables }),
    });
    const { data, errors } = (await response.json()) as {
      data?: { saveCharger: { message?: string } };
      errors?: unknown;
    };
    if (errors || data?.saveCharger.message)
      fail(`${id} was not registered: ${data?.saveCharger.message ?? JSON.stringify(errors)}`);
  }
}

if (values.graphql) await register(values.graphql);
let connected = 0;
for (let next = 0; next < chargers.length; next += 50) {
  await Promise.all(
    chargers.slice(next, next + 50).map(async (charger) => {
      try {
        await charger.start();
        connected += 1;
      } catch (error) {
        console.error(`${charger.id}: ${(error as Error).message}`);
      }
    }),
  );
}
console.log(`${connected} of ${count} chargers are connected (OCPP ${version}).`);
if (connected === 0) process.exit(1);
console.log(commandHelp);
readCommands(chargers);
if (values.control) await serveCommands(chargers, Number(values.control));

for (const signal of ['SIGINT', 'SIGTERM'] as const) {
  process.on(signal, () => void Promise.all(chargers.map((charger) => charger.stop())).then(() => process.exit(0)));
}
