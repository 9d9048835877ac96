// Certification cases of OCPP 1.6 for reservations, in raw frames, and the deviations of real chargers.
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { eventually } from '../support/eventually.ts';
import type { RawCharger } from '../support/raw-charger.ts';
import { driverToken, operatorToken, TestServer } from '../support/test-server.ts';

let server: TestServer;
let anna: string;
let operator: string;
let charger: RawCharger;
let count = 0;
let chargerId: string;

beforeAll(async () => {
  server = await TestServer.start({ env: { CHARGER_ANSWER_TIMEOUT_SECONDS: '1' } });
  await server.fill();
  anna = await driverToken('ANNA');
  operator = await operatorToken('site');
});
afterAll(() => server.stop());

beforeEach(async () => {
  count += 1;
  chargerId = `CS${count}`;
  await server.saveCharger(chargerId);
  charger = await server.rawCharger(chargerId);
  for (const connectorId of [0, 1, 2]) await status(connectorId, 'Available');
});

const now = () => new Date().toISOString();
const status = (connectorId: number, value: string, errorCode = 'NoError') =>
  charger.call('StatusNotification', { connectorId, errorCode, status: value });
const start = (idTag: string, extra: object = {}) =>
  charger.call('StartTransaction', { connectorId: 1, idTag, meterStart: 0, timestamp: now(), ...extra });

/**
 * Reserves while the charger answers ReserveNow with `answer`; returns the client's result and the ReserveNow payload.
 */
async function reserve(answer = 'Accepted', input: object = {}, token = anna) {
  const reserving = server.reserveNow(token, { chargerId, connectorId: 1, idTag: 'ANNA', ...input });
  const { id, payload } = await charger.expectCall('ReserveNow');
  charger.answer(id, { status: answer });
  return { result: await reserving, payload };
}

const reservation = (id: string) => server.reservation(id);

describe('TC_046: use of a reservation with its reservationId', () => {
  it('ReserveNow has the fields of the specification, and a start with its reservationId makes the reservation USED', async () => {
    const { result, payload } = await reserve('Accepted', { durationMinutes: 10 });
    expect(payload).toEqual({
      connectorId: 1,
      expiryDate: result.expiryDate,
      idTag: 'ANNA',
      reservationId: result.reservationId,
    });
    expect(payload.expiryDate).toMatch(/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/);
    expect(payload.reservationId).toBeGreaterThan(0);
    await status(1, 'Reserved');
    const { transactionId, idTagInfo } = await start('ANNA', { reservationId: payload.reservationId });
    expect(transactionId).toEqual(expect.any(Number));
    expect(idTagInfo).toEqual({ status: 'Accepted', parentIdTag: 'FLEET' });
    expect(await reservation(result.id)).toMatchObject({ status: 'USED', usedConnectorId: 1 });
    const stop = { transactionId, idTag: 'ANNA', meterStop: 9, timestamp: now() };
    expect(await charger.call('StopTransaction', stop)).toMatchObject({ idTagInfo: { status: 'Accepted' } });
  });
});

describe('TC_047: expiry of a reservation', () => {
  it('a reservation ends as EXPIRED by the server’s clock, and its connector can be reserved again at once', async () => {
    const { result } = await reserve('Accepted', {
      expiryDate: new Date(server.clock.now().getTime() + 700).toISOString(),
    });
    await status(1, 'Reserved');
    await eventually(async () =>
      expect(await reservation(result.id)).toMatchObject({ status: 'EXPIRED', reason: 'NO_SHOW' }),
    );
    await status(1, 'Available');
    expect((await reserve()).result).toMatchObject({ status: 'ACCEPTED' });
  });
});

describe('TC_048: refusal by the charger', () => {
  it.each([
    ['TC_048_1', 'Faulted'],
    ['TC_048_2', 'Occupied'],
    ['TC_048_3', 'Unavailable'],
    ['TC_048_4', 'Rejected'],
  ])(
    '%s: the charger’s answer %s is passed on to the client, and the connector can be reserved again',
    async (_, answer) => {
      // The server sends ReserveNow even when the known status predicts a refusal.
      await status(1, answer === 'Occupied' ? 'Preparing' : 'Available');
      const { result } = await reserve(answer);
      expect(result).toMatchObject({
        __typename: 'ChargerRefused',
        code: 'CHARGER_REFUSED',
        answer: answer.toUpperCase(),
        reservation: { status: 'REJECTED', reason: answer.toUpperCase() },
      });
      expect((await reserve()).result).toMatchObject({ status: 'ACCEPTED' });
    },
  );
});

describe('TC_049: reservation of connector 0', () => {
  it('a reservation of connector 0 is used on whichever connector the holder takes', async () => {
    const { result, payload } = await reserve('Accepted', { connectorId: 0 });
    expect(payload.connectorId).toBe(0);
    await start('ANNA', { connectorId: 2, reservationId: payload.reservationId });
    expect(await reservation(result.id)).toMatchObject({ status: 'USED', usedConnectorId: 2 });
  });
});

describe('TC_051 and TC_052: cancellation', () => {
  it.each([
    ['TC_051', 'Accepted'],
    ['TC_052', 'Rejected'], // Rejected: the charger has no such reservation, so the hold is gone either way.
  ])('%s: a CancelReservation answered %s makes the reservation CANCELLED', async (_, answer) => {
    const { result } = await reserve();
    const cancelling = server.cancelReservation(anna, { chargerId, reservationId: result.reservationId });
    const { id, payload } = await charger.expectCall('CancelReservation');
    expect(payload).toEqual({ reservationId: result.reservationId });
    charger.answer(id, { status: answer });
    expect(await cancelling).toMatchObject({ id: result.id, status: 'CANCELLED', reason: 'DRIVER_REQUEST' });
  });

  it('a start before the answer to CancelReservation makes the cancel fail with ALREADY_USED', async () => {
    const { result } = await reserve();
    const cancelling = server.cancelReservation(anna, { id: result.id });
    const { id } = await charger.expectCall('CancelReservation');
    await start('ANNA', { reservationId: result.reservationId });
    charger.answer(id, { status: 'Rejected' });
    expect(await cancelling).toMatchObject({ __typename: 'ReservationEnded', code: 'ALREADY_USED' });
  });

  it('a CALLERROR to CancelReservation is passed on to the client, and the reservation stays CANCELLING', async () => {
    const { result } = await reserve();
    const cancelling = server.cancelReservation(anna, { id: result.id });
    const { id } = await charger.expectCall('CancelReservation');
    charger.send([4, id, 'InternalError', 'sorry', {}]);
    expect(await cancelling).toMatchObject({
      __typename: 'ChargerRefused',
      answer: 'CALL_ERROR',
      reservation: { status: 'CANCELLING' },
    });
  });
});

describe('TC_053: another idTag of the same parent', () => {
  it('another idTag with the reservation’s parentIdTag is accepted and uses the reservation', async () => {
    const { result, payload } = await reserve('Accepted', { parentIdTag: 'FLEET' });
    expect(payload.parentIdTag).toBe('FLEET');
    expect(await charger.call('Authorize', { idTag: 'BEN' })).toEqual({
      idTagInfo: { status: 'Accepted', parentIdTag: 'FLEET' },
    });
    expect((await start('BEN')).idTagInfo.status).toBe('Accepted');
    expect(await reservation(result.id)).toMatchObject({ status: 'USED' });
  });

  it('a start by another idTag of the holder’s parent is Blocked when the reservation names no parentIdTag', async () => {
    const { result } = await reserve();
    expect((await start('BEN')).idTagInfo.status).toBe('Blocked');
    expect(await reservation(result.id)).toMatchObject({ status: 'ACCEPTED' });
  });

  it('a start with the reservation’s parentIdTag as idTag is Invalid', async () => {
    await reserve('Accepted', { parentIdTag: 'FLEET' });
    expect((await start('FLEET')).idTagInfo.status).toBe('Invalid');
  });
});

describe('users who do not hold the reservation', () => {
  it('Authorize answers Blocked only when every connector is held for others, with an expiryDate at most a minute ahead', async () => {
    await reserve();
    expect(await charger.call('Authorize', { idTag: 'CLEO' })).toEqual({ idTagInfo: { status: 'Accepted' } });
    await reserve('Accepted', { connectorId: 2 });
    const { idTagInfo } = await charger.call('Authorize', { idTag: 'CLEO' });
    expect(idTagInfo).toEqual({ status: 'Blocked', expiryDate: expect.any(String) });
    expect(Date.parse(idTagInfo.expiryDate) - Date.now()).toBeLessThanOrEqual(61_000);
    expect(await charger.call('Authorize', { idTag: 'ANNA' })).toMatchObject({ idTagInfo: { status: 'Accepted' } });
    expect(await charger.call('Authorize', { idTag: 'anna' })).toMatchObject({ idTagInfo: { status: 'Accepted' } });
  });

  it('a start by another idTag on a held connector is Blocked with a transactionId, and continued charging is a breach', async () => {
    const { result } = await reserve();
    const refused = await start('CLEO', { reservationId: result.reservationId });
    expect(refused).toMatchObject({ transactionId: expect.any(Number), idTagInfo: { status: 'Blocked' } });
    expect(await reservation(result.id)).toMatchObject({ status: 'ACCEPTED', isBreached: false });
    const events = await server.watchReservations(anna, { reservationId: result.id });
    const meterValue = [{ timestamp: now(), sampledValue: [{ value: '5' }] }];
    await charger.call('MeterValues', { connectorId: 1, transactionId: refused.transactionId, meterValue });
    expect(await events.next()).toMatchObject({ type: 'BREACHED', to: 'ACCEPTED', reservation: { isBreached: true } });
  });

  it('a start on a connector that is not held is Accepted for everybody and leaves the reservation ACCEPTED', async () => {
    const { result } = await reserve();
    expect((await start('CLEO', { connectorId: 2 })).idTagInfo.status).toBe('Accepted');
    expect((await start('ANNA', { connectorId: 2 })).idTagInfo.status).toBe('Accepted');
    expect(await reservation(result.id)).toMatchObject({ status: 'ACCEPTED' });
  });

  it('the API shows others RESERVED and reservedUntil of a held connector, but not the holder', async () => {
    const { result } = await reserve();
    const asked = { chargerId, connectorId: 1, idTag: 'CLEO' };
    expect(await server.authorization(operator, asked)).toEqual({
      status: 'RESERVED',
      reservedUntil: result.expiryDate,
    });
    const { reservation: hidden, reservedUntil } = (
      await server.graphql(
        await driverToken('CLEO'),
        `{ charger(id: "${chargerId}") { connectors { reservedUntil reservation { idTag } } } }`,
      )
    ).charger.connectors[0];
    expect({ hidden, reservedUntil }).toEqual({ hidden: null, reservedUntil: result.expiryDate });
  });
});

describe('starts that chargers report wrongly, twice or late', () => {
  it.each([
    [{}],
    [{ reservationId: 0 }],
    [{ reservationId: -1 }],
    [{ reservationId: null }],
    [{ reservationId: 999_999 }],
  ])('a start by the holder with %j instead of the right reservationId uses the reservation', async (label) => {
    const { result } = await reserve();
    expect((await start('ANNA', label)).idTagInfo.status).toBe('Accepted');
    expect(await reservation(result.id)).toMatchObject({ status: 'USED' });
  });

  it('a start repeated with a new message id makes one transaction and uses one reservation', async () => {
    const first = await reserve();
    const second = await reserve('Accepted', { connectorId: 0 });
    const timestamp = now();
    const one = await start('ANNA', { timestamp });
    const other = await start('ANNA', { timestamp });
    expect(other.transactionId).toBe(one.transactionId);
    expect(await reservation(first.result.id)).toMatchObject({ status: 'USED' });
    expect(await reservation(second.result.id)).toMatchObject({ status: 'ACCEPTED' });
  });

  it('a start with a blocked idTag leaves the reservation ACCEPTED', async () => {
    await server.saveIdTag('EVE');
    const { result } = await reserve('Accepted', { idTag: 'EVE' }, operator);
    await server.saveIdTag('EVE', { status: 'BLOCKED' });
    expect((await start('EVE', { reservationId: result.reservationId })).idTagInfo.status).toBe('Blocked');
    expect(await reservation(result.id)).toMatchObject({ status: 'ACCEPTED' });
  });

  it('a start dated before the hold, sent from an offline queue, does not use the reservation', async () => {
    const { result } = await reserve();
    const timestamp = new Date(Date.now() - 3_600_000).toISOString();
    expect((await start('ANNA', { timestamp })).idTagInfo.status).toBe('Accepted');
    expect(await reservation(result.id)).toMatchObject({ status: 'ACCEPTED' });
  });

  it('a start dated inside the hold but sent after its end changes the reservation from EXPIRED to USED', async () => {
    const { result } = await reserve('Accepted', { expiryDate: new Date(Date.now() + 700).toISOString() });
    const timestamp = new Date(Date.now() + 100).toISOString();
    await eventually(async () => expect(await reservation(result.id)).toMatchObject({ status: 'EXPIRED' }));
    await start('ANNA', { timestamp, reservationId: result.reservationId });
    expect(await reservation(result.id)).toMatchObject({ status: 'USED' });
  });
});

describe('deviations of real chargers', () => {
  it('a charger’s timestamp without a time zone is read as UTC', async () => {
    const { result } = await reserve();
    const timestamp = now().slice(0, 19);
    expect((await start('ANNA', { timestamp })).idTagInfo.status).toBe('Accepted');
    expect(await reservation(result.id)).toMatchObject({ status: 'USED' });
  });

  it('a start with an impossible timestamp is answered with PropertyConstraintViolation', async () => {
    await expect(start('ANNA', { timestamp: '2026-13-45T99:00:00Z' })).rejects.toThrow('PropertyConstraintViolation');
  });

  it('a ReserveNow answer with an unknown field still makes the reservation ACCEPTED', async () => {
    const reserving = server.reserveNow(anna, { chargerId, connectorId: 1, idTag: 'ANNA' });
    const { id } = await charger.expectCall('ReserveNow');
    charger.answer(id, { status: 'Accepted', vendorNote: 'ok' });
    expect(await reserving).toMatchObject({ status: 'ACCEPTED' });
  });

  it('a start by an idTag whose parentIdTag is too long for OCPP 1.6 is still Accepted', async () => {
    await server.saveIdTag('LONGPARENT', { parentIdTag: 'P'.repeat(21) });
    expect(await start('LONGPARENT')).toMatchObject({
      transactionId: expect.any(Number),
      idTagInfo: { status: 'Accepted' },
    });
  });

  it('an expired reservation of connector 0 is cancelled on the charger, which may have missed the expiry', async () => {
    const { result } = await reserve('Accepted', { connectorId: 0, durationMinutes: 5 });
    server.clock.advance(5 * 60_000);
    await eventually(async () => expect(await reservation(result.id)).toMatchObject({ status: 'EXPIRED' }));
    server.clock.advance(11_000);
    const cancel = await charger.expectCall('CancelReservation');
    expect(cancel.payload).toEqual({ reservationId: result.reservationId });
    charger.answer(cancel.id, { status: 'Rejected' });
  });
});

describe('connector faults', () => {
  it.each([
    [1, 'Faulted', 'CHARGER_FAULTED'],
    [1, 'Unavailable', 'CHARGER_UNAVAILABLE'],
    [0, 'Faulted', 'CHARGER_FAULTED'],
  ])('connector %i reported as %s makes the reservation REMOVED', async (connectorId, value, reason) => {
    const { result } = await reserve();
    await status(connectorId, value, value === 'Faulted' ? 'OtherError' : 'NoError');
    expect(await reservation(result.id)).toMatchObject({ status: 'REMOVED', reason });
    await status(connectorId, 'Available');
    expect(await reservation(result.id)).toMatchObject({ status: 'REMOVED' });
  });

  it('a fault of another connector leaves the reservation ACCEPTED', async () => {
    const { result } = await reserve();
    await status(2, 'Faulted', 'OtherError');
    expect(await reservation(result.id)).toMatchObject({ status: 'ACCEPTED' });
  });
});
