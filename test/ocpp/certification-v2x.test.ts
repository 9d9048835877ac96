// Certification cases of OCPP 2.0.1 for reservations, in raw frames; each runs with 2.1, too.
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { eventually } from '../support/eventually.ts';
import type { RawCharger } from '../support/raw-charger.ts';
import { driverToken, operatorToken, TestServer } from '../support/test-server.ts';

describe.each(['ocpp2.0.1', 'ocpp2.1'])('a charger with %s', (subprotocol) => {
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
    charger = await server.rawCharger(chargerId, subprotocol);
    for (const evseId of [1, 2, 3]) await status(evseId, 'Available');
  });

  const now = () => new Date().toISOString();
  const token = (idToken: string, type = 'ISO14443') => ({ idToken, type });
  const status = (evseId: number, connectorStatus: string) =>
    charger.call('StatusNotification', { timestamp: now(), connectorStatus, evseId, connectorId: 1 });
  const transaction = (eventType: string, transactionId: string, extra: object) =>
    charger.call('TransactionEvent', {
      eventType,
      timestamp: now(),
      triggerReason: 'Authorized',
      seqNo: 0,
      transactionInfo: { transactionId },
      evse: { id: 1, connectorId: 1 },
      ...extra,
    });

  async function reserve(answer = 'Accepted', input: object = {}, as = anna) {
    const reserving = server.reserveNow(as, { chargerId, connectorId: 1, idTag: 'ANNA', ...input });
    const { id, payload } = await charger.expectCall('ReserveNow');
    charger.answer(id, { status: answer });
    return { result: await reserving, payload };
  }

  it('TC_H_01: an EVSE is reserved and used with the reservationId', async () => {
    const { result, payload } = await reserve();
    expect(payload).toEqual({
      id: result.reservationId,
      expiryDateTime: result.expiryDate,
      idToken: token('ANNA'),
      evseId: 1,
    });
    await status(1, 'Reserved');
    // Plugging in sends no idToken, so it does not use the reservation. The idToken follows in an Updated event.
    expect(await transaction('Started', 't1', { triggerReason: 'CablePluggedIn' })).toEqual({});
    expect(await server.reservation(result.id)).toMatchObject({ status: 'ACCEPTED' });
    const answer = await transaction('Updated', 't1', {
      seqNo: 1,
      evse: undefined,
      idToken: token('ANNA'),
      reservationId: payload.id,
    });
    expect(answer).toEqual({ idTokenInfo: { status: 'Accepted', groupIdToken: token('FLEET', 'Central') } });
    expect(await server.reservation(result.id)).toMatchObject({ status: 'USED', usedConnectorId: 1 });
    expect(await transaction('Ended', 't1', { seqNo: 2, triggerReason: 'EVDeparted' })).toEqual({});
  });

  it('TC_H_07: an Expired update from the charger makes the reservation EXPIRED, and a later Removed changes nothing', async () => {
    const { result, payload } = await reserve();
    expect(
      await charger.call('ReservationStatusUpdate', { reservationId: payload.id, reservationUpdateStatus: 'Expired' }),
    ).toEqual({});
    expect(await server.reservation(result.id)).toMatchObject({ status: 'EXPIRED', reason: 'NO_SHOW' });
    // A charger may send both Expired and Removed: the first final status stays.
    await charger.call('ReservationStatusUpdate', { reservationId: payload.id, reservationUpdateStatus: 'Removed' });
    expect(await server.reservation(result.id)).toMatchObject({ status: 'EXPIRED', version: 3 });
  });

  it('TC_H_08: ReserveNow without evseId lets the charger choose the EVSE', async () => {
    const { result, payload } = await reserve('Accepted', { connectorId: 0 });
    expect(payload).not.toHaveProperty('evseId');
    await transaction('Started', 't1', { evse: { id: 3 }, idToken: token('ANNA'), reservationId: payload.id });
    expect(await server.reservation(result.id)).toMatchObject({ status: 'USED', usedConnectorId: 3 });
  });

  it('TC_H_14: one token may hold every EVSE, and one more hold is refused as RESERVED', async () => {
    for (const connectorId of [1, 2, 3]) {
      expect((await reserve('Accepted', { connectorId })).result).toMatchObject({ status: 'ACCEPTED', connectorId });
    }
    const full = await server.reserveNow(anna, { chargerId, connectorId: 0, idTag: 'ANNA' });
    expect(full).toMatchObject({ __typename: 'ConnectorTaken', code: 'RESERVED' });
  });

  it('TC_H_17: the server cancels the reservation on the charger', async () => {
    const { result, payload } = await reserve();
    const cancelling = server.cancelReservation(anna, { id: result.id });
    const call = await charger.expectCall('CancelReservation');
    expect(call.payload).toEqual({ reservationId: payload.id });
    charger.answer(call.id, { status: 'Accepted' });
    expect(await cancelling).toMatchObject({ status: 'CANCELLED' });
  });

  it('TC_H_19: another token of the group uses the reservation', async () => {
    const { result, payload } = await reserve('Accepted', { parentIdTag: 'FLEET' });
    expect(payload.groupIdToken).toEqual(token('FLEET', 'Central'));
    const answer = await transaction('Started', 't1', { idToken: token('BEN') });
    expect(answer).toMatchObject({ idTokenInfo: { status: 'Accepted', groupIdToken: { idToken: 'FLEET' } } });
    expect(await server.reservation(result.id)).toMatchObject({ status: 'USED' });
  });

  it('TC_H_20: a fault leaves the reservation ACCEPTED until the charger sends Removed', async () => {
    const { result, payload } = await reserve();
    await status(1, 'Faulted');
    expect(await server.reservation(result.id)).toMatchObject({ status: 'ACCEPTED' });
    await charger.call('ReservationStatusUpdate', { reservationId: payload.id, reservationUpdateStatus: 'Removed' });
    expect(await server.reservation(result.id)).toMatchObject({ status: 'REMOVED', reason: 'CHARGER_FAULTED' });
  });

  it.each(['Rejected', 'Occupied', 'Faulted', 'Unavailable'])(
    'TC_H_22: the charger’s answer %s is passed on to the client',
    async (answer) => {
      const { result } = await reserve(answer);
      expect(result).toMatchObject({ __typename: 'ChargerRefused', answer: answer.toUpperCase() });
    },
  );

  it('a ReservationStatusUpdate of an unknown reservation gets an empty answer', async () => {
    const update = { reservationId: 4711, reservationUpdateStatus: 'Removed' };
    expect(await charger.call('ReservationStatusUpdate', update)).toEqual({});
  });

  it('Authorize lists the open EVSEs; with none open it answers NotAtThisTime with a message, cached for a minute at most', async () => {
    await reserve();
    const some = await charger.call('Authorize', { idToken: token('CLEO') });
    expect(some).toEqual({
      idTokenInfo: { status: 'Accepted', evseId: [2, 3], cacheExpiryDateTime: expect.any(String) },
    });
    await reserve('Accepted', { connectorId: 2 });
    await reserve('Accepted', { connectorId: 3 });
    const { idTokenInfo } = await charger.call('Authorize', { idToken: token('CLEO') });
    expect(idTokenInfo).toMatchObject({ status: 'NotAtThisTime', personalMessage: { content: expect.any(String) } });
    expect(Date.parse(idTokenInfo.cacheExpiryDateTime) - Date.now()).toBeLessThanOrEqual(61_000);
    expect((await charger.call('Authorize', { idToken: token('ANNA') })).idTokenInfo).toMatchObject({
      status: 'Accepted',
    });
  });

  it('a token with the holder’s id but another type does not use the reservation', async () => {
    const { result } = await reserve();
    await transaction('Started', 't1', { idToken: token('ANNA', 'eMAID') });
    expect(await server.reservation(result.id)).toMatchObject({ status: 'ACCEPTED' });
  });

  it('a token with the holder’s id and the reservationId uses the reservation, whatever its type', async () => {
    const { result, payload } = await reserve();
    await transaction('Started', 't1', { idToken: token('ANNA', 'Central'), reservationId: payload.id });
    expect(await server.reservation(result.id)).toMatchObject({ status: 'USED' });
  });

  it('a token presented to stop a transaction uses no reservation', async () => {
    await transaction('Started', 't1', { idToken: token('ANNA') });
    const { result } = await reserve('Accepted', { connectorId: 0 });
    await transaction('Updated', 't1', { seqNo: 1, triggerReason: 'StopAuthorized', idToken: token('ANNA') });
    expect(await server.reservation(result.id)).toMatchObject({ status: 'ACCEPTED' });
  });

  it('a start by another token on a held EVSE is answered NotAtThisTime, and continued charging is a breach', async () => {
    const { result } = await reserve();
    const answer = await transaction('Started', 't1', { idToken: token('CLEO') });
    expect(answer).toMatchObject({ idTokenInfo: { status: 'NotAtThisTime' } });
    await transaction('Updated', 't1', {
      seqNo: 1,
      transactionInfo: { transactionId: 't1', chargingState: 'Charging' },
    });
    expect(await server.reservation(result.id)).toMatchObject({ status: 'ACCEPTED', isBreached: true });
  });

  it('TransactionEvents that arrive out of order and twice are one transaction', async () => {
    const { result, payload } = await reserve();
    const started = { idToken: token('ANNA'), reservationId: payload.id };
    await transaction('Ended', 't1', { seqNo: 2, triggerReason: 'EVDeparted' });
    await transaction('Started', 't1', started);
    await transaction('Started', 't1', started);
    expect(await server.reservation(result.id)).toMatchObject({ status: 'USED', version: 3 });
    const rows = await server.database.query(
      'SELECT stopped_at IS NOT NULL AS stopped FROM transaction WHERE charger_id = $1',
      [chargerId],
    );
    expect(rows).toEqual([{ stopped: true }]);
  });

  it('after a BootNotification the server reads whether an OCPP 2.x charger supports a reservation without EVSE', async () => {
    const chargingStation = { vendorName: 'Acme', model: 'Two', firmwareVersion: '9' };
    await charger.call('BootNotification', { reason: 'PowerUp', chargingStation });
    const { id, payload } = await charger.expectCall('GetVariables');
    const component = { name: 'ReservationCtrlr' };
    expect(payload.getVariableData).toContainEqual({ component, variable: { name: 'NonEvseSpecific' } });
    const value = (name: string, attributeValue: string) => ({
      attributeStatus: 'Accepted',
      attributeValue,
      component,
      variable: { name },
    });
    const getVariableResult = [value('Enabled', 'true'), value('Available', 'true'), value('NonEvseSpecific', 'false')];
    charger.answer(id, { getVariableResult });
    await eventually(async () =>
      expect(await server.reserveNow(operator, { chargerId, idTag: 'CLEO' })).toMatchObject({
        code: 'CONNECTOR_ZERO_NOT_SUPPORTED',
      }),
    );
  });
});
