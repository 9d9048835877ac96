import { describe, expect, it } from 'vitest';
import type { ConnectorState } from '../../src/model/charger/connector.ts';
import { combinePlugs } from '../../src/model/charger/connector.ts';
import type { IdTag } from '../../src/model/charger/id-tag.ts';
import { authorize, type Hold } from '../../src/model/reservation/authorize.ts';

const now = new Date('2026-05-01T10:00:00Z');
const later = new Date('2026-05-01T10:20:00Z');
const latest = new Date('2026-05-01T10:50:00Z');
const anna: IdTag = { idTag: 'ANNA', tokenType: 'ISO14443', status: 'ACCEPTED', parentIdTag: 'FLEET' };
const cleo: IdTag = { idTag: 'CLEO', tokenType: 'ISO14443', status: 'ACCEPTED' };

const charger = (
  states: ConnectorState[],
  ...holds: [connectorId: number, idTag: string, parentIdTag?: string, until?: Date][]
) => ({
  connectors: states.map((state, index) => ({ connectorId: index + 1, state })),
  holds: holds.map(
    ([connectorId, idTag, parentIdTag, expiryDate = later]): Hold => ({
      connectorId,
      idTag,
      expiryDate,
      ...(parentIdTag && { parentIdTag }),
    }),
  ),
});
const two: ConnectorState[] = ['AVAILABLE', 'AVAILABLE'];

describe('the idTag itself', () => {
  it.each([
    [undefined, 'INVALID'],
    [{ ...cleo, status: 'BLOCKED' as const }, 'BLOCKED'],
    [{ ...cleo, expiryDate: now }, 'EXPIRED'],
    [{ ...cleo, expiryDate: later }, 'ACCEPTED'],
  ])('%j is %s', (idTag, status) => {
    expect(authorize(idTag, 1, charger(two), now).status).toBe(status);
  });
});

describe('a connector held by name', () => {
  const held = charger(two, [1, 'ANNA', 'FLEET']);

  it('is open to the holder and its group', () => {
    expect(authorize(anna, 1, held, now).status).toBe('ACCEPTED');
    expect(authorize({ ...cleo, parentIdTag: 'FLEET' }, 1, held, now).status).toBe('ACCEPTED');
  });

  it('is RESERVED to others, with its end and nothing of its holder', () => {
    const decision = authorize(cleo, 1, held, now);
    expect(decision).toEqual({ status: 'RESERVED', reservedUntil: later, openConnectors: [2] });
  });

  it('leaves the other connector, and the charger as a whole, open', () => {
    expect(authorize(cleo, 2, held, now)).toMatchObject({ status: 'ACCEPTED', openConnectors: [2] });
    expect(authorize(cleo, 0, held, now)).toMatchObject({ status: 'ACCEPTED', openConnectors: [2] });
  });

  it('is free again at its end', () => {
    expect(authorize(cleo, 1, held, later).status).toBe('ACCEPTED');
  });
});

describe('the charger as a whole', () => {
  it('is RESERVED when every connector in order is held for others, until the first of those ends', () => {
    const held = charger(['AVAILABLE', 'AVAILABLE', 'FAULTED'], [1, 'ANNA', undefined, latest], [2, 'BEN']);
    expect(authorize(cleo, 0, held, now)).toMatchObject({ status: 'RESERVED', reservedUntil: later });
  });

  it('is open to somebody who charges there, to stop', () => {
    const held = charger(['CHARGING', 'AVAILABLE'], [2, 'ANNA']);
    expect(authorize(cleo, 0, held, now).status).toBe('ACCEPTED');
  });
});

describe('a hold without connector', () => {
  it('keeps the last free connector, and not more', () => {
    expect(authorize(cleo, 1, charger(two, [0, 'ANNA']), now).status).toBe('ACCEPTED');
    expect(authorize(cleo, 1, charger(['PREPARING', 'CHARGING'], [0, 'ANNA']), now).status).toBe('RESERVED');
    expect(authorize(cleo, 1, charger(two, [0, 'ANNA'], [0, 'BEN']), now).status).toBe('RESERVED');
  });

  it('opens every connector that is not held by name to its holder', () => {
    const held = charger(two, [0, 'ANNA'], [2, 'BEN']);
    expect(authorize(anna, 1, held, now).status).toBe('ACCEPTED');
    expect(authorize(anna, 2, held, now).status).toBe('RESERVED');
  });
});

it('an EVSE is taken with one plug, and out of order with all of them', () => {
  expect(combinePlugs(['AVAILABLE', 'OCCUPIED'])).toBe('OCCUPIED');
  expect(combinePlugs(['AVAILABLE', 'FAULTED'])).toBe('AVAILABLE');
  expect(combinePlugs(['RESERVED', 'UNAVAILABLE'])).toBe('RESERVED');
  expect(combinePlugs(['FAULTED', 'UNAVAILABLE'])).toBe('FAULTED');
});
