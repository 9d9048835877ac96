// Random sequences of steps by drivers, chargers and networks, against the real server: a model predicts what it can,
// and the invariants are checked after every step. A failure prints its seed and path; MODEL_SEED and MODEL_PATH repeat
// it.
import fc from 'fast-check';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { faultLog } from '../support/fault-log.ts';
import { TestServer } from '../support/test-server.ts';
import { emptyModel, type Step, steps } from './commands.ts';
import { World } from './world.ts';

const runs = Number(process.env.MODEL_RUNS ?? 25);
const STEPS = 30;
/** Also searches for a shorter sequence that fails, which is slow. */
const shrinks = process.env.MODEL_SHRINK === '1';
const { log, faults } = faultLog();
let server: TestServer;

beforeAll(async () => {
  server = await TestServer.start({ log, env: { CHARGER_ANSWER_TIMEOUT_SECONDS: '1' } });
  await server.fill();
});
afterAll(() => server.stop());

/** Runs the steps that the model allows in its current state, at most STEPS; returns how many ran. */
async function run(sequence: readonly Step[], world: World): Promise<number> {
  const model = emptyModel();
  let taken = 0;
  for (const step of sequence) {
    if (taken === STEPS) break;
    if (!step.check(model)) continue;
    await step.run(model, world);
    taken += 1;
  }
  return taken;
}

it(`the reservation invariants hold through ${runs} random sequences of ${STEPS} steps`, {
  timeout: 24 * 3_600_000,
}, async () => {
  let taken = 0;
  // Twice as many as needed, since run() skips the steps that the model does not allow.
  const sequence = fc.array(fc.oneof(...steps), { minLength: shrinks ? 1 : 2 * STEPS, maxLength: 2 * STEPS });
  const property = fc.asyncProperty(fc.constantFrom('1.6', '2.0.1', '2.1'), sequence, async (version, commands) => {
    const world = await World.create(server, version);
    try {
      taken += await run(commands, world);
      await world.quiet();
      await world.check();
      await world.checkQuiet();
      expect(faults.splice(0)).toEqual([]);
    } catch (error) {
      throw new Error(`${(error as Error).message}\n${await world.story()}`, { cause: error });
    } finally {
      await world.close();
    }
  });
  const seed = process.env.MODEL_SEED === undefined ? {} : { seed: Number(process.env.MODEL_SEED) };
  const path = process.env.MODEL_PATH === undefined ? {} : { path: process.env.MODEL_PATH };
  await fc.assert(property, { numRuns: runs, ...seed, ...path, endOnFailure: !shrinks });
  if (!shrinks) expect(taken).toBe(runs * STEPS);
});
