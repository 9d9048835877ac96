// Tests that routing finds every matching interest, each once, and looks at few others.
import fc from 'fast-check';
import { expect, it } from 'vitest';
import type { LogEvent } from '../../src/model/events/event.ts';
import { type Interest, isOfInterest, Routes } from '../../src/model/events/interest.ts';

const one = <T>(...values: T[]) => fc.constantFrom(...values);
const maybe = <T>(arbitrary: fc.Arbitrary<T>) => fc.option(arbitrary, { nil: undefined });
const some = (...ids: string[]) => fc.subarray(ids);

const place = { siteId: one('S1', 'S2'), chargerId: one('C1', 'C2', 'C3'), connectorId: one(0, 1, 2) };
const reservation = fc.record({
  id: one('r1', 'r2'),
  idTag: maybe(one('anna', 'BEN')),
  parentIdTag: maybe(one('Fleet', 'anna')),
});
const event = fc.oneof(
  fc.record({ kind: one('RESERVATION' as const), ...place, reservation }),
  fc.record({ kind: one('CONNECTOR' as const, 'REFUSAL' as const), ...place }),
) as unknown as fc.Arbitrary<LogEvent>;
const interest: fc.Arbitrary<Interest> = fc
  .record({
    kinds: fc.subarray(['RESERVATION', 'CONNECTOR'] as const, { minLength: 1 }),
    siteIds: maybe(some('S1', 'S2', 'S3')),
    chargerId: maybe(place.chargerId),
    connectorId: maybe(place.connectorId),
    reservationId: maybe(one('r1', 'r2')),
    holders: maybe(fc.record({ idTags: some('ANNA', 'ben', 'Anna'), groups: some('FLEET', 'ANNA') })),
  })
  .map(
    (all) => Object.fromEntries(Object.entries(all).filter(([, value]) => value !== undefined)) as unknown as Interest,
  );

it('routing visits each interest that matches an event once, and no removed interest that matches', () => {
  fc.assert(
    fc.property(fc.array(interest, { maxLength: 20 }), fc.array(fc.nat(19)), event, (interests, gone, happened) => {
      const routes = new Routes<number>();
      for (const [index, each] of interests.entries()) routes.add(each, index);
      const removed = new Set(gone.filter((index) => index < interests.length));
      for (const index of removed) routes.remove(interests[index] as Interest, index);
      const found: number[] = [];
      routes.forEach(happened, (index) => found.push(index));
      expect(new Set(found).size).toBe(found.length);
      const wanted = interests.flatMap((each, index) =>
        isOfInterest(happened, each) && !removed.has(index) ? [index] : [],
      );
      expect(found.filter((index) => isOfInterest(happened, interests[index] as Interest)).toSorted()).toEqual(
        wanted.toSorted(),
      );
    }),
    { numRuns: 500 },
  );
});

it('routing does not visit interests in other chargers, reservations or holders', () => {
  const routes = new Routes<Interest>();
  for (let index = 0; index < 1000; index += 1) {
    const all: Interest[] = [
      { kinds: ['CONNECTOR'], chargerId: `C${index}` },
      { kinds: ['CONNECTOR'], chargerId: 'C1', connectorId: index + 2 },
      { kinds: ['RESERVATION'], reservationId: `r${index}` },
      { kinds: ['RESERVATION'], holders: { idTags: [`D${index}`], groups: [] }, chargerId: 'C1' },
      { kinds: ['CONNECTOR'], siteIds: [`S${index}`] },
    ];
    for (const each of all) routes.add(each, each);
  }
  let looked = 0;
  const happened = { kind: 'CONNECTOR', siteId: 'S7', chargerId: 'C1', connectorId: 1 } as LogEvent;
  routes.forEach(happened, () => {
    looked += 1;
  });
  expect(looked).toBe(2);
});
