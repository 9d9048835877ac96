// Changes of place: moving a reservation, pre-empting one of lower priority, leaving the choice of the connector to the
// charger or the server, and reservations for a group without an idTag.
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { eventually } from '../support/eventually.ts';
import { adminToken, driverToken, memberToken, operatorToken, TestServer } from '../support/test-server.ts';

let server: TestServer;
let anna: string;
let cleo: string;
let operator: string;
const MINUTE = 60_000;

beforeEach(async () => {
  server = await TestServer.start({ env: { CHARGER_ANSWER_TIMEOUT_SECONDS: '1' } });
  await server.fill();
  [anna, cleo, operator] = await Promise.all([driverToken('ANNA'), driverToken('CLEO'), operatorToken('site')]);
});
afterEach(() => server.stop());

const inMinutes = (minutes: number) => new Date(server.clock.now().getTime() + minutes * MINUTE).toISOString();
const input = { chargerId: 'CH1', connectorId: 1, idTag: 'ANNA', durationMinutes: 30 };
const comesTo = (id: string, expected: object) =>
  eventually(async () => expect(await server.reservation(id)).toMatchObject(expected));
async function override(key: object, policy: object) {
  const mutation = `mutation ($input: SavePolicyOverrideInput!) { savePolicyOverride(input: $input) { __typename ... on Refusal { message } } }`;
  const { savePolicyOverride } = await server.graphql(await adminToken(), mutation, {
    input: { siteId: 'site', ...key, policy },
  });
  expect(savePolicyOverride).toEqual({ __typename: 'Site' });
}

describe('a reservation that moves', () => {
  it.each(['1.6', '2.0.1'] as const)(
    'OCPP %s: a move reserves the new connector before it cancels the old one',
    async (version) => {
      const charger = await server.charger('CH1', version);
      const first = await server.reserveNow(anna, input);
      const moved = await server.moveReservation(anna, { id: first.id, connectorId: 2 });
      expect(moved).toMatchObject({
        status: 'ACCEPTED',
        connectorId: 2,
        movedFrom: first.id,
        expiryDate: first.expiryDate,
      });
      expect(await server.reservation(first.id)).toMatchObject({ status: 'CANCELLED', reason: 'MOVED' });
      expect(charger.reservations).toMatchObject([{ connectorId: 2 }]);
      expect(charger.received.filter(({ method }) => /Reserv/.test(method)).map(({ method }) => method)).toEqual([
        'ReserveNow',
        'ReserveNow',
        'CancelReservation',
      ]);
    },
  );

  it('a reservation moves to another charger of its site, but not to a charger of another site', async () => {
    await server.saveSite('elsewhere');
    await Promise.all([server.saveCharger('CH2'), server.saveCharger('CH3', 'elsewhere')]);
    const [one, other] = [await server.charger('CH1'), await server.charger('CH2')];
    const { id } = await server.reserveNow(anna, input);
    expect(await server.moveReservation(anna, { id, chargerId: 'CH3', connectorId: 1 })).toMatchObject({
      code: 'CHARGER_NOT_FOUND',
    });
    const moved = await server.moveReservation(anna, { id, chargerId: 'CH2', connectorId: 1 });
    expect(moved).toMatchObject({ status: 'ACCEPTED', chargerId: 'CH2' });
    expect([one.reservations.length, other.reservations.length]).toEqual([0, 1]);
  });

  it('a reservation stays where it is when the new connector refuses, is taken, or is the one it has', async () => {
    const charger = await server.charger('CH1', '1.6', { connectors: 3 });
    const { id } = await server.reserveNow(anna, input);
    await server.reserveNow(cleo, { ...input, connectorId: 2, idTag: 'CLEO' });
    expect(await server.moveReservation(anna, { id, connectorId: 2 })).toMatchObject({ code: 'RESERVED' });
    expect(await server.moveReservation(anna, { id, connectorId: 1 })).toMatchObject({ code: 'INVALID_INPUT' });
    expect(await server.moveReservation(cleo, { id, connectorId: 3 })).toMatchObject({ code: 'RESERVATION_NOT_FOUND' });
    await charger.fault(3);
    expect(await server.moveReservation(anna, { id, connectorId: 3 })).toMatchObject({
      code: 'CHARGER_REFUSED',
      answer: 'FAULTED',
    });
    expect(await server.reservation(id)).toMatchObject({ status: 'ACCEPTED', version: 2 });
    expect(charger.reservations.map(({ connectorId }) => connectorId).toSorted()).toEqual([1, 2]);
  });

  it('a move keeps both reservations while the charger is silent, and ends the old one once the new one is accepted', async () => {
    const charger = await server.charger('CH1');
    const { id } = await server.reserveNow(anna, input);
    charger.behaviour = { type: 'silent' };
    const moved = await server.moveReservation(anna, { id, connectorId: 2 });
    expect(moved).toMatchObject({ status: 'UNKNOWN', movedFrom: id });
    expect(await server.reservation(id)).toMatchObject({ status: 'ACCEPTED' });
    expect(await server.moveReservation(anna, { id, connectorId: 2 })).toMatchObject({ code: 'NOT_SETTLED' });
    charger.behaviour = { type: 'normal' };
    server.clock.advance(3000);
    await comesTo(moved.id, { status: 'ACCEPTED' });
    await comesTo(id, { status: 'CANCELLED', reason: 'MOVED' });
    await eventually(() => expect(charger.reservations).toMatchObject([{ connectorId: 2 }]));
  });

  it('a move that was interrupted after the new hold is finished in the background by cancelling the old hold', async () => {
    await server.charger('CH1');
    const first = await server.reserveNow(anna, input);
    const second = await server.reserveNow(anna, { ...input, connectorId: 2 });
    await server.database.query('UPDATE reservation SET moved_from = $1, due_at = now() WHERE id = $2', [
      first.id,
      second.id,
    ]);
    await comesTo(first.id, { status: 'CANCELLED', reason: 'MOVED' });
    expect(await server.reservation(second.id)).toMatchObject({ status: 'ACCEPTED' });
  });

  it('a reservation that is cancelled or used while it moves leaves no second reservation behind', async () => {
    const charger = await server.charger('CH1', '1.6', { clock: server.clock });
    for (const end of ['cancel', 'use'] as const) {
      const { id } = await server.reserveNow(anna, input);
      charger.behaviour = { type: 'held' };
      const moving = server.moveReservation(anna, { id, connectorId: 2 });
      await eventually(() => expect(charger.reservations).toHaveLength(2));
      if (end === 'use') await charger.present(1, 'ANNA');
      else await server.cancelReservation(operator, { id, force: true });
      await comesTo(id, { status: end === 'use' ? 'USED' : 'CANCELLED' });
      charger.behaviour = { type: 'normal' };
      charger.answerHeld();
      const moved = await moving;
      await comesTo(moved.id, { status: 'CANCELLED', reason: end === 'use' ? 'MOVED' : 'OPERATOR_REQUEST' });
      await eventually(() => expect(charger.reservations).toEqual([]));
    }
  });

  it('a move keeps startsAt, extensions and isBooking, so that it cannot evade a limit', async () => {
    await server.saveSite('site', { maxExtensions: 1, cancelUntilMinutes: 30, maxDurationMinutes: 60 });
    const charger = await server.charger('CH1');
    const times = { startsAt: inMinutes(60), expiryDate: inMinutes(90) };
    const { durationMinutes: _, ...where } = input;
    const first = await server.scheduleReservation(anna, { ...where, ...times });
    await server.extendReservation(anna, { id: first.id, byMinutes: 10 });
    server.clock.advance(60 * MINUTE);
    await comesTo(first.id, { status: 'ACCEPTED' });
    const moved = await server.moveReservation(anna, { id: first.id, connectorId: 2 });
    expect(moved).toMatchObject({ status: 'ACCEPTED', startsAt: times.startsAt, extensions: 1, isBooking: true });
    expect(await server.extendReservation(anna, { id: moved.id, byMinutes: 5 })).toMatchObject({
      reasons: [{ rule: 'MAX_EXTENSIONS' }],
    });
    expect(await server.cancelReservation(anna, { id: moved.id })).toMatchObject({
      reasons: [{ rule: 'CANCEL_UNTIL' }],
    });
    expect(charger.reservations).toHaveLength(1);
  });

  it('a booking moves without the charger, and counts once against maxActivePerIdTag', async () => {
    await server.saveSite('site', { maxActivePerIdTag: 1 });
    const times = { startsAt: inMinutes(60), expiryDate: inMinutes(90) };
    const { durationMinutes: _, ...where } = input;
    const first = await server.scheduleReservation(anna, { ...where, ...times });
    const moved = await server.moveReservation(anna, { id: first.id, connectorId: 2 });
    expect(moved).toMatchObject({ status: 'SCHEDULED', connectorId: 2, ...times });
    expect(await server.reservation(first.id)).toMatchObject({ status: 'CANCELLED', reason: 'MOVED' });
  });

  it('only one of ten simultaneous moves succeeds, and one reservation is left', async () => {
    const charger = await server.charger('CH1', '1.6', { connectors: 3 });
    const { id } = await server.reserveNow(anna, input);
    const moves = await Promise.all(
      Array.from({ length: 10 }, (_, index) => server.moveReservation(anna, { id, connectorId: 2 + (index % 2) })),
    );
    expect(moves.filter(({ status }) => status === 'ACCEPTED')).toHaveLength(1);
    await eventually(() => expect(charger.reservations).toHaveLength(1));
    await comesTo(id, { status: 'CANCELLED', reason: 'MOVED' });
  });

  it('a move later than changeUntilMinutes before the end is refused', async () => {
    await server.saveSite('site', { changeUntilMinutes: 10 });
    await server.charger('CH1');
    const { id } = await server.reserveNow(anna, input);
    server.clock.advance(21 * MINUTE);
    expect(await server.moveReservation(anna, { id, connectorId: 2 })).toMatchObject({
      reasons: [{ rule: 'CHANGE_UNTIL', limitMinutes: 10 }],
    });
  });
});

describe('pre-emption by a group of higher priority', () => {
  let vip: string;
  beforeEach(async () => {
    await server.saveIdTag('VERA', { parentIdTag: 'VIP' });
    vip = await driverToken('VERA');
    await server.saveSite('site', { preemptionAllowed: true });
    await override({ parentIdTag: 'VIP' }, { priority: 10 });
  });
  const wanted = { ...input, idTag: 'VERA' };

  it('pre-emption notifies the victim’s watcher, and the charger releases the old hold before it gets the new one', async () => {
    const charger = await server.charger('CH1');
    const victim = await server.reserveNow(anna, input);
    const told = await server.watchReservations(anna, { reservationId: victim.id });
    expect(await server.reserveNow(vip, wanted)).toMatchObject({ code: 'RESERVED', mayPreempt: true });
    const made = await server.reserveNow(vip, { ...wanted, preempt: true });
    expect(made).toMatchObject({ status: 'ACCEPTED', idTag: 'VERA' });
    expect(await told.next()).toMatchObject({ type: 'CANCEL_REQUESTED', reason: 'PREEMPTED', isEndedByOthers: true });
    expect(await told.next()).toMatchObject({ type: 'CANCELLED', reason: 'PREEMPTED', to: 'CANCELLED' });
    expect(charger.reservations).toMatchObject([{ idTag: 'VERA' }]);
    const methods = charger.received.filter(({ method }) => /Reserv/.test(method)).map(({ method }) => method);
    expect(methods).toEqual(['ReserveNow', 'CancelReservation', 'ReserveNow']);
  });

  it('pre-emption is refused while the charger has not confirmed the cancel, and a retry after that gets the connector', async () => {
    const charger = await server.charger('CH1');
    const victim = await server.reserveNow(anna, input);
    charger.behaviour = { type: 'deaf' };
    const query = `mutation ($input: ReserveNowInput!) { reserveNow(input: $input) { ... on ReservationNotSettled { code reservation { idTag } } } }`;
    // The newcomer must not learn whose hold it is, so `reservation` is null.
    expect(await server.graphql(vip, query, { input: { ...wanted, preempt: true } })).toEqual({
      reserveNow: { code: 'NOT_SETTLED', reservation: null },
    });
    expect(await server.reservation(victim.id)).toMatchObject({ status: 'CANCELLING', reason: 'PREEMPTED' });
    expect(await server.database.query('SELECT id FROM reservation')).toHaveLength(1);
    charger.behaviour = { type: 'normal' };
    expect(await server.reserveNow(vip, { ...wanted, preempt: true })).toMatchObject({ status: 'ACCEPTED' });
  });

  it('pre-emption ends no hold where the charger is offline, the victim’s policy forbids it, or the priority is not higher', async () => {
    const charger = await server.charger('CH1');
    const victim = await server.reserveNow(anna, input);
    expect(await server.reserveNow(cleo, { ...input, idTag: 'CLEO', preempt: true })).toMatchObject({
      code: 'RESERVED',
      mayPreempt: false,
    });
    await override({ parentIdTag: 'FLEET' }, { preemptionAllowed: false });
    expect(await server.reserveNow(vip, { ...wanted, preempt: true })).toMatchObject({ code: 'RESERVED' });
    await override({ parentIdTag: 'FLEET' }, { priority: 10 });
    expect(await server.reserveNow(vip, { ...wanted, preempt: true })).toMatchObject({ code: 'RESERVED' });
    await override({ parentIdTag: 'FLEET' }, { priority: 9 });
    await charger.disconnect();
    // Until the server notices the disconnect, it would ask the charger to cancel the victim's hold.
    const isConnected = async () =>
      (await server.graphql(anna, '{ charger(id: "CH1") { isConnected } }')).charger.isConnected;
    await eventually(async () => expect(await isConnected()).toBe(false));
    expect(await server.reserveNow(vip, { ...wanted, preempt: true })).toMatchObject({ code: 'CHARGER_OFFLINE' });
    expect(await server.reservation(victim.id)).toMatchObject({ status: 'ACCEPTED', version: 2 });
  });

  it('pre-emption takes over a booking, and no request gets the window in between', async () => {
    const times = { startsAt: inMinutes(60), expiryDate: inMinutes(90) };
    const { durationMinutes: _, ...where } = input;
    const victim = await server.scheduleReservation(anna, { ...where, ...times });
    const racers = Array.from({ length: 20 }, () =>
      server.scheduleReservation(cleo, { ...where, idTag: 'CLEO', ...times }),
    );
    const made = await server.scheduleReservation(vip, { ...where, idTag: 'VERA', ...times, preempt: true });
    expect(made).toMatchObject({ status: 'SCHEDULED', idTag: 'VERA' });
    expect((await Promise.all(racers)).every(({ code }) => code === 'RESERVED')).toBe(true);
    expect(await server.reservation(victim.id)).toMatchObject({ status: 'CANCELLED', reason: 'PREEMPTED' });
  });

  it('only one of ten simultaneous pre-emptions of one hold gets the connector', async () => {
    const charger = await server.charger('CH1');
    await server.reserveNow(anna, input);
    const all = await Promise.all(
      Array.from({ length: 10 }, () => server.reserveNow(vip, { ...wanted, preempt: true })),
    );
    expect(all.filter(({ status }) => status === 'ACCEPTED')).toHaveLength(1);
    expect(charger.reservations).toHaveLength(1);
  });
});

describe('reservations by plugType', () => {
  const plugs = (...types: string[]) => ({
    connectors: types.map((type, index) => ({ connectorId: index + 1, plugTypes: [type] })),
  });
  const wanted = { chargerId: 'CH1', idTag: 'ANNA', plugType: 'ccs2' };

  it('OCPP 2.0.1: for a reservation by plugType the charger chooses by connectorType (TC_H_15)', async () => {
    await server.saveCharger('CH1', 'site', plugs('CCS2', 'TYPE2'));
    const charger = await server.charger('CH1', '2.0.1', { connectorTypes: ['cCCS2', 'sType2'] });
    const made = await server.reserveNow(anna, wanted);
    expect(made).toMatchObject({ status: 'ACCEPTED', connectorId: 0, plugType: 'ccs2' });
    const { payload } = charger.received.find(({ method }) => method === 'ReserveNow') ?? {};
    expect(payload).toMatchObject({ connectorType: 'cCCS2' });
    expect(payload).not.toHaveProperty('evseId');
    expect(await server.reserveNow(cleo, { ...wanted, idTag: 'CLEO' })).toMatchObject({ code: 'RESERVED' });
    expect(await charger.present(2, 'CLEO')).toBe('charging');
    expect(await charger.present(1, 'ANNA')).toBe('charging');
    await comesTo(made.id, { status: 'USED', usedConnectorId: 1 });
  });

  it('OCPP 1.6: for a reservation by plugType the server chooses an unreserved connector with that plug', async () => {
    await server.saveCharger('CH1', 'site', plugs('TYPE2', 'CCS2', 'CCS2'));
    const charger = await server.charger('CH1', '1.6', { connectors: 3 });
    expect(await server.reserveNow(anna, wanted)).toMatchObject({ status: 'ACCEPTED', connectorId: 2, plugType: null });
    await charger.present(3, 'BEN');
    expect(await server.reserveNow(anna, wanted)).toMatchObject({ __typename: 'ChargerRefused', answer: 'OCCUPIED' });
    expect(await server.reserveNow(anna, { ...wanted, plugType: 'TESLA' })).toMatchObject({
      code: 'CONNECTOR_NOT_FOUND',
    });
  });

  it('a hundred simultaneous reservations by plugType take each connector with that plug once, and the rest are refused', async () => {
    await server.saveCharger('CH1', 'site', plugs('TYPE2', 'CCS2', 'CCS2'));
    await server.charger('CH1', '1.6', { connectors: 3 });
    const all = await Promise.all(
      Array.from({ length: 100 }, () => server.reserveNow(operator, { ...wanted, idTag: 'CLEO' })),
    );
    expect(
      all
        .filter(({ status }) => status === 'ACCEPTED')
        .map(({ connectorId }) => connectorId)
        .toSorted(),
    ).toEqual([2, 3]);
    expect(all.filter(({ code }) => code === 'RESERVED')).toHaveLength(98);
  });
});

describe('reservations by siteId', () => {
  const wanted = { siteId: 'site', idTag: 'ANNA' };
  beforeEach(async () => {
    await server.saveCharger('CH2', 'site', { connectors: [{ connectorId: 1, plugTypes: ['CHADEMO'] }] });
  });

  it('a reservation by siteId gets a free connector of a connected charger, with the plug that was asked for', async () => {
    await server.charger('CH2', '1.6', { connectors: 2 });
    expect(await server.reserveNow(anna, wanted)).toMatchObject({ status: 'ACCEPTED', chargerId: 'CH2' });
    await server.charger('CH1');
    expect(await server.reserveNow(anna, { ...wanted, plugType: 'chademo' })).toMatchObject({
      code: 'NO_CONNECTOR_FREE',
    });
    expect(await server.reserveNow(anna, { ...wanted, plugType: 'TESLA' })).toMatchObject({
      code: 'CONNECTOR_NOT_FOUND',
    });
    expect(await server.reserveNow(anna, { ...wanted, siteId: 'none' })).toMatchObject({ code: 'SITE_NOT_FOUND' });
  });

  it('a reservation by siteId goes to the next charger when the first one refuses', async () => {
    const one = await server.charger('CH1');
    await server.charger('CH2');
    one.behaviour = { type: 'refuse', status: 'Rejected' };
    const keyed = { ...wanted, idempotencyKey: 'tap-1' };
    const made = await server.reserveNow(anna, keyed);
    expect(made).toMatchObject({ status: 'ACCEPTED', chargerId: 'CH2' });
    expect(await server.reserveNow(anna, keyed)).toMatchObject({ id: made.id });
  });

  it('a reservation by siteId avoids chargers whose policy override forbids it', async () => {
    await Promise.all([server.charger('CH1'), server.charger('CH2')]);
    await override({ chargerId: 'CH1' }, { maxDurationMinutes: 10, defaultDurationMinutes: 10 });
    expect(await server.reserveNow(anna, { ...wanted, durationMinutes: 20 })).toMatchObject({
      status: 'ACCEPTED',
      chargerId: 'CH2',
    });
    await override({ chargerId: 'CH2' }, { enabled: false });
    expect(await server.reserveNow(anna, { ...wanted, durationMinutes: 5 })).toMatchObject({
      status: 'ACCEPTED',
      chargerId: 'CH1',
    });
    expect(await server.reserveNow(anna, { ...wanted, preempt: true })).toMatchObject({ code: 'INVALID_INPUT' });
  });

  it('a booking by siteId without a duration lasts the site’s default duration, not the longer default of the holder’s group', async () => {
    await override({ parentIdTag: 'FLEET' }, { defaultDurationMinutes: 120 });
    const startsAt = inMinutes(60);
    for (const [chargerId, connectorId] of [
      ['CH1', 1],
      ['CH1', 2],
      ['CH2', 1],
      ['CH2', 2],
    ])
      await server.scheduleReservation(operator, {
        chargerId,
        connectorId,
        idTag: 'CLEO',
        startsAt: inMinutes(110),
        durationMinutes: 60,
      });
    const made = await server.scheduleReservation(anna, { ...wanted, startsAt });
    expect(Date.parse(made.expiryDate) - Date.parse(startsAt)).toBe(30 * MINUTE);
  });

  it('bookings by siteId are accepted until every connector of the site is booked', async () => {
    await Promise.all([server.charger('CH1'), server.charger('CH2')]);
    const times = { startsAt: inMinutes(60), expiryDate: inMinutes(90) };
    const all = await Promise.all(
      Array.from({ length: 20 }, () => server.scheduleReservation(operator, { ...wanted, ...times })),
    );
    expect(all.filter(({ status }) => status === 'SCHEDULED')).toHaveLength(4);
    expect(all.filter(({ code }) => code === 'NO_CONNECTOR_FREE')).toHaveLength(16);
  });
});

describe('reservations for a group without an idTag', () => {
  const alone = { chargerId: 'CH1', connectorId: 1, parentIdTag: 'FLEET', durationMinutes: 30 };

  it.each(['1.6', '2.0.1'] as const)(
    'OCPP %s: a reservation for a group alone is used by a member of the group, and refused to another idTag',
    async (version) => {
      await server.saveIdTag('FLEET');
      const charger = await server.charger('CH1', version);
      const made = await server.reserveNow(operator, alone);
      expect(made).toMatchObject({ status: 'ACCEPTED', idTag: null, parentIdTag: 'FLEET' });
      expect(await charger.present(1, 'CLEO')).not.toBe('charging');
      expect(await charger.present(1, 'BEN')).toBe('charging');
      await comesTo(made.id, { status: 'USED' });
    },
  );

  it('only a token that names the group may make and see a reservation for the group alone', async () => {
    await server.charger('CH1');
    expect(await server.reserveNow(anna, alone)).toMatchObject({ code: 'NOT_YOUR_ID_TAG' });
    const member = await memberToken('ANNA', 'FLEET');
    const { id } = await server.reserveNow(member, alone);
    const read = async (token: string) =>
      await server.graphql(token, `{ reservation(id: "${id}") { id } reservations { edges { node { id } } } }`);
    expect(await read(member)).toEqual({ reservation: { id }, reservations: { edges: [{ node: { id } }] } });
    expect(await read(anna)).toEqual({ reservation: null, reservations: { edges: [] } });
  });
});
