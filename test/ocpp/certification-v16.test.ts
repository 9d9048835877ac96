// The certification cases of OCPP 1.6 that concern reservations, in raw frames, and their neighbours.
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

/** Reserves and answers with the status; gives what the client was told and what was on the wire. */
async function reserve(answer = 'Accepted', input: object = {}, token = anna) {
  const reserving = server.reserveNow(token, { chargerId, connectorId: 1, idTag: 'ANNA', ...input });
  const { id, payload } = await charger.expectCall('ReserveNow');
  charger.answer(id, { status: answer });
  return { result: await reserving, payload };
}

const reservation = (id: string) => server.reservation(id);

describe('TC_046 reserve, then use with the reservationId', () => {
  it('sends the frame of the specification and ends as USED', async () => {
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

describe('TC_047 expire', () => {
  it('ends as EXPIRED by the clock of the server; the connector can be reserved again at once', async () => {
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

describe('TC_048 refused by the charger', () => {
  it.each([
    ['TC_048_1', 'Faulted'],
    ['TC_048_2', 'Occupied'],
    ['TC_048_3', 'Unavailable'],
    ['TC_048_4', 'Rejected'],
  ])('%s: %s is told as it is, and holds nothing', async (_, answer) => {
    await status(1, answer === 'Occupied' ? 'Preparing' : 'Available'); // Sent although the status is known (case 28).
    const { result } = await reserve(answer);
    expect(result).toMatchObject({
      __typename: 'ChargerRefused',
      code: 'CHARGER_REFUSED',
      answer: answer.toUpperCase(),
      reservation: { status: 'REJECTED', reason: answer.toUpperCase() },
    });
    expect((await reserve()).result).toMatchObject({ status: 'ACCEPTED' });
  });
});

describe('TC_049 connector 0', () => {
  it('is used on whichever connector the holder takes', async () => {
    const { result, payload } = await reserve('Accepted', { connectorId: 0 });
    expect(payload.connectorId).toBe(0);
    await start('ANNA', { connectorId: 2, reservationId: payload.reservationId });
    expect(await reservation(result.id)).toMatchObject({ status: 'USED', usedConnectorId: 2 });
  });
});

describe('TC_051 and TC_052 cancel', () => {
  it.each([
    ['TC_051', 'Accepted'],
    ['TC_052', 'Rejected'], // The charger has none: it is gone either way.
  ])('%s: answered %s, the reservation is CANCELLED', async (_, answer) => {
    const { result } = await reserve();
    const cancelling = server.cancelReservation(anna, { chargerId, reservationId: result.reservationId });
    const { id, payload } = await charger.expectCall('CancelReservation');
    expect(payload).toEqual({ reservationId: result.reservationId });
    charger.answer(id, { status: answer });
    expect(await cancelling).toMatchObject({ id: result.id, status: 'CANCELLED', reason: 'DRIVER_REQUEST' });
  });

  it('a use that is seen before the answer wins: already used (case 4)', async () => {
    const { result } = await reserve();
    const cancelling = server.cancelReservation(anna, { id: result.id });
    const { id } = await charger.expectCall('CancelReservation');
    await start('ANNA', { reservationId: result.reservationId });
    charger.answer(id, { status: 'Rejected' });
    expect(await cancelling).toMatchObject({ __typename: 'ReservationEnded', code: 'ALREADY_USED' });
  });

  it('a CALLERROR is told, and the cancellation is kept', async () => {
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

describe('TC_053 another idTag of the same parent', () => {
  it('is accepted and uses the reservation (case 17)', async () => {
    const { result, payload } = await reserve('Accepted', { parentIdTag: 'FLEET' });
    expect(payload.parentIdTag).toBe('FLEET');
    expect(await charger.call('Authorize', { idTag: 'BEN' })).toEqual({
      idTagInfo: { status: 'Accepted', parentIdTag: 'FLEET' },
    });
    expect((await start('BEN')).idTagInfo.status).toBe('Accepted');
    expect(await reservation(result.id)).toMatchObject({ status: 'USED' });
  });

  it('is no holder where the reservation names no parent', async () => {
    const { result } = await reserve();
    expect((await start('BEN')).idTagInfo.status).toBe('Blocked');
    expect(await reservation(result.id)).toMatchObject({ status: 'ACCEPTED' });
  });

  it('the parent shown as a token is not a member', async () => {
    await reserve('Accepted', { parentIdTag: 'FLEET' });
    expect((await start('FLEET')).idTagInfo.status).toBe('Invalid');
  });
});

describe('other users receive Reserved', () => {
  it('Authorize is refused only when every connector is held for others, and not for long', async () => {
    await reserve();
    expect(await charger.call('Authorize', { idTag: 'CLEO' })).toEqual({ idTagInfo: { status: 'Accepted' } });
    await reserve('Accepted', { connectorId: 2 });
    const { idTagInfo } = await charger.call('Authorize', { idTag: 'CLEO' });
    expect(idTagInfo).toEqual({ status: 'Blocked', expiryDate: expect.any(String) });
    expect(Date.parse(idTagInfo.expiryDate) - Date.now()).toBeLessThanOrEqual(61_000);
    expect(await charger.call('Authorize', { idTag: 'ANNA' })).toMatchObject({ idTagInfo: { status: 'Accepted' } });
    expect(await charger.call('Authorize', { idTag: 'anna' })).toMatchObject({ idTagInfo: { status: 'Accepted' } });
  });

  it('a start on the held connector is refused with a transactionId; going on is a breach', async () => {
    const { result } = await reserve();
    const refused = await start('CLEO', { reservationId: result.reservationId });
    expect(refused).toMatchObject({ transactionId: expect.any(Number), idTagInfo: { status: 'Blocked' } });
    expect(await reservation(result.id)).toMatchObject({ status: 'ACCEPTED', isBreached: false });
    const events = await server.watchReservations(anna, { reservationId: result.id });
    const meterValue = [{ timestamp: now(), sampledValue: [{ value: '5' }] }];
    await charger.call('MeterValues', { connectorId: 1, transactionId: refused.transactionId, meterValue });
    expect(await events.next()).toMatchObject({ type: 'BREACHED', to: 'ACCEPTED', reservation: { isBreached: true } });
  });

  it('the other connector is open to everybody (case 18)', async () => {
    const { result } = await reserve();
    expect((await start('CLEO', { connectorId: 2 })).idTagInfo.status).toBe('Accepted');
    expect((await start('ANNA', { connectorId: 2 })).idTagInfo.status).toBe('Accepted');
    expect(await reservation(result.id)).toMatchObject({ status: 'ACCEPTED' });
  });

  it('the API says RESERVED and until when, never whose', async () => {
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

describe('labels that chargers get wrong (case 15)', () => {
  it.each([
    [{}],
    [{ reservationId: 0 }],
    [{ reservationId: -1 }],
    [{ reservationId: null }],
    [{ reservationId: 999_999 }],
  ])('a start of the holder with %j uses the reservation', async (label) => {
    const { result } = await reserve();
    expect((await start('ANNA', label)).idTagInfo.status).toBe('Accepted');
    expect(await reservation(result.id)).toMatchObject({ status: 'USED' });
  });

  it('the same start twice, with a new message id, is one transaction and one use (case 14)', async () => {
    const first = await reserve();
    const second = await reserve('Accepted', { connectorId: 0 });
    const timestamp = now();
    const one = await start('ANNA', { timestamp });
    const other = await start('ANNA', { timestamp });
    expect(other.transactionId).toBe(one.transactionId);
    expect(await reservation(first.result.id)).toMatchObject({ status: 'USED' });
    expect(await reservation(second.result.id)).toMatchObject({ status: 'ACCEPTED' });
  });

  it('a start that was refused consumes nothing (case 16)', async () => {
    await server.saveIdTag('EVE');
    const { result } = await reserve('Accepted', { idTag: 'EVE' }, operator);
    await server.saveIdTag('EVE', { status: 'BLOCKED' });
    expect((await start('EVE', { reservationId: result.reservationId })).idTagInfo.status).toBe('Blocked');
    expect(await reservation(result.id)).toMatchObject({ status: 'ACCEPTED' });
  });

  it('a start from before the hold, out of an offline queue, is not its use', async () => {
    const { result } = await reserve();
    const timestamp = new Date(Date.now() - 3_600_000).toISOString();
    expect((await start('ANNA', { timestamp })).idTagInfo.status).toBe('Accepted');
    expect(await reservation(result.id)).toMatchObject({ status: 'ACCEPTED' });
  });

  it('a late message of a start inside the hold corrects its end (case 3)', async () => {
    const { result } = await reserve('Accepted', { expiryDate: new Date(Date.now() + 700).toISOString() });
    const timestamp = new Date(Date.now() + 100).toISOString();
    await eventually(async () => expect(await reservation(result.id)).toMatchObject({ status: 'EXPIRED' }));
    await start('ANNA', { timestamp, reservationId: result.reservationId });
    expect(await reservation(result.id)).toMatchObject({ status: 'USED' });
  });
});

describe('what real chargers write', () => {
  it('a time without a zone is UTC', async () => {
    const { result } = await reserve();
    const timestamp = now().slice(0, 19);
    expect((await start('ANNA', { timestamp })).idTagInfo.status).toBe('Accepted');
    expect(await reservation(result.id)).toMatchObject({ status: 'USED' });
  });

  it('a time that is none is named', async () => {
    await expect(start('ANNA', { timestamp: '2026-13-45T99:00:00Z' })).rejects.toThrow('PropertyConstraintViolation');
  });

  it('an unknown member of an answer does not make it silence', async () => {
    const reserving = server.reserveNow(anna, { chargerId, connectorId: 1, idTag: 'ANNA' });
    const { id } = await charger.expectCall('ReserveNow');
    charger.answer(id, { status: 'Accepted', vendorNote: 'ok' });
    expect(await reserving).toMatchObject({ status: 'ACCEPTED' });
  });

  it('a parentIdTag that is too long for 1.6 is left out of the answer, which comes all the same', async () => {
    await server.saveIdTag('LONGPARENT', { parentIdTag: 'P'.repeat(21) });
    expect(await start('LONGPARENT')).toMatchObject({
      transactionId: expect.any(Number),
      idTagInfo: { status: 'Accepted' },
    });
  });

  it('a hold without connector that expired is released on the charger, which may have missed it', async () => {
    const { result } = await reserve('Accepted', { connectorId: 0, durationMinutes: 5 });
    server.clock.advance(5 * 60_000);
    await eventually(async () => expect(await reservation(result.id)).toMatchObject({ status: 'EXPIRED' }));
    server.clock.advance(11_000);
    const cancel = await charger.expectCall('CancelReservation');
    expect(cancel.payload).toEqual({ reservationId: result.reservationId });
    charger.answer(cancel.id, { status: 'Rejected' });
  });
});

describe('faults (case 19)', () => {
  it.each([
    [1, 'Faulted', 'CHARGER_FAULTED'],
    [1, 'Unavailable', 'CHARGER_UNAVAILABLE'],
    [0, 'Faulted', 'CHARGER_FAULTED'],
  ])('connector %i %s removes the reservation', async (connectorId, value, reason) => {
    const { result } = await reserve();
    await status(connectorId, value, value === 'Faulted' ? 'OtherError' : 'NoError');
    expect(await reservation(result.id)).toMatchObject({ status: 'REMOVED', reason });
    await status(connectorId, 'Available');
    expect(await reservation(result.id)).toMatchObject({ status: 'REMOVED' });
  });

  it('a fault of the other connector leaves it', async () => {
    const { result } = await reserve();
    await status(2, 'Faulted', 'OtherError');
    expect(await reservation(result.id)).toMatchObject({ status: 'ACCEPTED' });
  });
});
