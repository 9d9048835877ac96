import { describe, expect, it } from 'vitest';
import type { ConnectorState } from '../../src/model/charger/connector.ts';
import { combinePlugs } from '../../src/model/charger/connector.ts';
import type { IdTag } from '../../src/model/charger/id-tag.ts';
import { type ActiveHold, authorize } from '../../src/model/reservation/authorize.ts';

const now = new Date('2026-05-01T10:00:00Z');
const later = new Date('2026-05-01T10:20:00Z');
const latest = new Date('2026-05-01T10:50:00Z');
const anna: IdTag = { idTag: 'ANNA', tokenType: 'ISO14443', status: 'ACCEPTED', parentIdTag: 'FLEET' };
const cleo: IdTag = { idTag: 'CLEO', tokenType: 'ISO14443', status: 'ACCEPTED' };

const charger = (
  states: ConnectorState[],
  ...holds: [connectorId: number, idTag: string, parentIdTag?: string | undefined, until?: Date][]
) => ({
  connectors: states.map((state, index) => ({ connectorId: index + 1, state })),
  holds: holds.map(
    ([connectorId, idTag, parentIdTag, expiryDate = later]): ActiveHold => ({
      connectorId,
      idTag,
      expiryDate,
      ...(parentIdTag && { parentIdTag }),
    }),
  ),
});
const two: ConnectorState[] = ['AVAILABLE', 'AVAILABLE'];

describe('the status of an idTag', () => {
  it.each([
    [undefined, 'INVALID'],
    [{ ...cleo, status: 'BLOCKED' as const }, 'BLOCKED'],
    [{ ...cleo, expiryDate: now }, 'EXPIRED'],
    [{ ...cleo, expiryDate: later }, 'ACCEPTED'],
  ])('authorize answers the idTag %j with %s', (idTag, status) => {
    expect(authorize(idTag, 1, charger(two), now).status).toBe(status);
  });
});

describe('a held connector', () => {
  const held = charger(two, [1, 'ANNA', 'FLEET']);

  it('authorize accepts the holder and its group on a held connector', () => {
    expect(authorize(anna, 1, held, now).status).toBe('ACCEPTED');
    expect(authorize({ ...cleo, parentIdTag: 'FLEET' }, 1, held, now).status).toBe('ACCEPTED');
  });

  it('authorize answers others on a held connector with RESERVED and the end of the hold, without the holder', () => {
    const decision = authorize(cleo, 1, held, now);
    expect(decision).toEqual({ status: 'RESERVED', reservedUntil: later, openConnectors: [2] });
  });

  it('a hold on one connector leaves the other connector and the whole charger open to others', () => {
    expect(authorize(cleo, 2, held, now)).toMatchObject({ status: 'ACCEPTED', openConnectors: [2] });
    expect(authorize(cleo, 0, held, now)).toMatchObject({ status: 'ACCEPTED', openConnectors: [2] });
  });

  it('a held connector is open to others again at the end of the hold', () => {
    expect(authorize(cleo, 1, held, later).status).toBe('ACCEPTED');
  });
});

describe('a whole charger', () => {
  it('a charger is RESERVED until the first hold ends when every working connector is held for others', () => {
    const held = charger(['AVAILABLE', 'AVAILABLE', 'FAULTED'], [1, 'ANNA', undefined, latest], [2, 'BEN']);
    expect(authorize(cleo, 0, held, now)).toMatchObject({ status: 'RESERVED', reservedUntil: later });
  });

  it('a charger is open to others while a connector that is not held is charging, so that its driver can stop', () => {
    const held = charger(['CHARGING', 'AVAILABLE'], [2, 'ANNA']);
    expect(authorize(cleo, 0, held, now).status).toBe('ACCEPTED');
  });
});

describe('a hold without connector', () => {
  it('each hold without connector keeps exactly one free connector from others', () => {
    expect(authorize(cleo, 1, charger(two, [0, 'ANNA']), now).status).toBe('ACCEPTED');
    expect(authorize(cleo, 1, charger(['PREPARING', 'CHARGING'], [0, 'ANNA']), now).status).toBe('RESERVED');
    expect(authorize(cleo, 1, charger(two, [0, 'ANNA'], [0, 'BEN']), now).status).toBe('RESERVED');
  });

  it('the holder of a hold without connector may use every connector that no other hold names', () => {
    const held = charger(two, [0, 'ANNA'], [2, 'BEN']);
    expect(authorize(anna, 1, held, now).status).toBe('ACCEPTED');
    expect(authorize(anna, 2, held, now).status).toBe('RESERVED');
  });
});

it('an EVSE is occupied or reserved when one plug is, and out of order only when all its plugs are', () => {
  expect(combinePlugs(['AVAILABLE', 'OCCUPIED'])).toBe('OCCUPIED');
  expect(combinePlugs(['AVAILABLE', 'FAULTED'])).toBe('AVAILABLE');
  expect(combinePlugs(['RESERVED', 'UNAVAILABLE'])).toBe('RESERVED');
  expect(combinePlugs(['FAULTED', 'UNAVAILABLE'])).toBe('FAULTED');
});
