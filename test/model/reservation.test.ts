import { describe, expect, it } from 'vitest';
import { matchUse } from '../../src/model/reservation/match-use.ts';
import {
  apply,
  type Happening,
  isLive,
  type Reservation,
  type ReservationStatus,
} from '../../src/model/reservation/reservation.ts';

const at = new Date('2026-05-01T10:05:00Z');
const facts = {
  id: 'r',
  reservationId: 7,
  siteId: 'site',
  chargerId: 'CH1',
  connectorId: 1,
  idTag: 'ANNA',
  tokenType: 'ISO14443',
  startsAt: new Date('2026-05-01T10:00:00Z'),
  expiryDate: new Date('2026-05-01T10:30:00Z'),
  createdAt: new Date('2026-05-01T10:00:00Z'),
  createdBy: 'anna',
  version: 3,
  isBreached: false,
  enforcement: 'CHARGER',
  policyVersion: 1,
  isBooking: false,
  extensions: 0,
  isLateCancel: false,
  isReReservation: false,
} as const;

const in_: Record<ReservationStatus, Reservation> = {
  SCHEDULED: { ...facts, status: 'SCHEDULED' },
  PENDING: { ...facts, status: 'PENDING' },
  UNKNOWN: { ...facts, status: 'UNKNOWN', reason: 'TIMEOUT' },
  ACCEPTED: { ...facts, status: 'ACCEPTED' },
  CANCELLING: { ...facts, status: 'CANCELLING', reason: 'DRIVER_REQUEST' },
  USED: { ...facts, status: 'USED', endedAt: at, transactionId: 't' },
  CANCELLED: { ...facts, status: 'CANCELLED', endedAt: at, reason: 'DRIVER_REQUEST' },
  EXPIRED: { ...facts, status: 'EXPIRED', endedAt: facts.expiryDate, reason: 'NO_SHOW' },
  REMOVED: { ...facts, status: 'REMOVED', endedAt: at, reason: 'CHARGER_FAULTED' },
  REJECTED: { ...facts, status: 'REJECTED', endedAt: at, reason: 'OCCUPIED' },
  FAILED: { ...facts, status: 'FAILED', endedAt: at, reason: 'OFFLINE' },
};

const happenings: Record<string, Happening> = {
  accepted: { type: 'accepted' },
  refused: { type: 'refused', reason: 'OCCUPIED' },
  unanswered: { type: 'unanswered', reason: 'TIMEOUT' },
  unreachable: { type: 'unreachable' },
  unverified: { type: 'unverified', reason: 'TIMEOUT' },
  extended: { type: 'extended', expiryDate: new Date('2026-05-01T11:00:00Z') },
  replaced: { type: 'replaced', reservationId: 8, expiryDate: new Date('2026-05-01T11:00:00Z') },
  'cancel-requested': { type: 'cancel-requested', reason: 'OPERATOR_REQUEST' },
  activated: { type: 'activated' },
  postponed: { type: 'postponed', reason: 'OCCUPIED' },
  abandoned: { type: 'abandoned', reason: 'OFFLINE' },
  released: { type: 'released', reason: 'OPERATOR_REQUEST' },
  removed: { type: 'removed', reason: 'CHARGER_FAULTED' },
  expired: { type: 'expired' },
  'used inside the hold': { type: 'used', startedAt: new Date('2026-05-01T10:04:00Z'), transactionId: 't' },
  'used after it': { type: 'used', startedAt: new Date('2026-05-01T10:31:00Z'), transactionId: 't' },
};

/**
 * The whole table: the status that each happening makes of each status; a status that is not listed does not change.
 */
const table: Record<string, Partial<Record<ReservationStatus, ReservationStatus>>> = {
  accepted: { PENDING: 'ACCEPTED', UNKNOWN: 'ACCEPTED' },
  refused: { PENDING: 'REJECTED', UNKNOWN: 'REJECTED' },
  unanswered: { PENDING: 'UNKNOWN' },
  unreachable: { PENDING: 'FAILED' },
  unverified: { ACCEPTED: 'UNKNOWN' },
  extended: { SCHEDULED: 'SCHEDULED', UNKNOWN: 'ACCEPTED', ACCEPTED: 'ACCEPTED' },
  replaced: { ACCEPTED: 'UNKNOWN' },
  'cancel-requested': {
    ...{ SCHEDULED: 'CANCELLED', PENDING: 'CANCELLING', UNKNOWN: 'CANCELLING', ACCEPTED: 'CANCELLING' },
  },
  activated: { SCHEDULED: 'PENDING' },
  postponed: { PENDING: 'SCHEDULED', UNKNOWN: 'SCHEDULED' },
  abandoned: { SCHEDULED: 'FAILED', PENDING: 'FAILED', UNKNOWN: 'FAILED' },
  released: { PENDING: 'CANCELLED', UNKNOWN: 'CANCELLED', ACCEPTED: 'CANCELLED', CANCELLING: 'CANCELLED' },
  removed: { PENDING: 'REMOVED', UNKNOWN: 'REMOVED', ACCEPTED: 'REMOVED', CANCELLING: 'REMOVED' },
  expired: { SCHEDULED: 'FAILED', PENDING: 'FAILED', UNKNOWN: 'FAILED', ACCEPTED: 'EXPIRED', CANCELLING: 'CANCELLED' },
  'used inside the hold': {
    ...{ SCHEDULED: 'USED', PENDING: 'USED', UNKNOWN: 'USED', ACCEPTED: 'USED', CANCELLING: 'USED' },
    ...{ CANCELLED: 'USED', EXPIRED: 'USED', REMOVED: 'USED', FAILED: 'USED' },
  },
  'used after it': { SCHEDULED: 'USED', PENDING: 'USED', UNKNOWN: 'USED', ACCEPTED: 'USED', CANCELLING: 'USED' },
};

describe.each(Object.entries(table))('an extension: %s', (name, changes) => {
  it.each(Object.keys(in_) as ReservationStatus[])(
    'a reservation in %s gets the status that the table lists, or stays as it is',
    (status) => {
      const next = apply(in_[status], happenings[name] as Happening, at);
      expect(next?.status).toBe(changes[status]);
      if (!next) return;
      expect(next.version).toBe(4);
      expect('endedAt' in next).toBe(!isLive(next.status));
    },
  );
});

it('a reservation that expires while CANCELLING becomes CANCELLED and keeps its reason', () => {
  expect(apply(in_.CANCELLING, { type: 'expired' }, at)).toMatchObject({
    status: 'CANCELLED',
    reason: 'DRIVER_REQUEST',
  });
});

it('a breach is recorded once and leaves the reservation ACCEPTED', () => {
  const breached = apply(in_.ACCEPTED, { type: 'breached' }, at);
  expect(breached).toMatchObject({ status: 'ACCEPTED', isBreached: true, version: 4 });
  expect(breached && apply(breached, { type: 'breached' }, at)).toBeUndefined();
});

describe('which reservation a start uses', () => {
  const startedAt = new Date('2026-05-01T10:05:00Z');
  const one = { ...in_.ACCEPTED, id: 'one' };
  const anywhere = { ...in_.ACCEPTED, id: 'anywhere', connectorId: 0, reservationId: 8 };
  const grouped = { ...in_.ACCEPTED, id: 'grouped', idTag: 'CLEO', parentIdTag: 'FLEET', reservationId: 9 };
  const use = (all: Reservation[], presented: object) =>
    matchUse(all, { connectorId: 1, idTag: 'ANNA', startedAt, ...presented })?.id;

  it('a start uses the hold of its connector before a hold of connector 0', () => {
    expect(use([anywhere, one], {})).toBe('one');
    expect(use([anywhere, one], { connectorId: 2 })).toBe('anywhere');
  });

  it('a labelled start uses the reservation of its label, but only with a fitting idTag', () => {
    expect(use([anywhere, one], { reservationId: 8 })).toBe('anywhere');
    expect(use([one], { reservationId: 7, idTag: 'CLEO' })).toBeUndefined();
  });

  it('a start by a member of the group uses the group’s reservation, a start with the group’s name as idTag does not', () => {
    expect(use([grouped], { idTag: 'BEN', parentIdTag: 'FLEET' })).toBe('grouped');
    expect(use([grouped], { idTag: 'FLEET' })).toBeUndefined();
  });

  it('an idTag is matched without regard to case, and in 2.x by its token type, too', () => {
    expect(use([one], { idTag: 'anna' })).toBe('one');
    expect(use([one], { tokenType: 'ISO14443' })).toBe('one');
    expect(use([one], { tokenType: 'EMAID' })).toBeUndefined();
  });

  it('a start an hour before the hold does not use it, a start two minutes before does, since clocks may be slow', () => {
    expect(use([one], { startedAt: new Date('2026-05-01T09:00:00Z') })).toBeUndefined();
    expect(use([one], { startedAt: new Date('2026-05-01T09:58:00Z') })).toBe('one');
  });
});
