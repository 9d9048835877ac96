import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import {
  conflictOf,
  fewestFree,
  freeWindows,
  type Held,
  isPlaceable,
  type Place,
} from '../../src/model/reservation/occupancy.ts';

const at = (minute: number) => new Date(Date.UTC(2026, 4, 1, 10, minute));
const place = (connectorId: number, ...plugTypes: string[]): Place => ({ connectorId, plugTypes, state: 'AVAILABLE' });
const hold = (connectorId: number, from: number, until: number, plugType?: string): Held => ({
  connectorId,
  from: at(from),
  until: at(until),
  ...(plugType && { plugType }),
});
const three = [place(1, 'CCS2'), place(2, 'CCS2', 'CHADEMO'), place(3, 'TYPE2')];

describe('the placement of holds on connectors', () => {
  it.each<[string, Held[], boolean]>([
    ['three holds fit', [hold(1, 0, 1), hold(0, 0, 1), hold(0, 0, 1)], true],
    ['four holds do not fit', [hold(1, 0, 1), hold(0, 0, 1), hold(0, 0, 1), hold(0, 0, 1)], false],
    ['two holds of the same connector do not fit', [hold(1, 0, 1), hold(1, 0, 1)], false],
    [
      'two holds of any connector and one of plug CCS2 fit',
      [hold(0, 0, 1), hold(0, 0, 1), hold(0, 0, 1, 'ccs2')],
      true,
    ],
    ['two holds of plug CCS2 fit', [hold(0, 0, 1, 'CCS2'), hold(0, 0, 1, 'CCS2')], true],
    [
      'three holds of plug CCS2 do not fit where two have it',
      [hold(0, 0, 1, 'CCS2'), hold(0, 0, 1, 'CCS2'), hold(0, 0, 1, 'CCS2')],
      false,
    ],
    [
      'holds of plug CCS2, of plug CHADEMO and of any connector fit',
      [hold(0, 0, 1, 'CCS2'), hold(0, 0, 1, 'CHADEMO'), hold(0, 0, 1)],
      true,
    ],
    [
      'a hold of plug CHADEMO does not fit when its only connector is held',
      [hold(2, 0, 1), hold(0, 0, 1, 'CHADEMO')],
      false,
    ],
    ['a hold of a plug that no connector has does not fit', [hold(0, 0, 1, 'TESLA')], false],
  ])('on three connectors %s', (_, holds, expected) => expect(isPlaceable(three, holds)).toBe(expected));
});

it('conflictOf finds the conflicting holds at any instant of the window', () => {
  const holds = [hold(1, 0, 10), hold(2, 10, 20), hold(0, 15, 25), hold(3, 18, 30)];
  expect(conflictOf(three, holds, hold(0, 0, 18))).toBeUndefined();
  // From minute 18 to 20 connectors 2 and 3 are held by name, and a third hold leaves the connector to the charger.
  expect(conflictOf(three, holds, hold(0, 0, 19))).toHaveLength(3);
  expect(conflictOf(three, holds, hold(2, 0, 10))).toBeUndefined();
  expect(conflictOf(three, holds, hold(2, 0, 11))).toEqual([holds[1]]);
});

it('fewestFree counts free connectors at the fullest instant of the window, and a charging connector as taken only now', () => {
  const places = three.map((one) => ({ ...one, chargerId: 'A' }));
  const holds = [{ ...hold(1, 5, 10), chargerId: 'A' }];
  const window = { from: at(0), until: at(30) };
  expect(fewestFree(places, holds, window, at(0))).toEqual({ count: 2, ends: [at(10)] });
  const charging = places.map((one) => (one.connectorId === 3 ? { ...one, state: 'CHARGING' as const } : one));
  expect(fewestFree(charging, [], window, at(0))).toEqual({ count: 2, ends: [] });
  expect(fewestFree(charging, [], { from: at(1), until: at(30) }, at(0))).toEqual({ count: 3, ends: [] });
});

const isNamesake = (one: Held, other: Held) =>
  one.connectorId > 0 && one.connectorId === other.connectorId && one.from < other.until && other.from < one.until;

it('freeWindows returns exactly the times at which a connector can be held by its number', () => {
  const time = fc.integer({ min: 0, max: 59 });
  const someHold = fc
    .tuple(fc.integer({ min: 0, max: 3 }), time, fc.integer({ min: 1, max: 20 }), fc.boolean())
    .map(([connectorId, from, length, isTyped]) =>
      hold(connectorId, from, from + length, connectorId === 0 && isTyped ? 'CCS2' : undefined),
    );
  fc.assert(
    fc.property(fc.array(someHold, { maxLength: 8 }), (some) => {
      // Two holds of one connector never overlap in the database.
      const holds = some.filter((one, index) => !some.slice(0, index).some((other) => isNamesake(one, other)));
      for (const { connectorId, windows } of freeWindows(three, holds, { from: at(0), until: at(60) })) {
        for (let minute = 0; minute < 60; minute += 1) {
          const isFree = windows.some(({ from, until }) => from <= at(minute) && at(minute + 1) <= until);
          const active = holds.filter(({ from, until }) => from <= at(minute) && at(minute) < until);
          expect(isFree).toBe(isPlaceable(three, [...active, hold(connectorId, minute, minute + 1)]));
        }
      }
    }),
  );
});
