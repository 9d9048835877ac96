import { expect, it } from 'vitest';
import { runCommand } from '../src/dev/simulator/console.ts';
import { SimulatedCharger } from '../src/dev/simulator/simulated-charger.ts';

const fleet = ['DEMO-1', 'DEMO-2'].map(
  (id) => new SimulatedCharger({ url: 'ws://127.0.0.1:1', id, version: '1.6', password: 'x', connectors: 2 }),
);

it.each([
  ['dance DEMO-1', 'There is no command "dance"'],
  ['constructor DEMO-1', 'There is no command "constructor"'],
  ['reboot', 'Write it as: reboot <charger>'],
  ['present DEMO-1 1', 'Write it as: present <charger> <connector> <idTag>'],
  ['plug DEMO-1 3', 'DEMO-1 has the connectors 1 to 2, not "3".'],
  ['plug DEMO-1 one', 'DEMO-1 has the connectors 1 to 2, not "one".'],
  ['late DEMO-1 soon', '"soon" is no number of seconds.'],
  ['reboot DEMO-3', '"DEMO-3" names no charger; see list.'],
  ['reboot DEMO', '"DEMO" names no charger; see list.'],
])('the simulator’s command "%s" is refused with a message that says why', async (line, message) => {
  await expect(runCommand(fleet, line)).rejects.toThrow(message);
});

it('the simulator’s command refuse, for a charger named by the end of its id, sets the answer of that charger', async () => {
  expect(await runCommand(fleet, 'refuse 2 Occupied')).toContain('DEMO-2');
  expect(fleet.map(({ behaviour }) => behaviour.type)).toEqual(['normal', 'refuse']);
});
