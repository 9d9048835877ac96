// Bookings ahead: each holds its window from the moment it is made and is sent to its charger at its start; retries,
// failure and moves where the charger is not ready; cancels, extensions and notices.
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { eventually } from '../support/eventually.ts';
import { adminToken, driverToken, operatorToken, TestServer } from '../support/test-server.ts';

let server: TestServer;
let anna: string;
let cleo: string;
const MINUTE = 60_000;

beforeEach(async () => {
  server = await TestServer.start({ env: { CHARGER_ANSWER_TIMEOUT_SECONDS: '1' } });
  await server.fill();
  [anna, cleo] = await Promise.all([driverToken('ANNA'), driverToken('CLEO')]);
});
afterEach(() => server.stop());

const inMinutes = (minutes: number) => new Date(server.clock.now().getTime() + minutes * MINUTE).toISOString();
const booking = (from: number, until: number, extra: object = {}) => ({
  chargerId: 'CH1',
  connectorId: 1,
  idTag: 'ANNA',
  startsAt: inMinutes(from),
  expiryDate: inMinutes(until),
  ...extra,
});
const book = (from: number, until: number, extra: object = {}) =>
  server.scheduleReservation(anna, booking(from, until, extra));
const commandsOf = (charger: { received: readonly { method: string }[] }) =>
  charger.received.filter(({ method }) => /Reserv/.test(method)).map(({ method }) => method);
const comesTo = (id: string, expected: object) =>
  eventually(async () => expect(await server.reservation(id)).toMatchObject(expected));

describe('a new booking', () => {
  it('a booking blocks other bookings and holds inside its window, but not outside of it', async () => {
    await server.charger('CH1');
    const made = await book(60, 90);
    expect(made).toMatchObject({ status: 'SCHEDULED', version: 1, acceptedAt: null, startsAt: made.startsAt });
    const other = { idTag: 'CLEO' };
    const taken = { __typename: 'ConnectorTaken', reservedFrom: made.startsAt, reservedUntil: made.expiryDate };
    expect(await server.scheduleReservation(cleo, { ...booking(75, 120), ...other })).toMatchObject(taken);
    expect(
      await server.scheduleReservation(cleo, {
        ...booking(30, 60),
        ...other,
        startsAt: inMinutes(30),
        expiryDate: made.startsAt,
      }),
    ).toMatchObject({ status: 'SCHEDULED' });
    expect(
      await server.scheduleReservation(cleo, { ...booking(90, 120), ...other, startsAt: made.expiryDate }),
    ).toMatchObject({ status: 'SCHEDULED' });
    const now = { chargerId: 'CH1', connectorId: 1, idTag: 'CLEO' };
    expect(await server.reserveNow(cleo, { ...now, durationMinutes: 61 })).toMatchObject({ code: 'RESERVED' });
    expect(await server.reserveNow(cleo, { ...now, durationMinutes: 25 })).toMatchObject({ status: 'ACCEPTED' });
  });

  it('making and cancelling a booking sends nothing to its charger, which may be offline', async () => {
    expect(await book(60, 90)).toMatchObject({ status: 'SCHEDULED' });
    const charger = await server.charger('CH1');
    const second = await book(120, 150);
    expect(await server.cancelReservation(anna, { id: second.id })).toMatchObject({ status: 'CANCELLED', version: 2 });
    expect(commandsOf(charger)).toEqual([]);
  });

  it('another driver may charge at a booked connector before the booking begins', async () => {
    const charger = await server.charger('CH1');
    await book(60, 90);
    expect(await server.authorization(cleo, { chargerId: 'CH1', connectorId: 1, idTag: 'CLEO' })).toMatchObject({
      status: 'ACCEPTED',
    });
    expect(await charger.present(1, 'CLEO')).toBe('charging');
  });

  it('a booking of connector 0 that lasts for days takes one of the charger’s connectors for its whole window', async () => {
    await server.saveSite('site', { maxDurationMinutes: 10_000 });
    await server.saveCharger('CH1', 'site', { connectors: [{ connectorId: 1 }, { connectorId: 2 }] });
    const days = (from: number, until: number) => [from * 24 * 60, until * 24 * 60] as const;
    expect(await book(...days(1, 4), { connectorId: 0 })).toMatchObject({ status: 'SCHEDULED' });
    expect(await book(...days(2.5, 2.6), { connectorId: 1 })).toMatchObject({ status: 'SCHEDULED' });
    expect(await book(...days(2.5, 2.6), { connectorId: 2 })).toMatchObject({ code: 'RESERVED' });
    expect(await book(...days(2.7, 2.8), { connectorId: 2 })).toMatchObject({ status: 'SCHEDULED' });
    expect(await book(...days(4.1, 4.2), { connectorId: 2 })).toMatchObject({ status: 'SCHEDULED' });
  });

  it('only one of a hundred simultaneous bookings of one window is made, and ninety-nine are refused', async () => {
    const operator = await operatorToken('site');
    const input = booking(60, 90, { idTag: 'CLEO' });
    const made = await Promise.all(Array.from({ length: 100 }, () => server.scheduleReservation(operator, input)));
    expect(made.filter(({ status }) => status === 'SCHEDULED')).toHaveLength(1);
    expect(made.filter(({ code }) => code === 'RESERVED')).toHaveLength(99);
  });

  it('a booking repeated with its idempotencyKey returns the same booking, and the key with another connector is refused', async () => {
    const input = booking(60, 90, { idempotencyKey: 'tap-1' });
    const made = await Promise.all(Array.from({ length: 10 }, () => server.scheduleReservation(anna, input)));
    expect(new Set(made.map(({ id }) => id)).size).toBe(1);
    expect(await server.scheduleReservation(anna, { ...input, connectorId: 2 })).toMatchObject({
      code: 'IDEMPOTENCY_KEY_REUSED',
    });
  });

  it.each<[string, object, string]>([
    ['a start in the past', { startsAt: '2020-01-01T00:00:00Z' }, 'startsAt'],
    ['an end before the start', { expiryDate: '2020-01-01T00:00:00Z' }, 'expiryDate'],
    ['both an expiryDate and a duration', { durationMinutes: 5 }, 'durationMinutes'],
    ['neither a charger nor a site', { chargerId: null }, 'chargerId'],
    ['both a charger and a site', { siteId: 'site' }, 'chargerId'],
    ['no idTag', { idTag: null }, 'idTag'],
    ['a plug and a connector', { plugType: 'CCS2' }, 'plugType'],
    [
      'an expiryDate in the year 10000',
      { startsAt: '9999-12-31T23:59:59Z', expiryDate: '+010000-01-01T00:00:00Z' },
      'expiryDate',
    ],
  ])('scheduleReservation with %s is refused as bad input', async (_, extra, field) => {
    const { body } = await server.post(
      anna,
      `mutation ($input: ScheduleReservationInput!) { scheduleReservation(input: $input) { ... on InvalidInput { field } } }`,
      { input: booking(60, 90, extra) },
    );
    // A date that the DateTime scalar cannot read is refused before the resolver runs, with BAD_USER_INPUT.
    if (body.errors) expect(JSON.stringify(body.errors)).toContain('BAD_USER_INPUT');
    else expect(body.data.scheduleReservation).toEqual({ field });
  });

  it('a booking that begins in a few milliseconds is still a booking and is activated', async () => {
    const startsAt = new Date(server.clock.now().getTime() + 20).toISOString();
    const made = await server.scheduleReservation(anna, booking(0, 30, { startsAt }));
    expect(made.status ?? made.field).toMatch(/SCHEDULED|startsAt/);
    const charger = await server.charger('CH1');
    if (!made.id) return;
    server.clock.advance(3000);
    await comesTo(made.id, { status: 'ACCEPTED', isBooking: true });
    expect(charger.reservations).toHaveLength(1);
  });

  it('a reservation that would last for centuries is refused at once with MAX_DURATION, even under opening hours', async () => {
    const hours = [{ weekday: 'MONDAY', opens: '08:00', closes: '20:00' }];
    await server.saveSite('site', { openingHours: hours, minFreeConnectors: 1 });
    const asked = { chargerId: 'CH1', connectorId: 1, idTag: 'ANNA', expiryDate: '9999-12-31T00:00:00Z' };
    expect(await server.reserveNow(anna, asked)).toMatchObject({ reasons: [{ rule: 'MAX_DURATION' }] });
    expect(await server.scheduleReservation(anna, { ...asked, startsAt: inMinutes(5) })).toMatchObject({
      reasons: [{ rule: 'MAX_DURATION' }],
    });
  });

  it('a charger that has a booking cannot be removed', async () => {
    await book(60, 90);
    const removed = await server.graphql(await adminToken(), 'mutation { removeCharger(id: "CH1") { __typename } }');
    expect(removed.removeCharger.__typename).toBe('InUse');
  });
});

describe('the start of a booking', () => {
  it.each(['1.6', '2.0.1', '2.1'] as const)(
    'OCPP %s: at its start a booking is sent to the charger, which holds it for its holder alone',
    async (version) => {
      const charger = await server.charger('CH1', version);
      const { id, reservationId, expiryDate } = await book(60, 90);
      const events = await server.watchReservations(anna, { reservationId: id });
      server.clock.advance(60 * MINUTE);
      expect(await events.next()).toMatchObject({
        type: 'REQUESTED',
        from: 'SCHEDULED',
        to: 'PENDING',
        actor: 'SERVER',
      });
      expect(await events.next()).toMatchObject({ type: 'ACCEPTED', to: 'ACCEPTED' });
      expect(charger.reservations).toMatchObject([{ reservationId, connectorId: 1, expiryDate: new Date(expiryDate) }]);
      expect(await charger.present(1, 'CLEO')).not.toBe('charging');
      expect(await charger.present(1, 'ANNA')).toBe('charging');
      await comesTo(id, { status: 'USED' });
    },
  );

  it('a booking whose charger is offline at its start stays SCHEDULED and is activated when the charger connects', async () => {
    const { id } = await book(60, 90);
    server.clock.advance(60 * MINUTE);
    await eventually(async () => {
      const [row] = await server.database.query<{ attempts: number }>('SELECT attempts FROM reservation');
      expect(row?.attempts).toBeGreaterThan(0);
    });
    expect(await server.reservation(id)).toMatchObject({ status: 'SCHEDULED', version: 1 });
    expect(await server.authorization(cleo, { chargerId: 'CH1', connectorId: 1, idTag: 'CLEO' })).toMatchObject({
      status: 'RESERVED',
    });
    await server.charger('CH1');
    server.clock.advance(3000);
    await comesTo(id, { status: 'ACCEPTED' });
  });

  it('a booking whose charger stays offline fails after activationTimeoutMinutes and names an alternative connector', async () => {
    await server.saveSite('site', { activationTimeoutMinutes: 5 });
    await server.saveCharger('CH1', 'site', { connectors: [{ connectorId: 1, plugTypes: ['CCS2'] }] });
    await server.saveCharger('CH2', 'site', {
      connectors: [
        { connectorId: 1, plugTypes: ['TYPE2'] },
        { connectorId: 2, plugTypes: ['CCS2'] },
      ],
    });
    await server.charger('CH2');
    const { id } = await book(60, 90);
    const events = await server.watchReservations(anna, { reservationId: id });
    server.clock.advance(64 * MINUTE);
    await eventually(async () => expect(await server.reservation(id)).toMatchObject({ status: 'SCHEDULED' }));
    server.clock.advance(MINUTE);
    expect(await events.next()).toMatchObject({
      type: 'FAILED',
      from: 'SCHEDULED',
      reason: 'OFFLINE',
      isEndedByOthers: true,
      reservation: { alternative: { chargerId: 'CH2', connectorId: 2 } },
    });
  });

  it('a booking waits while its connector is in use, and is activated as soon as the connector is free', async () => {
    const charger = await server.charger('CH1');
    await charger.present(1, 'CLEO');
    const { id } = await book(60, 90);
    server.clock.advance(60 * MINUTE);
    await eventually(async () => {
      const [row] = await server.database.query<{ attempts: number }>('SELECT attempts FROM reservation');
      expect(row?.attempts).toBeGreaterThan(0);
    });
    expect(await server.reservation(id)).toMatchObject({ status: 'SCHEDULED' });
    expect(commandsOf(charger)).toEqual([]);
    await charger.unplug(1);
    await comesTo(id, { status: 'ACCEPTED' });
  });

  it('a booking refused with Occupied is sent again until activationTimeoutMinutes has passed, then fails', async () => {
    await server.saveSite('site', { activationTimeoutMinutes: 5 });
    const charger = await server.charger('CH1');
    charger.behaviour = { type: 'refuse', status: 'Occupied' };
    const { id } = await book(60, 90);
    server.clock.advance(60 * MINUTE);
    await comesTo(id, { status: 'SCHEDULED', reason: 'OCCUPIED', version: 3 });
    server.clock.advance(10_000);
    await comesTo(id, { status: 'SCHEDULED', reason: 'OCCUPIED', version: 5 });
    server.clock.advance(5 * MINUTE);
    await comesTo(id, { status: 'FAILED', reason: 'OCCUPIED' });
  });

  it('a booking whose charger does not answer becomes UNKNOWN, then ACCEPTED once it answers', async () => {
    const charger = await server.charger('CH1');
    charger.behaviour = { type: 'silent' };
    const { id } = await book(60, 90);
    server.clock.advance(60 * MINUTE);
    await comesTo(id, { status: 'UNKNOWN', reason: 'TIMEOUT' });
    charger.behaviour = { type: 'normal' };
    server.clock.advance(3000);
    await comesTo(id, { status: 'ACCEPTED' });
  });

  it('with overstayAction MOVE a booking moves to another connector when a vehicle overstays on the booked connector', async () => {
    await server.saveSite('site', { overstayAction: 'MOVE' });
    const charger = await server.charger('CH1');
    await charger.present(1, 'CLEO');
    const { id, expiryDate } = await book(60, 90);
    const events = await server.watchReservations(anna);
    server.clock.advance(60 * MINUTE);
    const moved = await events.until(({ reservation }) => reservation.movedFrom === id);
    expect(moved).toMatchObject({
      type: 'SCHEDULED',
      isEndedByOthers: false,
      reservation: { connectorId: 2, expiryDate, idTag: 'ANNA' },
    });
    await comesTo(id, { status: 'CANCELLED', reason: 'MOVED' });
    await comesTo(moved.reservation.id, { status: 'ACCEPTED', movedFrom: id });
    expect(charger.reservations).toMatchObject([{ connectorId: 2, idTag: 'ANNA' }]);
  });

  it('a member of the booking’s group who already charges at its start uses it, even with overstayAction MOVE', async () => {
    await server.saveSite('site', { overstayAction: 'MOVE' });
    const charger = await server.charger('CH1', '1.6', { clock: server.clock });
    await charger.present(1, 'BEN');
    const { id } = await book(60, 90, { parentIdTag: 'FLEET' });
    server.clock.advance(60 * MINUTE);
    await comesTo(id, { status: 'USED', usedConnectorId: 1 });
    expect(commandsOf(charger)).toEqual([]);
  });

  it('a refusal after an unanswered ReserveNow does not end a booking before its activation timeout', async () => {
    const charger = await server.charger('CH1');
    charger.behaviour = { type: 'deaf' };
    const { id } = await book(60, 90);
    server.clock.advance(60 * MINUTE);
    await comesTo(id, { status: 'UNKNOWN' });
    charger.behaviour = { type: 'refuse', status: 'Occupied' };
    server.clock.advance(3000);
    await comesTo(id, { status: 'SCHEDULED', reason: 'OCCUPIED' });
    charger.behaviour = { type: 'normal' };
    server.clock.advance(10_000);
    await comesTo(id, { status: 'ACCEPTED' });
  });

  it('noShowTimeoutMinutes counts from when the charger accepts the booking', async () => {
    await server.saveSite('site', { noShowTimeoutMinutes: 5, activationTimeoutMinutes: 10 });
    const charger = await server.charger('CH1');
    charger.behaviour = { type: 'refuse', status: 'Occupied' };
    const { id } = await book(60, 120);
    server.clock.advance(60 * MINUTE);
    await comesTo(id, { status: 'SCHEDULED', reason: 'OCCUPIED' });
    server.clock.advance(8 * MINUTE);
    charger.behaviour = { type: 'normal' };
    server.clock.advance(11_000);
    await comesTo(id, { status: 'ACCEPTED' });
    server.clock.advance(4 * MINUTE);
    expect(await server.reservation(id)).toMatchObject({ status: 'ACCEPTED' });
    server.clock.advance(MINUTE);
    await comesTo(id, { status: 'EXPIRED', reason: 'NO_SHOW' });
  });

  it('a booking made before a restart is activated by the next process', async () => {
    const { id } = await book(60, 90);
    await server.restart();
    server.clock.advance(60 * MINUTE);
    await server.charger('CH1');
    server.clock.advance(3000);
    await comesTo(id, { status: 'ACCEPTED' });
  });

  it('a booking is activated, where the policy allows server-side holds, without the Reservation profile of its charger', async () => {
    await server.saveSite('site', { serverSideHoldAllowed: true });
    const charger = await server.charger('CH1', '1.6', { supportsReservation: false, clock: server.clock });
    const { id } = await book(60, 90);
    server.clock.advance(60 * MINUTE);
    await comesTo(id, { status: 'ACCEPTED', enforcement: 'SERVER' });
    expect(await charger.present(1, 'CLEO')).not.toBe('charging');
  });

  it('a booking fails at once when its charger answers NotSupported', async () => {
    const { id } = await book(60, 90);
    const charger = await server.charger('CH1');
    charger.behaviour = { type: 'error', code: 'NotSupported' };
    server.clock.advance(60 * MINUTE);
    await comesTo(id, { status: 'FAILED', reason: 'NOT_SUPPORTED' });
  });
});

describe('changes, notices and no-shows of a booking', () => {
  it('a booking is extended without its charger, but not into the next booking', async () => {
    const { id } = await book(60, 90);
    await server.scheduleReservation(cleo, booking(120, 150, { idTag: 'CLEO' }));
    expect(await server.extendReservation(anna, { id, byMinutes: 31 })).toMatchObject({ code: 'RESERVED' });
    const longer = await server.extendReservation(anna, { id, byMinutes: 20 });
    expect(longer).toMatchObject({ status: 'SCHEDULED', extensions: 1, version: 2 });
    server.clock.advance(60 * MINUTE);
    const charger = await server.charger('CH1');
    server.clock.advance(3000);
    await comesTo(id, { status: 'ACCEPTED' });
    expect(charger.reservations).toMatchObject([{ expiryDate: new Date(longer.expiryDate) }]);
  });

  it('a driver cancels a booking only until cancelUntilMinutes before its start, an operator at any time', async () => {
    await server.saveSite('site', { cancelUntilMinutes: 30 });
    const one = await book(60, 90);
    const other = await book(100, 120);
    expect(await server.cancelReservation(anna, { id: other.id })).toMatchObject({ status: 'CANCELLED' });
    server.clock.advance(31 * MINUTE);
    expect(await server.cancelReservation(anna, { id: one.id })).toMatchObject({
      __typename: 'PolicyRefused',
      reasons: [{ rule: 'CANCEL_UNTIL', limitMinutes: 30 }],
    });
    expect(await server.cancelReservation(await operatorToken('site'), { id: one.id })).toMatchObject({
      status: 'CANCELLED',
      reason: 'OPERATOR_REQUEST',
    });
  });

  it('a booking whose holder does not come within noShowTimeoutMinutes expires, and the charger releases it', async () => {
    await server.saveSite('site', { noShowTimeoutMinutes: 10 });
    const charger = await server.charger('CH1');
    const { id } = await book(60, 120);
    server.clock.advance(60 * MINUTE);
    await comesTo(id, { status: 'ACCEPTED' });
    server.clock.advance(10 * MINUTE - 2000);
    expect(await server.reservation(id)).toMatchObject({ status: 'ACCEPTED' });
    server.clock.advance(3000);
    await comesTo(id, { status: 'EXPIRED', reason: 'NO_SHOW' });
    await eventually(() => expect(charger.reservations).toEqual([]));
  });

  it('the holder is notified once that a reservation ends soon, and once more after an extension', async () => {
    await server.saveSite('site', { endingNoticeMinutes: 5 });
    await server.charger('CH1');
    const { id } = await server.reserveNow(anna, {
      chargerId: 'CH1',
      connectorId: 1,
      idTag: 'ANNA',
      durationMinutes: 20,
    });
    const events = await server.watchReservations(anna, { reservationId: id });
    server.clock.advance(15 * MINUTE);
    expect(await events.next()).toMatchObject({
      type: 'ENDING_SOON',
      from: 'ACCEPTED',
      to: 'ACCEPTED',
      isEndedByOthers: false,
    });
    await server.extendReservation(anna, { id, byMinutes: 20 });
    expect(await events.next()).toMatchObject({ type: 'EXTENDED' });
    server.clock.advance(20 * MINUTE);
    expect(await events.next()).toMatchObject({ type: 'ENDING_SOON' });
    server.clock.advance(5 * MINUTE);
    expect(await events.next()).toMatchObject({ type: 'EXPIRED', isEndedByOthers: true });
  });
});
