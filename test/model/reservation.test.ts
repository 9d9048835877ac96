import { describe, expect, it } from 'vitest';
import { matchUse } from '../../src/model/reservation/match-use.ts';
import { apply, isLive, type Reservation, type ReservationStatus } from '../../src/model/reservation/reservation.ts';
import { at, happenings, reservationsIn } from '../support/reservations.ts';

/**
 * The whole table: the status that each happening makes of each status; a status that is not listed does not change.
 */
const table: Record<keyof typeof happenings, Partial<Record<ReservationStatus, ReservationStatus>>> = {
  accepted: { PENDING: 'ACCEPTED', UNKNOWN: 'ACCEPTED' },
  'accepted until an earlier date': { ACCEPTED: 'UNKNOWN' },
  refused: { PENDING: 'REJECTED', UNKNOWN: 'REJECTED' },
  unanswered: { PENDING: 'UNKNOWN' },
  unreachable: { PENDING: 'FAILED' },
  unverified: { ACCEPTED: 'UNKNOWN' },
  extended: { SCHEDULED: 'SCHEDULED', UNKNOWN: 'ACCEPTED', ACCEPTED: 'ACCEPTED' },
  replaced: { ACCEPTED: 'UNKNOWN' },
  'cancel-requested': {
    SCHEDULED: 'CANCELLED',
    PENDING: 'CANCELLING',
    UNKNOWN: 'CANCELLING',
    ACCEPTED: 'CANCELLING',
  },
  activated: { SCHEDULED: 'PENDING' },
  postponed: { PENDING: 'SCHEDULED', UNKNOWN: 'SCHEDULED' },
  abandoned: { SCHEDULED: 'FAILED', PENDING: 'FAILED', UNKNOWN: 'FAILED' },
  'abandoned with an alternative': { SCHEDULED: 'FAILED', PENDING: 'FAILED', UNKNOWN: 'FAILED' },
  released: { PENDING: 'CANCELLED', UNKNOWN: 'CANCELLED', ACCEPTED: 'CANCELLED', CANCELLING: 'CANCELLED' },
  removed: { PENDING: 'REMOVED', UNKNOWN: 'REMOVED', ACCEPTED: 'REMOVED', CANCELLING: 'REMOVED' },
  expired: { SCHEDULED: 'FAILED', PENDING: 'FAILED', UNKNOWN: 'FAILED', ACCEPTED: 'EXPIRED', CANCELLING: 'CANCELLED' },
  'used inside the hold': {
    SCHEDULED: 'USED',
    PENDING: 'USED',
    UNKNOWN: 'USED',
    ACCEPTED: 'USED',
    CANCELLING: 'USED',
    CANCELLED: 'USED',
    EXPIRED: 'USED',
    REMOVED: 'USED',
    FAILED: 'USED',
  },
  'used after it': { SCHEDULED: 'USED', PENDING: 'USED', UNKNOWN: 'USED', ACCEPTED: 'USED', CANCELLING: 'USED' },
  breached: { ACCEPTED: 'ACCEPTED' },
};

describe.each(Object.entries(table) as [keyof typeof happenings, (typeof table)['accepted']][])(
  'the happening: %s',
  (name, changes) => {
    it.each(Object.keys(reservationsIn) as ReservationStatus[])(
      'a reservation in %s gets the status listed for the happening, or does not change',
      (status) => {
        const next = apply(reservationsIn[status], happenings[name], at);
        expect(next?.status).toBe(changes[status]);
        if (!next) return;
        expect(next.version).toBe(4);
        expect('endedAt' in next).toBe(!isLive(next.status));
      },
    );
  },
);

it('a reservation that expires while CANCELLING becomes CANCELLED and keeps its reason', () => {
  expect(apply(reservationsIn.CANCELLING, { type: 'expired' }, at)).toMatchObject({
    status: 'CANCELLED',
    reason: 'DRIVER_REQUEST',
  });
});

it('a breach is recorded once and leaves the reservation ACCEPTED', () => {
  const breached = apply(reservationsIn.ACCEPTED, { type: 'breached' }, at);
  expect(breached).toMatchObject({ status: 'ACCEPTED', isBreached: true, version: 4 });
  expect(breached && apply(breached, { type: 'breached' }, at)).toBeUndefined();
});

describe('the reservation that a start uses', () => {
  const startedAt = new Date('2026-05-01T10:05:00Z');
  const one = { ...reservationsIn.ACCEPTED, id: 'one' };
  const anywhere = { ...reservationsIn.ACCEPTED, id: 'anywhere', connectorId: 0, reservationId: 8 };
  const grouped = { ...reservationsIn.ACCEPTED, id: 'grouped', idTag: 'CLEO', parentIdTag: 'FLEET', reservationId: 9 };
  const use = (all: Reservation[], presented: object) =>
    matchUse(all, { connectorId: 1, idTag: 'ANNA', startedAt, ...presented })?.id;

  it('a start uses the hold of its connector before a hold of connector 0', () => {
    expect(use([anywhere, one], {})).toBe('one');
    expect(use([anywhere, one], { connectorId: 2 })).toBe('anywhere');
  });

  it('a start with a reservationId uses that reservation, but only with a matching idTag', () => {
    expect(use([anywhere, one], { reservationId: 8 })).toBe('anywhere');
    expect(use([one], { reservationId: 7, idTag: 'CLEO' })).toBeUndefined();
  });

  it('a start by a member of the group uses the group’s reservation, a start with the group’s name as idTag does not', () => {
    expect(use([grouped], { idTag: 'BEN', parentIdTag: 'FLEET' })).toBe('grouped');
    expect(use([grouped], { idTag: 'FLEET' })).toBeUndefined();
  });

  it('a start matches the idTag of a reservation without regard to case, and the token type if it has one', () => {
    expect(use([one], { idTag: 'anna' })).toBe('one');
    expect(use([one], { tokenType: 'ISO14443' })).toBe('one');
    expect(use([one], { tokenType: 'EMAID' })).toBeUndefined();
  });

  it('a start an hour before the hold does not use the reservation, a start two minutes before does, since a charger’s clock may be slow', () => {
    expect(use([one], { startedAt: new Date('2026-05-01T09:00:00Z') })).toBeUndefined();
    expect(use([one], { startedAt: new Date('2026-05-01T09:58:00Z') })).toBe('one');
  });
});
