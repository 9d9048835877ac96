// The steps of the model: what drivers, the charger and the network may do, and which outcome the model predicts. The
// model is pure: it says `unsure` where silence, faults or restarts leave the outcome open.
import fc from 'fast-check';
import type { Behaviour } from '../../src/dev/simulator/simulated-charger.ts';
import { type Asked, groups, type World } from './world.ts';

export interface Model {
  isOnline: boolean;
  behaviour: Behaviour['type'];
  /** By connector: the idTag that holds it, or `free`; `unsure` until the step `quiet` has settled everything. */
  held: Record<number, string | 'free' | 'unsure'>;
  isBroken: Record<number, boolean>;
  /** By connector: a vehicle is plugged in, or a transaction runs. */
  isTaken: Record<number, boolean>;
  asked: number;
}

export const emptyModel = (): Model => ({
  isOnline: true,
  behaviour: 'normal',
  held: { 1: 'free', 2: 'free' },
  isBroken: { 1: false, 2: false },
  isTaken: { 1: false, 2: false },
  asked: 0,
});

export type Step = fc.AsyncCommand<Model, World>;

/** A step that checks the invariants after it has run. */
function step(name: string, run: (model: Model, world: World) => Promise<void>, check = (_: Model) => true): Step {
  return {
    check,
    toString: () => name,
    async run(model, world) {
      await run(model, world);
      await world.check();
    },
  };
}

const unsure = (model: Model) => {
  model.held = { 1: 'unsure', 2: 'unsure' };
};

/** The refusal code or status that the model predicts; undefined: any result that keeps the invariants. */
function predict(model: Model, connectorId: number): string | undefined {
  const { held, isBroken, isTaken, isOnline, behaviour } = model;
  const holder = held[connectorId];
  if (connectorId === 0 || holder === 'unsure' || Object.values(held).includes('unsure')) return undefined;
  if (holder !== 'free') return 'RESERVED';
  if (!isOnline) return 'CHARGER_OFFLINE';
  if (behaviour !== 'normal') return undefined;
  return isBroken[connectorId] || isTaken[connectorId] ? 'CHARGER_REFUSED' : 'ACCEPTED';
}

async function reserve(
  model: Model,
  world: World,
  connectorId: number,
  idTag: string,
  minutes: number,
  isGroup: boolean,
) {
  const asked: Asked = { key: `${world.charger.id}-${world.asked.length}`, idTag, connectorId };
  world.asked.push(asked);
  model.asked += 1;
  const expected = predict(model, connectorId);
  const parentIdTag = isGroup ? groups[idTag] : undefined;
  const request = {
    chargerId: world.charger.id,
    connectorId,
    idTag,
    durationMinutes: minutes,
    idempotencyKey: asked.key,
  };
  const call = world.server.reserveNow(world.token(idTag), { ...request, ...(parentIdTag && { parentIdTag }) });
  const { result, hasWaited } = await world.through(call);
  asked.told = result.code ?? result.status;
  if (!result.code) asked.id = result.id;
  if (expected !== undefined && !hasWaited && asked.told !== expected) {
    throw new Error(`reserve ${connectorId} for ${idTag}: the model says ${expected}, the server ${asked.told}`);
  }
  if (hasWaited || connectorId === 0 || (asked.told !== 'ACCEPTED' && expected === undefined)) unsure(model);
  else if (asked.told === 'ACCEPTED') model.held[connectorId] = idTag;
}

async function cancel(model: Model, world: World, index: number) {
  const asked = world.asked[index % Math.max(1, world.asked.length)];
  if (!asked?.id) return;
  const { result, hasWaited } = await world.through(
    world.server.cancelReservation(world.token(asked.idTag), { id: asked.id }),
  );
  const isCancelled = result.status === 'CANCELLED';
  if (hasWaited || !isCancelled || asked.connectorId === 0) return unsure(model);
  if (model.held[asked.connectorId] === asked.idTag) model.held[asked.connectorId] = 'free';
}

async function present(model: Model, world: World, connectorId: number, idTag: string) {
  const isOnline = world.charger.isConnected;
  const now = world.server.clock.now();
  const holds = (await world.holds()).filter((one) => one.status === 'ACCEPTED' && one.connectorId === connectorId);
  const hold = holds.find(({ expiryDate }) => expiryDate.getTime() > now.getTime() + 3000);
  const { result } = await world.through(world.charger.present(connectorId, idTag));
  const isHolder = hold && (hold.idTag === idTag || (hold.parentIdTag !== null && hold.parentIdTag === groups[idTag]));
  if (hold && isOnline && !isHolder && result === 'charging') {
    throw new Error(`${idTag} charges on connector ${connectorId}, which is held for ${hold.idTag}`);
  }
  model.isTaken[connectorId] =
    result === 'charging' || result === 'stopped' ? result === 'charging' : (model.isTaken[connectorId] ?? false);
  unsure(model);
}

const connector = fc.constantFrom(1, 2);
const idTag = fc.constantFrom('ANNA', 'BEN', 'CLEO');

export const steps: fc.Arbitrary<Step>[] = [
  fc
    .tuple(fc.constantFrom(0, 1, 1, 2, 2), idTag, fc.constantFrom(2, 10, 60), fc.boolean())
    .map(([c, tag, minutes, isGroup]) =>
      step(`reserve(${c}, ${tag}, ${minutes} min${isGroup ? ', group' : ''})`, (model, world) =>
        reserve(model, world, c, tag, minutes, isGroup),
      ),
    ),
  fc.nat(20).map((index) =>
    step(
      `cancel(${index})`,
      (model, world) => cancel(model, world, index),
      ({ asked }) => asked > 0,
    ),
  ),
  fc.tuple(fc.nat(20), fc.constantFrom(1, 5, 30)).map(([index, byMinutes]) =>
    step(
      `extend(${index}, ${byMinutes} min)`,
      async (model, world) => {
        const asked = world.asked[index % Math.max(1, world.asked.length)];
        if (!asked?.id) return;
        const extending = world.server.extendReservation(world.token(asked.idTag), { id: asked.id, byMinutes });
        const { hasWaited } = await world.through(extending);
        if (hasWaited || model.behaviour !== 'normal') unsure(model);
      },
      ({ asked }) => asked > 0,
    ),
  ),
  fc.tuple(connector, idTag, fc.nat(20)).map(([c, tag, index]) =>
    step(`together(reserve(${c}, ${tag}), cancel(${index}), present(${c}, ${tag}))`, async (model, world) => {
      await Promise.all([
        reserve({ ...model, held: { 1: 'unsure', 2: 'unsure' } }, world, c, tag, 10, false),
        cancel({ ...model }, world, index),
        world.through(world.charger.present(c, tag)),
      ]);
      model.asked += 1;
      model.isTaken[c] = world.charger.stateOf(c) === 'Charging';
      unsure(model);
    }),
  ),
  connector.map((c) =>
    step(`plugIn(${c})`, async (model, world) => {
      await world.through(world.charger.plugIn(c));
      if (world.charger.stateOf(c) === 'Preparing') model.isTaken[c] = true;
    }),
  ),
  connector.map((c) =>
    step(`unplug(${c})`, async (model, world) => {
      await world.through(world.charger.unplug(c));
      model.isTaken[c] = false;
    }),
  ),
  fc
    .tuple(connector, idTag)
    .map(([c, tag]) => step(`present(${c}, ${tag})`, (model, world) => present(model, world, c, tag))),
  connector.map((c) =>
    step(`fault(${c})`, async (model, world) => {
      await world.through(world.charger.fault(c));
      model.isBroken[c] = true;
      unsure(model);
    }),
  ),
  connector.map((c) =>
    step(`repair(${c})`, async (model, world) => {
      if (world.charger.stateOf(c) !== 'Faulted') return;
      await world.through(world.charger.repair(c));
      model.isBroken[c] = false;
      unsure(model);
    }),
  ),
  connector.map((c) =>
    step(
      `flicker(${c})`,
      async (model, world) => {
        await world.through(world.charger.flicker(c));
        unsure(model);
      },
      ({ isOnline }) => isOnline,
    ),
  ),
  fc.constant(
    step('reboot', async (model, world) => {
      await world.through(world.charger.reboot());
      model.isOnline = true;
      unsure(model);
    }),
  ),
  fc.constant(
    step(
      'disconnect',
      async (model, world) => {
        await world.through(world.charger.disconnect());
        model.isOnline = false;
        unsure(model);
      },
      ({ isOnline }) => isOnline,
    ),
  ),
  fc.constant(
    step(
      'connect',
      async (model, world) => {
        await world.reconnect();
        model.isOnline = true;
        unsure(model);
      },
      ({ isOnline }) => !isOnline,
    ),
  ),
  fc
    .constantFrom<Behaviour>(
      { type: 'normal' },
      { type: 'silent' },
      { type: 'held' },
      { type: 'deaf' },
      { type: 'refuse', status: 'Occupied' },
      { type: 'refuse', status: 'Rejected' },
      { type: 'error', code: 'InternalError' },
    )
    .map((behaviour) =>
      step(`behave(${'status' in behaviour ? behaviour.status : behaviour.type})`, async (model, world) => {
        world.charger.behaviour = behaviour;
        model.behaviour = behaviour.type;
      }),
    ),
  fc.constant(
    step('answerHeld', async (model, world) => {
      world.charger.answerHeld();
      unsure(model);
    }),
  ),
  fc.constantFrom(500, 2500, 12_000, 65_000, 5 * 60_000, 30 * 60_000).map((ms) =>
    step(`advance(${ms / 1000} s)`, async (model, world) => {
      world.server.clock.advance(ms);
      unsure(model);
    }),
  ),
  fc.constantFrom(-90_000, 0, 90_000).map((ms) =>
    step(`skew(${ms / 1000} s)`, async (model, world) => {
      world.setSkew(ms);
      unsure(model);
    }),
  ),
  fc.constant(
    step('restart', async (model, world) => {
      await world.through(world.server.restart());
      await world.through(world.charger.disconnect());
      await world.reconnect();
      model.isOnline = true;
      unsure(model);
    }),
  ),
  fc.constant(
    step('quiet', async (model, world) => {
      await world.quiet();
      await world.checkQuiet();
      model.behaviour = 'normal';
      model.isOnline = true;
      const now = world.server.clock.now();
      const live = (await world.holds()).filter(({ expiryDate }) => expiryDate > now);
      const isSure = live.every(({ connectorId }) => connectorId > 0);
      for (const c of [1, 2]) {
        model.held[c] = isSure ? (live.find(({ connectorId }) => connectorId === c)?.idTag ?? 'free') : 'unsure';
        model.isTaken[c] = ['Preparing', 'Charging'].includes(world.charger.stateOf(c));
        model.isBroken[c] = world.charger.stateOf(c) === 'Faulted';
      }
    }),
  ),
];
