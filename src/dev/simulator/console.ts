// Commands to simulated chargers, one line each: typed in the terminal, or sent as the body of an HTTP POST.
import { createServer, type Server } from 'node:http';
import { createInterface } from 'node:readline';
import type { SimulatedCharger } from './simulated-charger.ts';

/** Each command: what it needs after its name, and what it does. */
const commands = new Map<string, readonly [needs: string, effect: string]>([
  ['plug', ['<charger> <connector>', 'a vehicle is plugged in']],
  ['present', ['<charger> <connector> <idTag>', 'an idTag is held to the reader (again: stops)']],
  ['unplug', ['<charger> <connector>', 'the vehicle leaves']],
  ['fault', ['<charger> <connector>', 'the connector breaks']],
  ['repair', ['<charger> <connector>', 'the connector is mended']],
  ['refuse', ['<charger> <status>', 'answers so from now on, e.g. Occupied, Rejected']],
  ['silent', ['<charger>', 'obeys, but answers no more']],
  ['deaf', ['<charger>', 'neither obeys nor answers']],
  ['flicker', ['<charger> <connector>', 'says Available for a moment']],
  ['late', ['<charger> <seconds>', 'obeys, and answers late']],
  ['normal', ['<charger>', 'behaves again']],
  ['reboot', ['<charger>', 'its socket closes, and it boots']],
  ['offline', ['<charger>', 'its socket closes']],
  ['online', ['<charger>', 'its socket opens']],
]);

const helpLine = (call: string, effect: string) => `  ${call.padEnd(38)}  ${effect}\n`;
export const commandHelp = [
  'Commands (charger ids may be shortened to a unique end):\n',
  helpLine('list', 'the chargers, their connectors and reservations'),
  ...[...commands].map(([verb, [needs, effect]]) => helpLine(`${verb} ${needs}`, effect)),
].join('');

/** Runs one command line and returns its result. Throws with a message for the person who typed it. */
export async function runCommand(chargers: readonly SimulatedCharger[], line: string): Promise<string> {
  const [verb = '', name = '', ...rest] = line.trim().split(/\s+/);
  if (verb === '' || verb === 'help') return commandHelp;
  if (verb === 'list') return chargers.map(describe).join('\n');
  const [needs] = commands.get(verb) ?? [];
  if (needs === undefined) throw new Error(`There is no command "${verb}".\n${commandHelp}`);
  if (name === '' || rest.length + 1 !== needs.split(' ').length) throw new Error(`Write it as: ${verb} ${needs}`);
  const charger = find(chargers, name);
  const [given = '', idTag = ''] = rest;
  const connectorId = Number(given);
  const isConnector = Number.isInteger(connectorId) && connectorId >= 1 && connectorId <= charger.connectorCount;
  if (needs.includes('<connector>') && !isConnector)
    throw new Error(`${charger.id} has the connectors 1 to ${charger.connectorCount}, not "${given}".`);
  const delayMs = Number(given) * 1000;
  if (needs.includes('<seconds>') && !(delayMs >= 0)) throw new Error(`"${given}" is no number of seconds.`);
  switch (verb) {
    case 'plug':
      await charger.plugIn(connectorId);
      break;
    case 'present':
      return `${charger.id} ${connectorId}: ${await charger.present(connectorId, idTag)}`;
    case 'unplug':
      await charger.unplug(connectorId);
      break;
    case 'fault':
      await charger.fault(connectorId);
      break;
    case 'repair':
      await charger.repair(connectorId);
      break;
    case 'refuse':
      charger.behaviour = { type: 'refuse', status: given };
      break;
    case 'flicker':
      await charger.flicker(connectorId);
      break;
    case 'silent':
    case 'deaf':
    case 'normal':
      charger.behaviour = { type: verb };
      break;
    case 'late':
      charger.behaviour = { type: 'late', delayMs };
      break;
    case 'reboot':
      await charger.reboot();
      break;
    case 'offline':
      await charger.disconnect();
      break;
    case 'online':
      await charger.connect();
      break;
  }
  return describe(charger);
}

function find(chargers: readonly SimulatedCharger[], name: string): SimulatedCharger {
  const found = chargers.filter(({ id }) => name !== '' && (id === name || id.endsWith(name)));
  const [exact] = found.filter(({ id }) => id === name);
  const [charger, another] = exact ? [exact] : found;
  if (!charger || another) throw new Error(`"${name}" names ${another ? 'several chargers' : 'no charger'}; see list.`);
  return charger;
}

function describe(charger: SimulatedCharger): string {
  const connectors = Array.from(
    { length: charger.connectorCount },
    (_, index) => `${index + 1} ${charger.stateOf(index + 1)}`,
  );
  const held = charger.reservations.map(
    ({ reservationId, connectorId, idTag, expiryDate }) =>
      `  reservation ${reservationId}: connector ${connectorId}, ${idTag}, until ${expiryDate.toISOString()}`,
  );
  const state = charger.isConnected ? 'online' : 'offline';
  return [
    `${charger.id} (${charger.version}, ${state}, ${charger.behaviour.type}): ${connectors.join(', ')}`,
    ...held,
  ].join('\n');
}

/** Reads commands from the terminal until it ends. */
export function readCommands(chargers: readonly SimulatedCharger[]): void {
  const lines = createInterface({ input: process.stdin });
  lines.on('line', (line) => {
    runCommand(chargers, line).then(
      (answer) => console.log(answer),
      (error: Error) => console.log(error.message),
    );
  });
}

/** Serves the same commands over HTTP, for this machine only: `curl -d '<command>' http://127.0.0.1:<port>`. */
export function serveCommands(chargers: readonly SimulatedCharger[], port: number): Promise<Server> {
  const server = createServer((request, response) => {
    let line = '';
    request.on('data', (chunk) => {
      line += chunk;
      if (line.length > 1000) request.destroy();
    });
    request.on('end', () => {
      runCommand(chargers, line).then(
        (answer) => response.end(`${answer}\n`),
        (error: Error) => response.writeHead(400).end(`${error.message}\n`),
      );
    });
  });
  return new Promise((resolve, reject) => {
    server.once('error', reject);
    server.listen(port, '127.0.0.1', () => resolve(server));
  });
}
