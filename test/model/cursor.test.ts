// Tests places in the log: cursors, their order, and which events a start at a snapshot includes.
import fc from 'fast-check';
import { expect, it } from 'vitest';
import {
  fromCursor,
  fromSnapshot,
  isBehind,
  isWantedFrom,
  type Start,
  toCursor,
} from '../../src/model/events/cursor.ts';

const start = (text: string): Start => {
  const found = fromSnapshot(text);
  if (!found) throw new Error(`no snapshot: ${text}`);
  return found;
};

it('a cursor decodes to the log position or snapshot that it was made from', () => {
  const xid = fc.bigInt({ min: 0n, max: 2n ** 64n - 1n });
  const position = fc.record({ xid, id: fc.bigInt({ min: 0n, max: 2n ** 63n - 1n }) });
  fc.assert(
    fc.property(position, (at) => {
      expect(fromCursor(toCursor({ position: at }))).toEqual({ position: at });
    }),
  );
  for (const text of ['10:14:10,12', '10:10:', '7:9:7,8'])
    expect(fromCursor(toCursor(start(text)))).toEqual(start(text));
});

it('a text that is not a cursor decodes to undefined', () => {
  const encode = (text: string) => Buffer.from(text).toString('base64url');
  const bad = [
    '',
    'nonsense',
    encode('1'),
    encode('1.'),
    encode('-1.2'),
    encode(`${2n ** 64n}.1`),
    encode(`1.${2n ** 63n}`),
  ];
  for (const text of [...bad, encode('10:9:'), encode('1:2:x'), encode('1:2'), 'A'.repeat(100_000)]) {
    expect(fromCursor(text)).toBeUndefined();
  }
});

it('an event stream from a snapshot includes exactly the transactions that the snapshot does not contain', () => {
  const from = start('10:14:10,12');
  const wanted = [9n, 10n, 11n, 12n, 13n, 14n, 15n].filter((xid) => isWantedFrom(from, { xid, id: 5n }));
  expect(wanted).toEqual([10n, 12n, 14n, 15n]);
  const quiet = start('14:14:');
  expect([13n, 14n].filter((xid) => isWantedFrom(quiet, { xid, id: 5n }))).toEqual([14n]);
});

it('log positions are ordered by transaction number, then by event number', () => {
  expect(isBehind({ xid: 10n, id: 1n }, { xid: 9n, id: 99n })).toBe(true);
  expect(isBehind({ xid: 9n, id: 10n }, { xid: 9n, id: 9n })).toBe(true);
  expect(isBehind({ xid: 9n, id: 9n }, { xid: 9n, id: 9n })).toBe(false);
});
