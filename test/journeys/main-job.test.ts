// The main job from end to end: an app reserves a connector, the charger holds it, and every watcher sees each change.
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { SimulatedCharger, SimulatedVersion } from '../../src/dev/simulator/simulated-charger.ts';
import { eventually } from '../support/eventually.ts';
import { adminToken, driverToken, operatorToken, TestServer } from '../support/test-server.ts';

describe.each<SimulatedVersion>(['1.6', '2.0.1', '2.1'])('a charger that speaks OCPP %s', (version) => {
  let server: TestServer;
  let charger: SimulatedCharger;
  let anna: string;

  beforeAll(async () => {
    server = await TestServer.start();
    await server.fill();
    charger = await server.charger('CH1', version);
    anna = await driverToken('ANNA');
  });
  afterAll(() => server.stop());

  it('a reservation is made, held by the charger, and used by its holder', async () => {
    const events = await server.watchReservations();
    const reserved = await server.reserveNow(anna, { chargerId: 'CH1', connectorId: 1, idTag: 'ANNA' });
    expect(reserved).toMatchObject({ __typename: 'Reservation', status: 'ACCEPTED', connectorId: 1, version: 2 });
    expect(charger.reservations).toMatchObject([
      { reservationId: reserved.reservationId, connectorId: 1, idTag: 'ANNA' },
    ]);
    expect(await events.next()).toMatchObject({ type: 'REQUESTED', from: null, to: 'PENDING', actor: 'DRIVER' });
    expect(await events.next()).toMatchObject({ type: 'ACCEPTED', from: 'PENDING', to: 'ACCEPTED', actor: 'CHARGER' });

    const operator = await operatorToken('site');
    const asked = { chargerId: 'CH1', connectorId: 1, idTag: 'CLEO' };
    const expiryDate = reserved.expiryDate;
    expect(await server.authorization(operator, asked)).toEqual({ status: 'RESERVED', reservedUntil: expiryDate });
    expect(await charger.present(1, 'CLEO')).toBe('reserved');

    expect(await charger.present(1, 'ANNA')).toBe('charging');
    expect(await events.next()).toMatchObject({
      type: 'USED',
      from: 'ACCEPTED',
      to: 'USED',
      reservation: { id: reserved.id, usedConnectorId: 1 },
    });
    const again = await server.cancelReservation(anna, { id: reserved.id });
    expect(again).toMatchObject({ __typename: 'ReservationEnded', code: 'ALREADY_USED' });
    await charger.unplug(1);
  });

  it('a reservation is cancelled, and the charger releases the connector', async () => {
    const { id } = await server.reserveNow(anna, { chargerId: 'CH1', connectorId: 2, idTag: 'ANNA' });
    const events = await server.watchReservations(anna, { reservationId: id });
    const cancelled = await server.cancelReservation(anna, { id });
    expect(cancelled).toMatchObject({ __typename: 'Reservation', status: 'CANCELLED', reason: 'DRIVER_REQUEST' });
    expect(charger.reservations).toEqual([]);
    expect(await events.next()).toMatchObject({ type: 'CANCEL_REQUESTED', to: 'CANCELLING' });
    expect(await events.next()).toMatchObject({ type: 'CANCELLED', to: 'CANCELLED', reason: 'DRIVER_REQUEST' });
    expect(await server.cancelReservation(anna, { id })).toMatchObject({ code: 'ALREADY_ENDED' });
  });

  it('a reservation expires by the clock of the server', async () => {
    const soon = { chargerId: 'CH1', connectorId: 1, idTag: 'ANNA', durationMinutes: 10 };
    const { id } = await server.reserveNow(anna, soon);
    const events = await server.watchReservations(anna, { reservationId: id });
    server.clock.advance(10 * 60_000);
    const expired = await events.next();
    expect(expired).toMatchObject({
      type: 'EXPIRED',
      from: 'ACCEPTED',
      to: 'EXPIRED',
      reason: 'NO_SHOW',
      actor: 'SERVER',
    });
    const lateMs = Date.parse(expired.at) - Date.parse(expired.reservation.expiryDate);
    expect(lateMs).toBeGreaterThanOrEqual(0);
    // The charger's own clock was not moved: it still says Reserved after the grace, and gets a CancelReservation.
    server.clock.advance(15_000);
    await eventually(() => expect(charger.reservations).toEqual([]));
  });

  it('state changes of a connector reach the subscribers of connectorChanged', async () => {
    await eventually(() => expect(charger.stateOf(2)).toBe('Available'));
    const query = `subscription { connectorChanged(filter: { chargerId: "CH1", connectorId: 2 }) { type from to } }`;
    const changes = await server.subscribe(await adminToken(), query);
    const { id } = await server.reserveNow(anna, { chargerId: 'CH1', connectorId: 2, idTag: 'ANNA' });
    expect(await changes.next()).toEqual({ type: 'STATE_CHANGED', from: 'AVAILABLE', to: 'RESERVED' });
    await server.cancelReservation(anna, { id });
    expect(await changes.next()).toEqual({ type: 'STATE_CHANGED', from: 'RESERVED', to: 'AVAILABLE' });
  });

  it('a reservation of connector 0 leaves the choice to the charger, and gets its usedConnectorId at use', async () => {
    const reserved = await server.reserveNow(anna, { chargerId: 'CH1', idTag: 'ANNA' });
    expect(reserved).toMatchObject({ status: 'ACCEPTED', connectorId: 0, usedConnectorId: null });
    expect(await charger.present(2, 'ANNA')).toBe('charging');
    await eventually(async () => {
      expect(await server.reservation(reserved.id)).toMatchObject({ status: 'USED', usedConnectorId: 2 });
    });
    await charger.unplug(2);
  });
});
