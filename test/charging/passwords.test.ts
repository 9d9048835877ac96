// Tests that few logins are checked at a time, in turn for each address.
import { expect, it } from 'vitest';
import { Passwords, type Turn } from '../../src/charging/login/passwords.ts';

/** The pause after a wrong login never ends here. */
const clock = { now: () => new Date(0), after: () => () => {} };
const wanted = () => false;

async function busy() {
  const passwords = new Passwords(clock);
  const turns = [await passwords.turn('a', wanted), await passwords.turn('b', wanted)] as [Turn, Turn];
  return { passwords, turns };
}

it('logins are checked in turn by address, so that many logins from one address do not delay another address', async () => {
  const { passwords, turns } = await busy();
  const order: string[] = [];
  const wait = (from: string) =>
    passwords.turn(from, wanted).then((turn) => {
      order.push(from);
      turn?.end();
    });
  const waiting = [...Array.from({ length: 5 }, () => wait('many')), wait('one'), wait('other')];
  turns[0].end();
  await Promise.all(waiting);
  expect(order).toEqual(['many', 'one', 'other', 'many', 'many', 'many', 'many']);
});

it('thousands of abandoned logins do not block a login that still waits', async () => {
  const { passwords, turns } = await busy();
  const left = Array.from({ length: 4999 }, (_, n) => passwords.turn(`gone ${n}`, () => true));
  const last = passwords.turn('here', wanted);
  expect(await passwords.turn('too late', wanted)).toBeUndefined();
  turns[0].end();
  expect(await last).toBeDefined();
  expect(await Promise.all(left)).toEqual(left.map(() => undefined));
});

it('a wrong login leaves its place empty for a while', async () => {
  const { passwords, turns } = await busy();
  let isBegun = false;
  void passwords.turn('c', wanted).then(() => {
    isBegun = true;
  });
  turns[0].end(20);
  await new Promise(setImmediate);
  expect(isBegun).toBe(false);
  turns[1].end();
  await new Promise(setImmediate);
  expect(isBegun).toBe(true);
});

it('an address that fills the queue loses its last place to a login from another address', async () => {
  const { passwords, turns } = await busy();
  const many = Array.from({ length: 5000 }, () => passwords.turn('many', wanted));
  expect(await passwords.turn('many', wanted)).toBeUndefined();
  const one = passwords.turn('one', wanted);
  expect(await many.at(-1)).toBeUndefined();
  turns[0].end();
  (await many[0])?.end();
  expect(await one).toBeDefined();
});
