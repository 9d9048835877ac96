// Chargers that reboot, flicker, fault or forget: whether their holds still stand afterwards. Also clocks and
// ReservationStatusUpdate.
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { eventually } from '../support/eventually.ts';
import type { RawCharger } from '../support/raw-charger.ts';
import { driverToken, operatorToken, TestServer } from '../support/test-server.ts';

let server: TestServer;
let anna: string;
const input = { chargerId: 'CH1', connectorId: 1, idTag: 'ANNA' };

beforeEach(async () => {
  server = await TestServer.start({ env: { CHARGER_ANSWER_TIMEOUT_SECONDS: '1' } });
  await server.fill();
  anna = await driverToken('ANNA');
});
afterEach(() => server.stop());

const boot16 = { chargePointVendor: 'Raw', chargePointModel: 'One' };
const boot201 = { reason: 'PowerUp', chargingStation: { vendorName: 'Raw', model: 'Two' } };
const status16 = (status: string, connectorId = 1) => ({ connectorId, errorCode: 'NoError', status });
const status201 = (connectorStatus: string, evseId = 1) => ({
  timestamp: new Date().toISOString(),
  connectorStatus,
  evseId,
  connectorId: 1,
});

/** Makes a reservation that the charger accepts. */
async function reserved(charger: RawCharger, extra: object = {}) {
  const reserving = server.reserveNow(anna, { ...input, ...extra });
  const { id, payload } = await charger.expectCall('ReserveNow');
  charger.answer(id, { status: 'Accepted' });
  const reservation = await reserving;
  expect(reservation).toMatchObject({ status: 'ACCEPTED' });
  return { ...reservation, payload };
}
const statusOf = async (id: string) => (await server.reservation(id)).status;
const becomes = (id: string, expected: object) =>
  eventually(async () => expect(await server.reservation(id)).toMatchObject(expected));

describe('a charger that reboots', () => {
  it('1.6: after a boot every live reservation is sent again under its id and stays ACCEPTED', async () => {
    const charger = await server.rawCharger('CH1');
    const { id, payload, version } = await reserved(charger);
    await charger.call('BootNotification', boot16);
    await charger.call('StatusNotification', status16('Reserved'));
    const again = await charger.expectCall('ReserveNow');
    expect(again.payload).toEqual(payload);
    charger.answer(again.id, { status: 'Accepted' });
    await eventually(async () => {
      const [row] = await server.database.query('SELECT due_at FROM reservation');
      expect(row).toEqual({ due_at: null });
    });
    expect(await server.reservation(id)).toMatchObject({ status: 'ACCEPTED', version });
  });

  it('1.6: a ReserveNow refused after a boot, while the connector says Reserved, leaves the reservation ACCEPTED', async () => {
    const charger = await server.rawCharger('CH1');
    const { id } = await reserved(charger);
    await charger.call('BootNotification', boot16);
    await charger.call('StatusNotification', status16('Reserved'));
    const again = await charger.expectCall('ReserveNow');
    charger.answer(again.id, { status: 'Occupied' });
    await eventually(async () => {
      const [row] = await server.database.query('SELECT due_at FROM reservation');
      expect(row).toEqual({ due_at: null });
    });
    expect(await statusOf(id)).toBe('ACCEPTED');
  });

  it('1.6: a ReserveNow refused after a boot, before any StatusNotification, is sent again later, without a CancelReservation', async () => {
    const charger = await server.rawCharger('CH1');
    const { id } = await reserved(charger);
    await charger.call('BootNotification', boot16);
    const early = await charger.expectCall('ReserveNow');
    charger.answer(early.id, { status: 'Occupied' });
    await eventually(async () => {
      const rows = await server.database.query('SELECT FROM reservation WHERE attempts > 1 AND claimed_until IS NULL');
      expect(rows).toHaveLength(1);
    });
    await charger.call('StatusNotification', status16('Reserved'));
    server.clock.advance(10_000);
    const again = await charger.expectCall('ReserveNow');
    charger.answer(again.id, { status: 'Occupied' });
    await eventually(async () => {
      const [row] = await server.database.query('SELECT due_at FROM reservation');
      expect(row).toEqual({ due_at: null });
    });
    expect(await statusOf(id)).toBe('ACCEPTED');
    expect(charger.calls.all.filter(([, , action]) => action === 'CancelReservation')).toEqual([]);
  });

  it('a reservation refused after a boot, while the connector says Available, becomes REMOVED and is cancelled on the charger', async () => {
    const charger = await server.rawCharger('CH1');
    const { id, payload } = await reserved(charger);
    await charger.call('BootNotification', boot16);
    await charger.call('StatusNotification', status16('Available'));
    const again = await charger.expectCall('ReserveNow');
    charger.answer(again.id, { status: 'Rejected' });
    await becomes(id, { status: 'REMOVED', reason: 'CHARGER_LOST' });
    const cancel = await charger.expectCall('CancelReservation');
    expect(cancel.payload.reservationId).toBe(payload.reservationId);
    charger.answer(cancel.id, { status: 'Rejected' });
  });

  it('2.0.1: after a boot a connector that says Reserved gets no second ReserveNow, and one that says Available does', async () => {
    const charger = await server.rawCharger('CH1', 'ocpp2.0.1');
    const first = await reserved(charger);
    const second = await reserved(charger, { connectorId: 2 });
    await charger.call('BootNotification', boot201);
    await charger.call('StatusNotification', status201('Reserved', 1));
    await charger.call('StatusNotification', status201('Available', 2));
    const again = await charger.expectCall('ReserveNow');
    expect(again.payload).toEqual(second.payload);
    charger.answer(again.id, { status: 'Accepted' });
    await eventually(async () => {
      const rows = await server.database.query('SELECT due_at FROM reservation');
      expect(rows).toEqual([{ due_at: null }, { due_at: null }]);
    });
    expect([await statusOf(first.id), await statusOf(second.id)]).toEqual(['ACCEPTED', 'ACCEPTED']);
    expect(charger.calls.all.filter(([, , action]) => action === 'ReserveNow')).toHaveLength(3);
  });

  it('a ReserveNow that is not answered after a boot makes the reservation UNKNOWN, settled like any silence', async () => {
    const charger = await server.rawCharger('CH1');
    const { id } = await reserved(charger);
    await charger.call('BootNotification', boot16);
    await charger.expectCall('ReserveNow');
    await becomes(id, { status: 'UNKNOWN', reason: 'TIMEOUT' });
    const again = await charger.expectCall('ReserveNow');
    charger.answer(again.id, { status: 'Accepted' });
    await becomes(id, { status: 'ACCEPTED' });
  });

  it('after a boot the server waits for the offline queue: a start in it uses the reservation, and no ReserveNow is sent', async () => {
    const before = await server.rawCharger('CH1');
    const { id, payload } = await reserved(before);
    before.socket.terminate();
    const charger = await server.rawCharger('CH1');
    await charger.call('BootNotification', boot16);
    await charger.call('StatusNotification', status16('Charging'));
    // The queue drains slowly, as over a bad line: each message is sent only after the one before was answered.
    for (let index = 0; index < 4; index += 1) {
      server.clock.advance(1500);
      const timestamp = new Date(server.clock.now().getTime() - 5000).toISOString();
      const idTag = index < 3 ? 'CLEO' : 'ANNA';
      const connectorId = index < 3 ? 2 : 1;
      const label = index < 3 ? {} : { reservationId: payload.reservationId };
      await charger.call('StartTransaction', { connectorId, idTag, meterStart: index, timestamp, ...label });
    }
    await becomes(id, { status: 'USED' });
    server.clock.advance(10_000);
    await charger.call('Heartbeat', {});
    await eventually(async () => {
      const [row] = await server.database.query('SELECT due_at FROM reservation');
      expect(row).toEqual({ due_at: null });
    });
    expect(charger.calls.all.filter(([, , action]) => action === 'ReserveNow')).toEqual([]);
  });

  it('a reconnect without a boot triggers no command', async () => {
    const before = await server.rawCharger('CH1');
    const { id } = await reserved(before);
    before.socket.terminate();
    const charger = await server.rawCharger('CH1');
    server.clock.advance(10_000);
    await charger.call('Heartbeat', {});
    server.clock.advance(10_000);
    await charger.call('Heartbeat', {});
    expect(await statusOf(id)).toBe('ACCEPTED');
    expect(charger.calls.all).toEqual([]);
  });
});

describe('a StatusNotification Available during a hold', () => {
  it('1.6: a connector that says Available only for a moment triggers no second ReserveNow', async () => {
    const charger = await server.rawCharger('CH1');
    const { id } = await reserved(charger);
    for (const status of ['Reserved', 'Available', 'Reserved']) {
      await charger.call('StatusNotification', status16(status));
    }
    server.clock.advance(3000);
    await eventually(async () => {
      const [row] = await server.database.query('SELECT due_at FROM reservation');
      expect(row).toEqual({ due_at: null });
    });
    expect(await statusOf(id)).toBe('ACCEPTED');
    expect(charger.calls.all.filter(([, , action]) => action === 'ReserveNow')).toHaveLength(1);
  });

  it('1.6: a connector that stays Available inside a hold gets the same ReserveNow again, after a pause', async () => {
    const charger = await server.rawCharger('CH1');
    const { id, payload } = await reserved(charger);
    await charger.call('StatusNotification', status16('Reserved'));
    await charger.call('StatusNotification', status16('Available'));
    expect(charger.calls.all.filter(([, , action]) => action === 'ReserveNow')).toHaveLength(1);
    server.clock.advance(3000);
    const again = await charger.expectCall('ReserveNow');
    expect(again.payload).toEqual(payload);
    charger.answer(again.id, { status: 'Accepted' });
    await charger.call('Heartbeat', {});
    expect(await statusOf(id)).toBe('ACCEPTED');
  });

  it('Available triggers no second ReserveNow for a hold of connector 0 in 1.6, nor for a hold in 2.x', async () => {
    const one = await server.rawCharger('CH1');
    await reserved(one, { connectorId: 0 });
    await server.saveCharger('CH2');
    const two = await server.rawCharger('CH2', 'ocpp2.0.1');
    const reserving = server.reserveNow(anna, { ...input, chargerId: 'CH2' });
    const { id } = await two.expectCall('ReserveNow');
    two.answer(id, { status: 'Accepted' });
    await reserving;
    await one.call('StatusNotification', status16('Available'));
    await two.call('StatusNotification', status201('Available'));
    server.clock.advance(5000);
    await Promise.all([one.call('Heartbeat', {}), two.call('Heartbeat', {})]);
    server.clock.advance(5000);
    await Promise.all([one.call('Heartbeat', {}), two.call('Heartbeat', {})]);
    for (const { calls } of [one, two]) {
      expect(calls.all.filter(([, , action]) => action === 'ReserveNow')).toHaveLength(1);
    }
  });
});

describe('a charger that faults but keeps its hold', () => {
  it('after a fault Available does not revive the reservation, and Reserved is followed by a CancelReservation', async () => {
    const charger = await server.rawCharger('CH1');
    const { id, payload } = await reserved(charger);
    await charger.call('StatusNotification', status16('Faulted'));
    expect(await server.reservation(id)).toMatchObject({ status: 'REMOVED', reason: 'CHARGER_FAULTED' });
    await charger.call('StatusNotification', status16('Available'));
    expect(await statusOf(id)).toBe('REMOVED');
    await charger.call('StatusNotification', status16('Reserved'));
    const cancel = await charger.expectCall('CancelReservation');
    expect(cancel.payload).toEqual({ reservationId: payload.reservationId });
    charger.answer(cancel.id, { status: 'Accepted' });
    expect(await statusOf(id)).toBe('REMOVED');
  });

  it('after a fault the CancelReservation names the hold that the charger accepted, not one that it refused since', async () => {
    const charger = await server.rawCharger('CH1');
    const { payload } = await reserved(charger);
    await charger.call('StatusNotification', status16('Faulted'));
    const refusing = server.reserveNow(anna, input);
    const refused = await charger.expectCall('ReserveNow');
    charger.answer(refused.id, { status: 'Faulted' });
    expect(await refusing).toMatchObject({ answer: 'FAULTED' });
    await charger.call('StatusNotification', status16('Reserved'));
    const cancel = await charger.expectCall('CancelReservation');
    expect(cancel.payload).toEqual({ reservationId: payload.reservationId });
    charger.answer(cancel.id, { status: 'Accepted' });
  });

  it('1.6: Unavailable on connector 0 ends every hold of the charger', async () => {
    const charger = await server.rawCharger('CH1');
    const one = await reserved(charger);
    const two = await reserved(charger, { connectorId: 2 });
    await charger.call('StatusNotification', status16('Unavailable', 0));
    for (const { id } of [one, two]) {
      expect(await server.reservation(id)).toMatchObject({ status: 'REMOVED', reason: 'CHARGER_UNAVAILABLE' });
    }
  });

  it('2.x: a connector that stays Faulted ends its hold after a while if ReservationStatusUpdate is lost', async () => {
    const charger = await server.rawCharger('CH1', 'ocpp2.1');
    const { id } = await reserved(charger);
    await charger.call('StatusNotification', status201('Faulted'));
    expect(await statusOf(id)).toBe('ACCEPTED');
    server.clock.advance(3000);
    await becomes(id, { status: 'REMOVED', reason: 'CHARGER_FAULTED' });
  });
});

describe('clocks of the server and the charger', () => {
  it('expiryDate is sent in UTC, and the hold ends by the server’s clock', async () => {
    const charger = await server.rawCharger('CH1');
    const { id, payload, expiryDate } = await reserved(charger, { durationMinutes: 10 });
    expect(payload.expiryDate).toMatch(/Z$/);
    expect(payload.expiryDate).toBe(expiryDate);
    await charger.call('StatusNotification', status16('Reserved'));
    server.clock.advance(10 * 60_000);
    await becomes(id, { status: 'EXPIRED', reason: 'NO_SHOW' });
    server.clock.advance(10_000);
    const cancel = await charger.expectCall('CancelReservation');
    charger.answer(cancel.id, { status: 'Accepted' });
  });

  it('a charger that released an expired hold by itself gets no CancelReservation', async () => {
    const charger = await server.rawCharger('CH1');
    const { id } = await reserved(charger, { durationMinutes: 10 });
    await charger.call('StatusNotification', status16('Reserved'));
    server.clock.advance(10 * 60_000);
    await becomes(id, { status: 'EXPIRED' });
    await charger.call('StatusNotification', status16('Available'));
    server.clock.advance(15_000);
    await eventually(async () => {
      const [row] = await server.database.query('SELECT is_release_owed FROM reservation');
      expect(row).toEqual({ is_release_owed: false });
    });
    expect(charger.calls.all.filter(([, , action]) => action === 'CancelReservation')).toEqual([]);
  });

  it('clockSkewSeconds is measured on messages sent live, not on those that may come from the offline queue', async () => {
    const charger = await server.rawCharger('CH1');
    const skewed = () => ({ ...status16('Available'), timestamp: new Date(Date.now() + 90_000).toISOString() });
    await charger.call('StatusNotification', skewed());
    const skew = async () =>
      (await server.graphql(await operatorToken('site'), '{ charger(id: "CH1") { clockSkewSeconds } }')).charger
        .clockSkewSeconds;
    // The message may come from the charger's offline queue, so its timestamp proves nothing.
    expect(await skew()).toBeNull();
    server.clock.advance(3000);
    await charger.call('StatusNotification', skewed());
    await eventually(async () => expect(await skew()).toBe(87));
  });
});

describe('ReservationStatusUpdate', () => {
  it('a ReservationStatusUpdate for an unknown id is answered and changes nothing', async () => {
    const charger = await server.rawCharger('CH1', 'ocpp2.0.1');
    const { id } = await reserved(charger);
    const update = { reservationId: 424_242, reservationUpdateStatus: 'Removed' };
    expect(await charger.call('ReservationStatusUpdate', update)).toEqual({});
    expect(await statusOf(id)).toBe('ACCEPTED');
  });

  it('the first final ReservationStatusUpdate sets the status, and the next one is kept as chargerSaid', async () => {
    const charger = await server.rawCharger('CH1', 'ocpp2.0.1');
    const { id, payload } = await reserved(charger);
    for (const reservationUpdateStatus of ['Expired', 'Removed', 'Expired']) {
      await charger.call('ReservationStatusUpdate', { reservationId: payload.id, reservationUpdateStatus });
    }
    const query = 'query ($id: ID!) { reservation(id: $id) { status version chargerSaid } }';
    const { reservation } = await server.graphql(anna, query, { id });
    expect(reservation).toEqual({ status: 'EXPIRED', version: 3, chargerSaid: 'REMOVED' });
  });
});
