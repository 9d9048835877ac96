// Holds of the server on chargers without the Reservation profile, reservationIds on the wire, and checks that are left
// to the site's policy.
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { eventually } from '../support/eventually.ts';
import { driverToken, operatorToken, TestServer } from '../support/test-server.ts';

let server: TestServer;
let anna: string;
const input = { chargerId: 'CH1', connectorId: 1, idTag: 'ANNA' };

beforeEach(async () => {
  server = await TestServer.start();
  await server.fill();
  anna = await driverToken('ANNA');
});
afterEach(() => server.stop());

describe('a charger without the Reservation profile', () => {
  it('reserveNow on a charger without the Reservation profile is refused as NOT_SUPPORTED', async () => {
    await server.charger('CH1', '1.6', { supportsReservation: false });
    expect(await server.reserveNow(anna, input)).toMatchObject({ code: 'NOT_SUPPORTED' });
  });

  it.each(['1.6', '2.0.1'] as const)(
    'OCPP %s: the server holds the connector itself where the policy allows it, without a command to the charger',
    async (version) => {
      await server.saveSite('site', { serverSideHoldAllowed: true });
      const charger = await server.charger('CH1', version, { supportsReservation: false });
      const held = await server.reserveNow(anna, { ...input, durationMinutes: 30 });
      expect(held).toMatchObject({ status: 'ACCEPTED', enforcement: 'SERVER', version: 2 });
      expect(await server.reserveNow(anna, input)).toMatchObject({ code: 'RESERVED' });
      const asked = { chargerId: 'CH1', connectorId: 1, idTag: 'CLEO' };
      expect(await server.authorization(await operatorToken('site'), asked)).toMatchObject({ status: 'RESERVED' });
      expect(await charger.present(1, 'CLEO')).not.toBe('charging');
      const longer = await server.extendReservation(anna, { id: held.id, byMinutes: 10 });
      expect(longer).toMatchObject({ status: 'ACCEPTED', version: 3 });
      expect(await charger.present(1, 'ANNA')).toBe('charging');
      expect(await server.reservation(held.id)).toMatchObject({ status: 'USED' });
      await charger.unplug(1);
      const other = await server.reserveNow(anna, input);
      expect(await server.cancelReservation(anna, { id: other.id })).toMatchObject({ status: 'CANCELLED' });
      const commands = charger.received.filter(({ method }) => /Reserv/.test(method));
      expect(commands).toEqual([]);
    },
  );
});

it('a server-side hold left PENDING by a dead process becomes ACCEPTED without a call to the charger', async () => {
  await server.saveSite('site', { serverSideHoldAllowed: true });
  const charger = await server.charger('CH1', '1.6', { supportsReservation: false });
  const { id } = await server.reserveNow(anna, input);
  await server.database.query(`UPDATE reservation SET status = 'PENDING', version = 1, due_at = now()`);
  await server.database.query('DELETE FROM event WHERE version > 1 AND reservation_id IS NOT NULL');
  await eventually(async () => expect(await server.reservation(id)).toMatchObject({ status: 'ACCEPTED', version: 2 }));
  expect(charger.received.filter(({ method }) => /Reserv/.test(method))).toEqual([]);
});

it('reservationIds are positive and distinct, and one that the charger may still hold is not reused', async () => {
  const charger = await server.charger('CH1');
  const ids = [];
  for (let round = 0; round < 5; round += 1) {
    const { id, reservationId } = await server.reserveNow(anna, input);
    ids.push(reservationId);
    await server.cancelReservation(anna, { id });
  }
  expect(new Set(ids).size).toBe(5);
  expect(ids.every((id) => Number.isInteger(id) && id > 0 && id < 1_000_000)).toBe(true);

  const { id } = await server.reserveNow(anna, { ...input, reservationId: 77 });
  await charger.disconnect();
  await server.cancelReservation(await operatorToken('site'), { id, force: true });
  const again = await server.reserveNow(anna, { ...input, reservationId: 77 });
  expect(again).toMatchObject({ __typename: 'ReservationIdInUse', code: 'RESERVATION_ID_IN_USE' });
});

describe('checks that are left to the policy', () => {
  it('a charger is asked by default although its connector is known to be in use or faulted', async () => {
    const charger = await server.charger('CH1');
    await charger.plugIn(1);
    expect(await server.reserveNow(anna, input)).toMatchObject({ __typename: 'ChargerRefused', answer: 'OCCUPIED' });
    await charger.fault(2);
    const faulted = await server.reserveNow(anna, { ...input, connectorId: 2 });
    expect(faulted).toMatchObject({ __typename: 'ChargerRefused', answer: 'FAULTED' });
  });

  it('with precheckStatus a reservation of a connector that is not free is refused without asking the charger', async () => {
    await server.saveSite('site', { precheckStatus: true });
    const charger = await server.charger('CH1');
    await charger.fault(2);
    const faulted = await server.reserveNow(anna, { ...input, connectorId: 2 });
    expect(faulted).toMatchObject({ __typename: 'ConnectorNotFree', code: 'CONNECTOR_NOT_FREE', state: 'FAULTED' });
    expect(await server.reserveNow(anna, { ...input, connectorId: 0 })).toMatchObject({ status: 'ACCEPTED' });
    await charger.fault(1, 'Unavailable');
    const all = await server.reserveNow(anna, { ...input, connectorId: 0 });
    expect(all).toMatchObject({ code: 'CONNECTOR_NOT_FREE', connectorId: 0 });
    expect(charger.received.filter(({ method }) => method === 'ReserveNow')).toHaveLength(1);
  });

  it('one idTag may hold several connectors by default', async () => {
    await server.charger('CH1', '2.0.1');
    expect(await server.reserveNow(anna, input)).toMatchObject({ status: 'ACCEPTED' });
    expect(await server.reserveNow(anna, { ...input, connectorId: 2 })).toMatchObject({ status: 'ACCEPTED' });
  });
});

it.each([
  ['1.6', undefined, 'Blocked'],
  ['1.6', 'INVALID', 'Invalid'],
  ['2.0.1', undefined, 'NotAtThisTime'],
  ['2.0.1', 'BLOCKED', 'Blocked'],
  ['2.0.1', 'INVALID', 'Invalid'],
] as const)(
  'OCPP %s: the answer to another idTag at a reserved connector follows the policy’s intruderStatus (%s)',
  async (version, intruderStatus, told) => {
    await server.saveSite('site', intruderStatus === undefined ? {} : { intruderStatus });
    await server.saveCharger('CH1', 'site', { connectors: [{ connectorId: 1 }] });
    const charger = await server.rawCharger('CH1', `ocpp${version}`);
    const reserving = server.reserveNow(anna, input);
    const { id } = await charger.expectCall('ReserveNow');
    charger.answer(id, { status: 'Accepted' });
    await reserving;
    const shown =
      version === '1.6'
        ? await charger.call('Authorize', { idTag: 'CLEO' })
        : await charger.call('Authorize', { idToken: { idToken: 'CLEO', type: 'ISO14443' } });
    expect(JSON.stringify(shown)).toContain(`"status":"${told}"`);
  },
);
