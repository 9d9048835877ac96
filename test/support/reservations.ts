// A reservation in each status, and each happening.
import type { Happening, Reservation, ReservationStatus } from '../../src/model/reservation/reservation.ts';

/** When it happens: inside the hold. */
export const at = new Date('2026-05-01T10:05:00Z');
export const transactionId = '00000000-0000-4000-8000-000000000001';
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

export const reservationsIn: Record<ReservationStatus, Reservation> = {
  SCHEDULED: { ...facts, status: 'SCHEDULED' },
  PENDING: { ...facts, status: 'PENDING' },
  UNKNOWN: { ...facts, status: 'UNKNOWN', reason: 'TIMEOUT' },
  ACCEPTED: { ...facts, status: 'ACCEPTED' },
  CANCELLING: { ...facts, status: 'CANCELLING', reason: 'DRIVER_REQUEST' },
  USED: { ...facts, status: 'USED', endedAt: at, transactionId },
  CANCELLED: { ...facts, status: 'CANCELLED', endedAt: at, reason: 'DRIVER_REQUEST' },
  EXPIRED: { ...facts, status: 'EXPIRED', endedAt: facts.expiryDate, reason: 'NO_SHOW' },
  REMOVED: { ...facts, status: 'REMOVED', endedAt: at, reason: 'CHARGER_FAULTED' },
  REJECTED: { ...facts, status: 'REJECTED', endedAt: at, reason: 'OCCUPIED' },
  FAILED: { ...facts, status: 'FAILED', endedAt: at, reason: 'OFFLINE' },
};

type HappeningName =
  | Exclude<Happening['type'], 'used'>
  | 'used inside the hold'
  | 'used after it'
  | 'accepted until an earlier date'
  | 'abandoned with an alternative';

export const happenings: Record<HappeningName, Happening> = {
  accepted: { type: 'accepted' },
  'accepted until an earlier date': {
    type: 'accepted',
    held: { reservationId: 7, expiryDate: new Date('2026-05-01T10:20:00Z') },
  },
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
  'abandoned with an alternative': {
    type: 'abandoned',
    reason: 'OCCUPIED',
    alternative: { chargerId: 'CH2', connectorId: 1 },
  },
  released: { type: 'released', reason: 'OPERATOR_REQUEST' },
  removed: { type: 'removed', reason: 'CHARGER_FAULTED' },
  expired: { type: 'expired' },
  'used inside the hold': { type: 'used', startedAt: new Date('2026-05-01T10:04:00Z'), transactionId },
  'used after it': { type: 'used', startedAt: new Date('2026-05-01T10:31:00Z'), transactionId },
  breached: { type: 'breached' },
};
