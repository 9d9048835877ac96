// Messages that a charger queued while it was offline, and messages that it sends twice, late or out of order.
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { eventually } from '../support/eventually.ts';
import type { RawCharger } from '../support/raw-charger.ts';
import { driverToken, TestServer } from '../support/test-server.ts';

let server: TestServer;
let anna: string;
let charger: RawCharger;
const input = { chargerId: 'CH1', connectorId: 1, idTag: 'ANNA', durationMinutes: 30 };

async function open(subprotocol: string) {
  charger = await server.rawCharger('CH1', subprotocol);
  const reserving = server.reserveNow(anna, input);
  const { id, payload } = await charger.expectCall('ReserveNow');
  charger.answer(id, { status: 'Accepted' });
  return { ...(await reserving), wireId: payload.reservationId ?? payload.id };
}

beforeEach(async () => {
  server = await TestServer.start();
  await server.fill();
  anna = await driverToken('ANNA');
});
afterEach(() => server.stop());

const ago = (minutes: number) => new Date(server.clock.now().getTime() - minutes * 60_000).toISOString();
const start = (extra: object) =>
  charger.call('StartTransaction', { connectorId: 1, idTag: 'ANNA', meterStart: 5, timestamp: ago(0), ...extra });

describe('OCPP 1.6', () => {
  it.each([0, -1, null, 999_999])(
    'a start with reservationId %s is matched by idTag, connector and window',
    async (reservationId) => {
      const { id } = await open('ocpp1.6');
      const { idTagInfo } = await start({ reservationId });
      expect(idTagInfo.status).toBe('Accepted');
      expect(await server.reservation(id)).toMatchObject({ status: 'USED' });
    },
  );

  it('a start labelled with another charger’s reservationId uses the reservation of its own charger', async () => {
    await server.saveCharger('CH2');
    const other = await server.rawCharger('CH2');
    const reserving = server.reserveNow(await driverToken('CLEO'), { chargerId: 'CH2', connectorId: 1, idTag: 'CLEO' });
    const call = await other.expectCall('ReserveNow');
    other.answer(call.id, { status: 'Accepted' });
    const elsewhere = await reserving;
    const { id } = await open('ocpp1.6');
    await start({ reservationId: call.payload.reservationId });
    expect(await server.reservation(id)).toMatchObject({ status: 'USED' });
    expect(await server.reservation(elsewhere.id)).toMatchObject({ status: 'ACCEPTED' });
  });

  it('a start from an hour ago, sent under two message ids, makes one transaction and does not use a newer reservation', async () => {
    const { id } = await open('ocpp1.6');
    const timestamp = ago(60);
    const first = await start({ timestamp });
    const second = await start({ timestamp });
    expect(second.transactionId).toBe(first.transactionId);
    expect(await server.reservation(id)).toMatchObject({ status: 'ACCEPTED' });
  });

  it('two transactions of a charger without a clock, both dated 1970, stay two transactions', async () => {
    charger = await server.rawCharger('CH1');
    const timestamp = '1970-01-01T00:00:00Z';
    const first = await start({ timestamp, meterStart: 0 });
    await charger.call('StopTransaction', { transactionId: first.transactionId, meterStop: 1, timestamp });
    const second = await start({ timestamp, meterStart: 0 });
    expect(second.transactionId).not.toBe(first.transactionId);
  });

  it('after a refused start with its reservationId, ReserveNow is sent again, since the charger may have dropped the hold', async () => {
    const { id, wireId } = await open('ocpp1.6');
    const refused = await start({ idTag: 'CLEO', reservationId: wireId });
    expect(refused.idTagInfo.status).toBe('Blocked');
    await charger.call('StopTransaction', { transactionId: refused.transactionId, meterStop: 5, timestamp: ago(0) });
    await charger.call('StatusNotification', { connectorId: 1, errorCode: 'NoError', status: 'Available' });
    server.clock.advance(3000);
    const again = await charger.expectCall('ReserveNow');
    expect(again.payload.reservationId).toBe(wireId);
    charger.answer(again.id, { status: 'Accepted' });
    await charger.call('Heartbeat', {});
    expect(await server.reservation(id)).toMatchObject({ status: 'ACCEPTED' });
  });

  it('a breach does not confirm that the charger still holds the reservation: ReserveNow is sent again', async () => {
    const { id, wireId } = await open('ocpp1.6');
    await charger.call('StatusNotification', { connectorId: 1, errorCode: 'NoError', status: 'Reserved' });
    const { transactionId } = await start({ idTag: 'CLEO' });
    const meterValue = [{ timestamp: ago(0), sampledValue: [{ value: '1' }] }];
    await charger.call('MeterValues', { connectorId: 1, transactionId, meterValue });
    expect(await server.reservation(id)).toMatchObject({ status: 'ACCEPTED', isBreached: true });
    server.clock.advance(3000);
    const again = await charger.expectCall('ReserveNow');
    expect(again.payload.reservationId).toBe(wireId);
    charger.answer(again.id, { status: 'Accepted' });
  });

  it('a use without reservationId is followed by a CancelReservation, since the charger may still hold the reservation', async () => {
    const { id, wireId } = await open('ocpp1.6');
    await start({});
    const cancel = await charger.expectCall('CancelReservation');
    expect(cancel.payload).toEqual({ reservationId: wireId });
    charger.answer(cancel.id, { status: 'Rejected' });
    await charger.call('Heartbeat', {});
    expect(await server.reservation(id)).toMatchObject({ status: 'USED' });
  });

  it('a late start from inside the hold turns a reservation REMOVED by a fault into USED', async () => {
    const { id, wireId } = await open('ocpp1.6');
    const timestamp = ago(0);
    server.clock.advance(5000);
    await charger.call('StatusNotification', { connectorId: 1, errorCode: 'OtherError', status: 'Faulted' });
    expect(await server.reservation(id)).toMatchObject({ status: 'REMOVED' });
    await start({ timestamp, reservationId: wireId });
    expect(await server.reservation(id)).toMatchObject({ status: 'USED' });
  });
});

describe.each(['ocpp2.0.1', 'ocpp2.1'])('a charger that speaks %s', (subprotocol) => {
  const event = (eventType: string, seqNo: number, extra: object = {}) =>
    charger.call('TransactionEvent', {
      eventType,
      seqNo,
      timestamp: ago(0),
      triggerReason: 'Authorized',
      transactionInfo: { transactionId: 'T1' },
      evse: { id: 1 },
      ...extra,
    });
  const token = { idToken: { idToken: 'ANNA', type: 'ISO14443' } };

  it('TransactionEvents that arrive out of order and twice make one transaction and one use', async () => {
    const { id, wireId } = await open(subprotocol);
    await event('Ended', 2, { triggerReason: 'EVDeparted' });
    await event('Updated', 1, { ...token, reservationId: wireId });
    await event('Started', 0, { triggerReason: 'CablePluggedIn' });
    await event('Updated', 1, { ...token, reservationId: wireId });
    const transactions = await server.database.query('SELECT wire_id FROM transaction');
    expect(transactions).toEqual([{ wire_id: 'T1' }]);
    const [row] = await server.database.query<{ n: number }>(
      `SELECT count(*)::int AS n FROM event WHERE reservation_id = $1 AND to_status = 'USED'`,
      [id],
    );
    expect(row).toEqual({ n: 1 });
  });
});

it('late and repeated answers to ReserveNow change nothing once the repeated ReserveNow was accepted', async () => {
  charger = await server.rawCharger('CH1');
  const reserving = server.reserveNow(anna, input);
  const first = await charger.expectCall('ReserveNow');
  server.clock.advance(5000);
  const { id } = await reserving;
  server.clock.advance(4000);
  const second = await charger.expectCall('ReserveNow');
  charger.answer(second.id, { status: 'Accepted' });
  await eventually(async () => expect(await server.reservation(id)).toMatchObject({ status: 'ACCEPTED', version: 3 }));
  charger.answer(first.id, { status: 'Accepted' });
  charger.answer(first.id, { status: 'Accepted' });
  charger.answer(second.id, { status: 'Rejected' });
  await charger.call('Heartbeat', {});
  expect(await server.reservation(id)).toMatchObject({ status: 'ACCEPTED', version: 3 });
});
