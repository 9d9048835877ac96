// Extensions of a hold: a later expiryDate counts only once the charger has accepted it.
import { afterEach, beforeEach, expect, it } from 'vitest';
import { eventually } from '../support/eventually.ts';
import { adminToken, driverToken, TestServer } from '../support/test-server.ts';

let server: TestServer;
let anna: string;
const input = { chargerId: 'CH1', connectorId: 1, idTag: 'ANNA', durationMinutes: 20 };

beforeEach(async () => {
  server = await TestServer.start({ env: { CHARGER_ANSWER_TIMEOUT_SECONDS: '1' } });
  await server.fill();
  anna = await driverToken('ANNA');
});
afterEach(() => server.stop());

const later = (expiryDate: string, minutes: number) =>
  new Date(Date.parse(expiryDate) + minutes * 60_000).toISOString();
const status16 = (status: string) => ({ connectorId: 1, errorCode: 'NoError', status });

async function reservedRaw(subprotocol = 'ocpp1.6') {
  const charger = await server.rawCharger('CH1', subprotocol);
  const reserving = server.reserveNow(anna, input);
  const { id, payload } = await charger.expectCall('ReserveNow');
  charger.answer(id, { status: 'Accepted' });
  return { charger, payload, reservation: await reserving };
}

it.each(['1.6', '2.0.1', '2.1'] as const)(
  'OCPP %s: an extension sends the same reservationId with a later expiryDate and makes one event',
  async (version) => {
    const charger = await server.charger('CH1', version);
    const { id, reservationId, expiryDate } = await server.reserveNow(anna, input);
    const events = await server.watchReservations(anna, { reservationId: id });
    const until = later(expiryDate, 30);
    const extended = await server.extendReservation(anna, { id, expiryDate: until });
    expect(extended).toMatchObject({ status: 'ACCEPTED', version: 3, expiryDate: until, reservationId });
    expect(charger.reservations).toMatchObject([{ reservationId, expiryDate: new Date(until) }]);
    expect(await events.next()).toMatchObject({ type: 'EXTENDED', from: 'ACCEPTED', to: 'ACCEPTED' });
    server.clock.advance(25 * 60_000);
    expect(await server.reservation(id)).toMatchObject({ status: 'ACCEPTED' });
    server.clock.advance(25 * 60_000);
    expect(await events.next()).toMatchObject({ type: 'EXPIRED' });
  },
);

it('an extension that the charger refuses changes nothing, and the charger is asked whether it still holds the reservation', async () => {
  const { charger, payload, reservation } = await reservedRaw();
  await charger.call('StatusNotification', status16('Reserved'));
  const extending = server.extendReservation(anna, { id: reservation.id, byMinutes: 10 });
  const asked = await charger.expectCall('ReserveNow');
  expect(asked.payload).toEqual({ ...payload, expiryDate: later(payload.expiryDate, 10) });
  charger.answer(asked.id, { status: 'Occupied' });
  expect(await extending).toMatchObject({ __typename: 'ChargerRefused', answer: 'OCCUPIED' });
  server.clock.advance(3000);
  const again = await charger.expectCall('ReserveNow');
  expect(again.payload).toEqual(payload);
  charger.answer(again.id, { status: 'Occupied' });
  await eventually(async () => {
    const [row] = await server.database.query('SELECT due_at FROM reservation');
    expect(row).toEqual({ due_at: null });
  });
  const { status, expiryDate } = await server.reservation(reservation.id);
  expect({ status, expiryDate }).toEqual({ status: 'ACCEPTED', expiryDate: reservation.expiryDate });
});

it.each(['ocpp1.6', 'ocpp2.0.1'])(
  '%s: a charger that dropped the hold when it refused an extension is asked to hold it again',
  async (subprotocol) => {
    const { charger, payload, reservation } = await reservedRaw(subprotocol);
    const extending = server.extendReservation(anna, { id: reservation.id, byMinutes: 10 });
    const asked = await charger.expectCall('ReserveNow');
    charger.answer(asked.id, { status: 'Occupied' });
    await extending;
    const status =
      subprotocol === 'ocpp1.6'
        ? status16('Available')
        : { timestamp: new Date().toISOString(), connectorStatus: 'Available', evseId: 1, connectorId: 1 };
    await charger.call('StatusNotification', status);
    server.clock.advance(3000);
    const again = await charger.expectCall('ReserveNow');
    expect(again.payload).toEqual(payload);
    charger.answer(again.id, { status: 'Accepted' });
    await eventually(async () => {
      const [row] = await server.database.query('SELECT due_at FROM reservation');
      expect(row).toEqual({ due_at: null });
    });
    expect(await server.reservation(reservation.id)).toMatchObject({ status: 'ACCEPTED', version: 2 });
  },
);

it('with extensionMayReplace a refused extension is replaced by a hold under a fresh reservationId', async () => {
  await server.saveSite('site', { extensionMayReplace: true });
  const { charger, payload, reservation } = await reservedRaw();
  const extending = server.extendReservation(anna, { id: reservation.id, byMinutes: 10 });
  const asked = await charger.expectCall('ReserveNow');
  charger.answer(asked.id, { status: 'Rejected' });
  const cancel = await charger.expectCall('CancelReservation');
  expect(cancel.payload).toEqual({ reservationId: payload.reservationId });
  expect(await server.reserveNow(await driverToken('CLEO'), { ...input, idTag: 'CLEO' })).toMatchObject({
    code: 'RESERVED',
  });
  charger.answer(cancel.id, { status: 'Accepted' });
  const fresh = await charger.expectCall('ReserveNow');
  expect(fresh.payload.reservationId).not.toBe(payload.reservationId);
  charger.answer(fresh.id, { status: 'Accepted' });
  expect(await extending).toMatchObject({
    id: reservation.id,
    status: 'ACCEPTED',
    reservationId: fresh.payload.reservationId,
    expiryDate: later(payload.expiryDate, 10),
  });
});

it('an unanswered extension makes the reservation UNKNOWN, and ReserveNow is sent again with the old expiryDate', async () => {
  const { charger, payload, reservation } = await reservedRaw();
  const extending = server.extendReservation(anna, { id: reservation.id, byMinutes: 10 });
  await charger.expectCall('ReserveNow');
  expect(await extending).toMatchObject({ status: 'UNKNOWN', reason: 'TIMEOUT', expiryDate: reservation.expiryDate });
  const again = await charger.expectCall('ReserveNow');
  expect(again.payload).toEqual(payload);
  charger.answer(again.id, { status: 'Accepted' });
  await eventually(async () => expect(await server.reservation(reservation.id)).toMatchObject({ status: 'ACCEPTED' }));
});

it('after a late answer to an extension the charger is asked to hold the expiryDate that is stored', async () => {
  const { charger, payload, reservation } = await reservedRaw();
  const extending = server.extendReservation(anna, { id: reservation.id, byMinutes: 10 });
  const asked = await charger.expectCall('ReserveNow');
  await extending;
  charger.answer(asked.id, { status: 'Accepted' });
  await charger.call('StatusNotification', status16('Available'));
  const again = await charger.expectCall('ReserveNow');
  expect(again.payload).toEqual(payload);
  charger.answer(again.id, { status: 'Accepted' });
  await eventually(async () => {
    expect(await server.reservation(reservation.id)).toMatchObject({
      status: 'ACCEPTED',
      expiryDate: reservation.expiryDate,
    });
  });
});

it('the second of two simultaneous extensions is refused as NOT_SETTLED', async () => {
  const { charger, reservation } = await reservedRaw();
  const first = server.extendReservation(anna, { id: reservation.id, byMinutes: 10 });
  const asked = await charger.expectCall('ReserveNow');
  const second = await server.extendReservation(anna, { id: reservation.id, byMinutes: 20 });
  expect(second).toMatchObject({ __typename: 'ReservationNotSettled', code: 'NOT_SETTLED' });
  charger.answer(asked.id, { status: 'Accepted' });
  expect(await first).toMatchObject({ status: 'ACCEPTED', expiryDate: later(reservation.expiryDate, 10) });
});

it('an extension that is accepted after a cancel does not revive the reservation', async () => {
  const { charger, payload, reservation } = await reservedRaw();
  const { id } = reservation;
  const extending = server.extendReservation(anna, { id, byMinutes: 10 });
  const asked = await charger.expectCall('ReserveNow');
  const cancelling = server.cancelReservation(anna, { id });
  await eventually(async () => expect(await server.reservation(id)).toMatchObject({ status: 'CANCELLING' }));
  charger.answer(asked.id, { status: 'Accepted' });
  expect(await extending).toMatchObject({ status: 'CANCELLING' });
  const cancel = await charger.expectCall('CancelReservation');
  expect(cancel.payload).toEqual({ reservationId: payload.reservationId });
  charger.answer(cancel.id, { status: 'Accepted' });
  expect(await cancelling).toMatchObject({ status: 'CANCELLED' });
  const ended = await server.extendReservation(anna, { id, byMinutes: 10 });
  expect(ended).toMatchObject({ __typename: 'ReservationEnded', code: 'ALREADY_ENDED' });
});

it('an extension that is not allowed is refused with its reason', async () => {
  await server.charger('CH1');
  const { id, expiryDate } = await server.reserveNow(anna, input);
  const cleo = await driverToken('CLEO');
  expect(await server.extendReservation(cleo, { id, byMinutes: 5 })).toMatchObject({ code: 'RESERVATION_NOT_FOUND' });
  expect(await server.extendReservation(anna, { id: 'x', byMinutes: 5 })).toMatchObject({
    code: 'RESERVATION_NOT_FOUND',
  });
  const earlier = await server.extendReservation(anna, { id, expiryDate: later(expiryDate, -1) });
  expect(earlier).toMatchObject({ code: 'INVALID_INPUT', field: 'expiryDate' });
  const long = await server.extendReservation(anna, { id, byMinutes: 161 });
  expect(long).toMatchObject({ code: 'POLICY', reasons: [{ rule: 'MAX_DURATION', limitMinutes: 180 }] });
  expect(await server.extendReservation(anna, { id, expiryDate })).toMatchObject({ status: 'ACCEPTED', version: 2 });
  await server.saveSite('site', { extensionAllowed: false });
  expect(await server.extendReservation(anna, { id, byMinutes: 5 })).toMatchObject({
    reasons: [{ rule: 'EXTENSION_ALLOWED' }],
  });
  await server.saveSite('site', { extensionAllowed: true });
  expect(await server.extendReservation(await adminToken(), { id, byMinutes: 160 })).toMatchObject({
    status: 'ACCEPTED',
  });
});
