// Commands to simulated chargers, one line each: typed in the terminal, or sent as the body of an HTTP POST.
import { createServer, type Server } from 'node:http';
import { createInterface } from 'node:readline';
import type { SimulatedCharger } from './simulated-charger.ts';

export const commandHelp = `Commands (charger ids may be shortened to a unique end):
  list                                    the chargers, their connectors and reservations
  plug <charger> <connector>              a vehicle is plugged in
  present <charger> <connector> <idTag>   an idTag is held to the reader (again: stops)
  unplug <charger> <connector>            the vehicle leaves
  fault | repair <charger> <connector>    the connector breaks, is mended
  refuse <charger> <status>               answers so from now on, e.g. Occupied, Rejected
  silent | deaf <charger>                 obeys, but answers no more; does not even obey
  flicker <charger> <connector>           says Available for a moment
  late <charger> <seconds>                obeys, and answers late
  normal <charger>                        behaves again
  reboot | offline | online <charger>     its socket goes and comes
`;

/** What each command needs after its name. */
const needs: Readonly<Record<string, string>> = {
  plug: '<charger> <connector>',
  present: '<charger> <connector> <idTag>',
  unplug: '<charger> <connector>',
  fault: '<charger> <connector>',
  repair: '<charger> <connector>',
  refuse: '<charger> <status>',
  silent: '<charger>',
  deaf: '<charger>',
  flicker: '<charger> <connector>',
  late: '<charger> <seconds>',
  normal: '<charger>',
  reboot: '<charger>',
  offline: '<charger>',
  online: '<charger>',
};

/** Runs one command line and returns its result. Throws with a message for the person who typed it. */
export async function runCommand(chargers: readonly SimulatedCharger[], line: string): Promise<string> {
  const [verb = '', name = '', ...rest] = line.trim().split(/\s+/);
  if (verb === '' || verb === 'help') return commandHelp;
  if (verb === 'list') return chargers.map(describe).join('\n');
  const needed = needs[verb];
  if (needed === undefined) throw new Error(`There is no command "${verb}".\n${commandHelp}`);
  if (name === '' || rest.length + 1 !== needed.split(' ').length) throw new Error(`Write it as: ${verb} ${needed}`);
  const charger = find(chargers, name);
  const number = Number(rest[0]);
  if (needed.includes('<seconds>') && !(number >= 0)) throw new Error(`"${rest[0]}" is no number of seconds.`);
  if (needed.includes('<connector>') && !(Number.isInteger(number) && number >= 1 && number <= charger.connectorCount))
    throw new Error(`${charger.id} has the connectors 1 to ${charger.connectorCount}, not "${rest[0]}".`);
  const connectorId = number;
  switch (verb) {
    case 'plug':
      await charger.plugIn(connectorId);
      break;
    case 'present':
      return `${charger.id} ${connectorId}: ${await charger.present(connectorId, rest[1] ?? '')}`;
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
      charger.behaviour = { type: 'refuse', status: rest[0] ?? 'Rejected' };
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
      charger.behaviour = { type: 'late', delayMs: number * 1000 };
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
