// Few logins are checked at a time, in turn for each address.
import { expect, it } from 'vitest';
import { Passwords, type Turn } from '../../src/charger/passwords.ts';

/** What is to rest rests for good. */
const clock = { now: () => new Date(0), after: () => () => {} };
const wanted = () => false;

async function busy() {
  const passwords = new Passwords(clock);
  const turns = [await passwords.turn('a', wanted), await passwords.turn('b', wanted)] as [Turn, Turn];
  return { passwords, turns };
}

it('each address has its turn, however many logins another sends', async () => {
  const { passwords, turns } = await busy();
  const order: string[] = [];
  const wait = (from: string) =>
    passwords.turn(from, wanted).then((turn) => {
      order.push(from);
      turn?.end(false);
    });
  const waiting = [...Array.from({ length: 5 }, () => wait('many')), wait('one'), wait('other')];
  turns[0].end(false);
  await Promise.all(waiting);
  expect(order).toEqual(['many', 'one', 'other', 'many', 'many', 'many', 'many']);
});

it('a place is not kept from others by thousands for whom nobody waits any more', async () => {
  const { passwords, turns } = await busy();
  const left = Array.from({ length: 4999 }, (_, n) => passwords.turn(`gone ${n}`, () => true));
  const last = passwords.turn('here', wanted);
  expect(await passwords.turn('too late', wanted)).toBeUndefined();
  turns[0].end(false);
  expect(await last).toBeDefined();
  expect(await Promise.all(left)).toEqual(left.map(() => undefined));
});

it('one that was wrong leaves its place empty for a while', async () => {
  const { passwords, turns } = await busy();
  let isBegun = false;
  void passwords.turn('c', wanted).then(() => {
    isBegun = true;
  });
  turns[0].end(true);
  await new Promise(setImmediate);
  expect(isBegun).toBe(false);
  turns[1].end(false);
  await new Promise(setImmediate);
  expect(isBegun).toBe(true);
});
