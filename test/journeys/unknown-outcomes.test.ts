// Unanswered commands: a charger's silence is an unknown outcome, never a refusal. Also CALLERRORs, offline chargers
// and restarts of the server.
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { eventually } from '../support/eventually.ts';
import { createTestDatabase, type TestDatabase } from '../support/test-database.ts';
import { driverToken, operatorToken, TestServer } from '../support/test-server.ts';

let database: TestDatabase;
let server: TestServer;
let anna: string;
const input = { chargerId: 'CH1', connectorId: 1, idTag: 'ANNA' };
const env = { CHARGER_ANSWER_TIMEOUT_SECONDS: '1' };

beforeEach(async () => {
  database = await createTestDatabase();
  server = await TestServer.start({ database, env });
  await server.fill();
  anna = await driverToken('ANNA');
});
afterEach(async () => {
  await server.stop();
  await database.drop();
});

describe('an unanswered ReserveNow', () => {
  it('a reservation without an answer keeps its connector as UNKNOWN, and a late Accepted makes it ACCEPTED', async () => {
    const charger = await server.rawCharger('CH1');
    const reserving = server.reserveNow(anna, input);
    const { id } = await charger.expectCall('ReserveNow');
    const { id: reservation, status, reason } = await reserving;
    expect({ status, reason }).toEqual({ status: 'UNKNOWN', reason: 'TIMEOUT' });
    expect(await server.reserveNow(anna, input)).toMatchObject({ __typename: 'ConnectorTaken' });
    charger.answer(id, { status: 'Accepted' });
    await eventually(async () => expect(await server.reservation(reservation)).toMatchObject({ status: 'ACCEPTED' }));
  });

  it('a late refusal ends an UNKNOWN reservation as REJECTED', async () => {
    const charger = await server.rawCharger('CH1');
    const reserving = server.reserveNow(anna, input);
    const { id } = await charger.expectCall('ReserveNow');
    const { id: reservation } = await reserving;
    charger.answer(id, { status: 'Occupied' });
    await eventually(async () =>
      expect(await server.reservation(reservation)).toMatchObject({ status: 'REJECTED', reason: 'OCCUPIED' }),
    );
  });

  it('an UNKNOWN reservation is sent again under the same id, and Accepted settles it', async () => {
    const charger = await server.rawCharger('CH1');
    const reserving = server.reserveNow(anna, input);
    const first = await charger.expectCall('ReserveNow');
    const { id } = await reserving;
    const again = await charger.expectCall('ReserveNow');
    expect(again.payload).toEqual(first.payload);
    charger.answer(again.id, { status: 'Accepted' });
    await eventually(async () => expect(await server.reservation(id)).toMatchObject({ status: 'ACCEPTED' }));
  });

  it('a repeated ReserveNow that is refused is followed by CancelReservation before the reservation is REJECTED', async () => {
    const charger = await server.rawCharger('CH1');
    const reserving = server.reserveNow(anna, input);
    await charger.expectCall('ReserveNow');
    const { id } = await reserving;
    const again = await charger.expectCall('ReserveNow');
    charger.answer(again.id, { status: 'Occupied' });
    const cancel = await charger.expectCall('CancelReservation');
    charger.answer(cancel.id, { status: 'Accepted' });
    await eventually(async () => expect(await server.reservation(id)).toMatchObject({ status: 'REJECTED' }));
  });

  it('a late Accepted of the first ReserveNow stands, although the charger refuses the repeated one', async () => {
    const charger = await server.rawCharger('CH1');
    const reserving = server.reserveNow(anna, input);
    const first = await charger.expectCall('ReserveNow');
    const { id } = await reserving;
    const again = await charger.expectCall('ReserveNow');
    charger.answer(first.id, { status: 'Accepted' });
    await eventually(async () => expect(await server.reservation(id)).toMatchObject({ status: 'ACCEPTED' }));
    charger.answer(again.id, { status: 'Occupied' });
    await charger.call('Heartbeat', {});
    const cancelling = server.cancelReservation(anna, { id });
    // The first CancelReservation comes from the driver's cancel: the settler sent none.
    const cancel = await charger.expectCall('CancelReservation');
    charger.answer(cancel.id, { status: 'Accepted' });
    expect(await cancelling).toMatchObject({ status: 'CANCELLED', version: 5 });
  });

  it('a CALLERROR to the repeated ReserveNow is followed by CancelReservation before the reservation is REJECTED', async () => {
    const charger = await server.rawCharger('CH1');
    const reserving = server.reserveNow(anna, input);
    await charger.expectCall('ReserveNow');
    const { id } = await reserving;
    const again = await charger.expectCall('ReserveNow');
    charger.send([4, again.id, 'PropertyConstraintViolation', '', {}]);
    const cancel = await charger.expectCall('CancelReservation');
    expect(await server.reservation(id)).toMatchObject({ status: 'UNKNOWN' });
    charger.answer(cancel.id, { status: 'Rejected' });
    await eventually(async () => expect(await server.reservation(id)).toMatchObject({ status: 'REJECTED' }));
  });

  it('an unanswered ReserveNow whose reservation was meanwhile ended by force is followed by CancelReservation', async () => {
    const charger = await server.rawCharger('CH1');
    const reserving = server.reserveNow(anna, input);
    const { payload } = await charger.expectCall('ReserveNow');
    const [row] = await database.query<{ id: string }>('SELECT id FROM reservation');
    const forced = await server.cancelReservation(await operatorToken('site'), { id: row?.id, force: true });
    expect(forced).toMatchObject({ status: 'CANCELLED' });
    await reserving;
    const cancel = await charger.expectCall('CancelReservation');
    expect(cancel.payload).toEqual({ reservationId: payload.reservationId });
    charger.answer(cancel.id, { status: 'Accepted' });
  });

  it('a StatusNotification Reserved makes an UNKNOWN reservation ACCEPTED', async () => {
    const charger = await server.rawCharger('CH1');
    const reserving = server.reserveNow(anna, input);
    await charger.expectCall('ReserveNow');
    const { id } = await reserving;
    await charger.call('StatusNotification', { connectorId: 1, errorCode: 'NoError', status: 'Reserved' });
    expect(await server.reservation(id)).toMatchObject({ status: 'ACCEPTED' });
  });

  it('a socket that breaks after ReserveNow was sent leaves the reservation UNKNOWN, which is settled when the charger reconnects', async () => {
    const charger = await server.rawCharger('CH1');
    const reserving = server.reserveNow(anna, input);
    const first = await charger.expectCall('ReserveNow');
    charger.socket.terminate();
    const { id, ...rest } = await reserving;
    expect(rest).toMatchObject({ status: 'UNKNOWN', reason: 'CHARGER_LOST' });
    const back = await server.rawCharger('CH1');
    const again = await back.expectCall('ReserveNow');
    expect(again.payload.reservationId).toBe(first.payload.reservationId);
    back.answer(again.id, { status: 'Accepted' });
    await eventually(async () => expect(await server.reservation(id)).toMatchObject({ status: 'ACCEPTED' }));
  });

  it('an UNKNOWN reservation ends at its expiry date as FAILED, and a later Accepted is cancelled on the charger', async () => {
    const charger = await server.rawCharger('CH1');
    const reserving = server.reserveNow(anna, { ...input, durationMinutes: 5 });
    const { id, payload } = await charger.expectCall('ReserveNow');
    const { id: reservation } = await reserving;
    server.clock.advance(5 * 60_000);
    await eventually(async () =>
      expect(await server.reservation(reservation)).toMatchObject({ status: 'FAILED', reason: 'TIMEOUT' }),
    );
    await charger.call('StatusNotification', { connectorId: 1, errorCode: 'NoError', status: 'Reserved' });
    charger.answer(id, { status: 'Accepted' });
    const cancel = await charger.expectCall('CancelReservation');
    expect(cancel.payload).toEqual({ reservationId: payload.reservationId });
    charger.answer(cancel.id, { status: 'Accepted' });
    expect(await server.reservation(reservation)).toMatchObject({ status: 'FAILED' });
  });
});

describe('waitMs', () => {
  it('waitMs 0 returns the PENDING reservation at once, and the charger’s answer reaches the watchers', async () => {
    const charger = await server.rawCharger('CH1');
    const pending = await server.reserveNow(anna, { ...input, waitMs: 0 });
    expect(pending).toMatchObject({ status: 'PENDING', version: 1 });
    const events = await server.watchReservations(anna, { reservationId: pending.id });
    const { id } = await charger.expectCall('ReserveNow');
    charger.answer(id, { status: 'Accepted' });
    expect(await events.until(({ type }) => type !== 'REQUESTED')).toMatchObject({ type: 'ACCEPTED' });
  });
});

describe('CALLERROR', () => {
  it('after a CALLERROR NotSupported the next reserveNow is refused as not supported', async () => {
    const charger = await server.rawCharger('CH1');
    const reserving = server.reserveNow(anna, input);
    const { id } = await charger.expectCall('ReserveNow');
    charger.send([4, id, 'NotSupported', '', {}]);
    expect(await reserving).toMatchObject({ __typename: 'ChargerRefused', answer: 'NOT_SUPPORTED' });
    expect(await server.reserveNow(anna, input)).toMatchObject({ __typename: 'ReservationNotSupported' });
  });

  it('a CALLERROR InternalError is a refusal and is followed by a CancelReservation', async () => {
    const charger = await server.rawCharger('CH1');
    const reserving = server.reserveNow(anna, input);
    const { id, payload } = await charger.expectCall('ReserveNow');
    charger.send([4, id, 'InternalError', 'sorry', {}]);
    expect(await reserving).toMatchObject({ __typename: 'ChargerRefused', answer: 'REJECTED' });
    const cancel = await charger.expectCall('CancelReservation');
    expect(cancel.payload).toEqual({ reservationId: payload.reservationId });
    charger.answer(cancel.id, { status: 'Rejected' });
  });
});

describe('an offline charger', () => {
  it('reserveNow for an offline charger is refused at once, and nothing is queued for the charger', async () => {
    expect(await server.reserveNow(anna, input)).toMatchObject({
      __typename: 'ChargerOffline',
      code: 'CHARGER_OFFLINE',
    });
    const charger = await server.rawCharger('CH1');
    await charger.call('Heartbeat', {});
    expect(charger.calls.all).toEqual([]);
  });

  it('a cancel for an offline charger is stored, and sent when the charger reconnects', async () => {
    const charger = await server.charger('CH1');
    const { id } = await server.reserveNow(anna, input);
    await charger.disconnect();
    await eventually(async () => {
      const result = await server.cancelReservation(anna, { id });
      expect(result).toMatchObject({ __typename: 'ChargerOffline', reservation: { status: 'CANCELLING' } });
    });
    await charger.connect();
    await eventually(async () =>
      expect(await server.reservation(id)).toMatchObject({ status: 'CANCELLED', reason: 'DRIVER_REQUEST' }),
    );
    expect(charger.reservations).toEqual([]);
  });

  it('an operator, but no driver, ends a hold of an offline charger by force, and the charger releases it when it reconnects', async () => {
    const charger = await server.charger('CH1');
    const { id } = await server.reserveNow(anna, input);
    await charger.disconnect();
    expect(await server.cancelReservation(anna, { id, force: true })).toMatchObject({ code: 'FORBIDDEN' });
    const forced = await server.cancelReservation(await operatorToken('site'), { id, force: true });
    expect(forced).toMatchObject({ status: 'CANCELLED', reason: 'OPERATOR_REQUEST' });
    await charger.connect();
    await eventually(() => expect(charger.reservations).toEqual([]));
  });

  it('a cancel that the charger never answers ends as CANCELLED at the expiry date', async () => {
    const charger = await server.charger('CH1');
    const { id } = await server.reserveNow(anna, { ...input, durationMinutes: 5 });
    charger.behaviour = { type: 'silent' };
    expect(await server.cancelReservation(anna, { id })).toMatchObject({ status: 'CANCELLING' });
    server.clock.advance(5 * 60_000);
    await eventually(async () =>
      expect(await server.reservation(id)).toMatchObject({ status: 'CANCELLED', reason: 'DRIVER_REQUEST' }),
    );
  });
});

describe('a restart of the server', () => {
  it('an accepted hold survives a restart and expires in the next process', async () => {
    await server.charger('CH1');
    const { id } = await server.reserveNow(anna, { ...input, durationMinutes: 5 });
    await server.stop();
    server = await TestServer.start({ database, env });
    expect(await server.reservation(id)).toMatchObject({ status: 'ACCEPTED' });
    expect(await server.reserveNow(anna, input)).toMatchObject({ __typename: 'ConnectorTaken' });
    server.clock.advance(5 * 60_000);
    await eventually(async () => expect(await server.reservation(id)).toMatchObject({ status: 'EXPIRED' }));
  });

  it('a PENDING row of a process that died becomes UNKNOWN and is settled', async () => {
    const charger = await server.rawCharger('CH1');
    const lost = server.reserveNow(anna, input).catch(() => undefined);
    const first = await charger.expectCall('ReserveNow');
    await lost;
    // Puts the row back to the moment the frame was written, as if the process had died before it stored anything more.
    const [row] = await database.query<{
      id: string;
    }>(`UPDATE reservation SET status = 'PENDING', version = 1, reason = NULL,
      due_at = now() + interval '4 seconds' RETURNING id`);
    await database.query('DELETE FROM event WHERE version > 1');
    await server.stop();
    server = await TestServer.start({ database, env });
    const back = await server.rawCharger('CH1');
    const again = await back.expectCall('ReserveNow');
    expect(again.payload.reservationId).toBe(first.payload.reservationId);
    back.answer(again.id, { status: 'Accepted' });
    await eventually(async () => expect(await server.reservation(row?.id ?? '')).toMatchObject({ status: 'ACCEPTED' }));
    const steps = await database.query('SELECT to_status FROM event WHERE reservation_id = $1 ORDER BY version', [
      row?.id,
    ]);
    expect(steps).toEqual([{ to_status: 'PENDING' }, { to_status: 'UNKNOWN' }, { to_status: 'ACCEPTED' }]);
  });
});
