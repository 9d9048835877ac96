// The OCPP gateway in raw frames: which chargers may connect, how it answers their calls and how it calls them.
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { WebSocket } from 'ws';
import { eventually } from '../support/eventually.ts';
import { RawCharger } from '../support/raw-charger.ts';
import { adminToken, driverToken, TestServer } from '../support/test-server.ts';

let server: TestServer;

beforeAll(async () => {
  server = await TestServer.start({ env: { CHARGER_ANSWER_TIMEOUT_SECONDS: '1' } });
  await server.fill();
  for (const id of ['CH2', 'CH3', 'CH4', 'CH5', 'CH6', 'CH7', 'CH8']) await server.saveCharger(id);
});
afterAll(() => server.stop());

describe('admission of chargers', () => {
  const refusal = (id: string, password: string) =>
    RawCharger.connect({ url: server.ocppUrl, id, password }).then(
      () => 'connected',
      (error: Error) => error.message,
    );

  it('the gateway refuses an unknown charger with 404 and a wrong password with 401', async () => {
    expect(await refusal('NOBODY', 'charger-password')).toBe('HTTP 404');
    expect(await refusal('CH1', 'wrong')).toBe('HTTP 401');
    expect(await refusal('CH1', '')).toBe('HTTP 401');
  });

  it('the gateway refuses a charger that presents the credentials of another charger', async () => {
    const authorization = `Basic ${Buffer.from('CH2:charger-password').toString('base64')}`;
    const socket = new WebSocket(`${server.ocppUrl}/CH1`, ['ocpp1.6'], { headers: { authorization } });
    const status = await new Promise((resolve) => {
      socket.on('unexpected-response', (_, response) => resolve(response.statusCode));
      socket.on('error', () => {});
    });
    expect(status).toBe(401);
  });

  it.each(['ocpp1.5', ''])(
    'a client that offers only the subprotocol "%s" is disconnected and not recorded as connected',
    async (subprotocol) => {
      const headers = { authorization: `Basic ${Buffer.from('CH1:charger-password').toString('base64')}` };
      const socket = new WebSocket(`${server.ocppUrl}/CH1`, subprotocol ? [subprotocol] : [], { headers });
      socket.on('error', () => {}); // The ws client fails the handshake when the server selects no subprotocol.
      const code = await new Promise((resolve) => {
        socket.on('close', (closeCode) => resolve(closeCode));
      });
      expect([1002, 1006]).toContain(code);
      const [row] = await server.database.query<{ n: number }>(
        `SELECT connection_epoch AS n FROM charger WHERE id = 'CH1'`,
      );
      expect(row?.n).toBe(0);
    },
  );

  it('the gateway selects the first subprotocol offered by the charger that it supports', async () => {
    const headers = { authorization: `Basic ${Buffer.from('CH1:charger-password').toString('base64')}` };
    const socket = new WebSocket(`${server.ocppUrl}/CH1`, ['ocpp9.9', 'ocpp2.1', 'ocpp1.6'], { headers });
    await new Promise((resolve) => socket.once('open', resolve));
    expect(socket.protocol).toBe('ocpp2.1');
    socket.terminate();
  });

  it('a newer connection of a charger replaces the older one', async () => {
    const before = await server.rawCharger('CH2');
    const after = await server.rawCharger('CH2');
    expect(await before.closed).toMatchObject({ code: 1000, reason: expect.stringContaining('newer connection') });
    expect(await after.call('Heartbeat', {})).toEqual({ currentTime: expect.stringMatching(/Z$/) });
    const query = '{ charger(id: "CH2") { isConnected } }';
    expect(await server.graphql(await adminToken(), query)).toEqual({ charger: { isConnected: true } });
  });

  it('a connection ends when the charger’s password changes or the charger is removed', async () => {
    const charger = await server.rawCharger('CH7');
    await server.saveCharger('CH7', 'site', { password: 'another-password' });
    expect(await charger.closed).toMatchObject({ code: 1000 });
    const again = await server.rawCharger('CH7', 'ocpp1.6', 'another-password');
    await server.graphql(await adminToken(), 'mutation { removeCharger(id: "CH7") { __typename } }');
    expect(await again.closed).toMatchObject({ code: 1000 });
    expect(await refusal('CH7', 'another-password')).toBe('HTTP 404');
  });
});

describe('answers to chargers', () => {
  it('an unknown action is answered with NotImplemented', async () => {
    const charger = await server.rawCharger('CH3');
    charger.send([2, 'x1', 'MakeCoffee', {}]);
    expect(await charger.answers.next()).toEqual([4, 'x1', 'NotImplemented', expect.any(String), {}]);
    charger.send([2, 'x2', 'toString', {}]);
    expect((await charger.answers.next()).slice(0, 3)).toEqual([4, 'x2', 'NotImplemented']);
  });

  it.each([
    ['ocpp1.6', 'FormationViolation', 'OccurenceConstraintViolation'],
    ['ocpp2.0.1', 'FormatViolation', 'OccurrenceConstraintViolation'],
    ['ocpp2.1', 'FormatViolation', 'OccurrenceConstraintViolation'],
  ])('an invalid payload is answered with the error codes of %s', async (subprotocol, format, occurrence) => {
    const charger = await server.rawCharger('CH3', subprotocol);
    const authorize = subprotocol === 'ocpp1.6' ? { idTag: 5 } : { idToken: { idToken: 5, type: 'Central' } };
    const tooLong =
      subprotocol === 'ocpp1.6'
        ? { idTag: 'x'.repeat(21) }
        : { idToken: { idToken: 'x'.repeat(256), type: 'Central' } };
    charger.send([2, 'a', 'Authorize', authorize]);
    expect((await charger.answers.next()).slice(0, 3)).toEqual([4, 'a', 'TypeConstraintViolation']);
    charger.send([2, 'b', 'Authorize', {}]);
    expect((await charger.answers.next()).slice(0, 3)).toEqual([4, 'b', occurrence]);
    charger.send([2, 'c', 'Authorize', tooLong]);
    expect((await charger.answers.next()).slice(0, 3)).toEqual([4, 'c', 'PropertyConstraintViolation']);
    charger.send([2, 'd', 'Heartbeat', { coffee: true }]);
    expect((await charger.answers.next()).slice(0, 3)).toEqual([4, 'd', format]);
    charger.send([2, 'e', 'Heartbeat']);
    expect((await charger.answers.next()).slice(0, 3)).toEqual([4, 'e', format]);
  });

  it('malformed OCPP frames are answered with an error, and the connection stays open', async () => {
    const charger = await server.rawCharger('CH3', 'ocpp2.0.1');
    for (const frame of ['{', '"text"', '[]', '[2]', 'null']) {
      charger.send(frame);
      expect((await charger.answers.next()).slice(0, 3)).toEqual([4, '-1', 'RpcFrameworkError']);
    }
    charger.send([9, 'x', 'Heartbeat', {}]);
    expect((await charger.answers.next()).slice(0, 3)).toEqual([4, 'x', 'MessageTypeNotSupported']);
    charger.socket.send(Buffer.from([1, 2, 3]));
    expect((await charger.answers.next()).slice(0, 3)).toEqual([4, '-1', 'RpcFrameworkError']);
    charger.send([3, 'nobody asked', {}]);
    expect(await charger.call('Heartbeat', {})).toMatchObject({ currentTime: expect.any(String) });
  });

  it.each(['ocpp1.6', 'ocpp2.0.1', 'ocpp2.1'])(
    '%s frames nested 30 000 levels deep leave the connection open',
    async (version) => {
      const charger = await server.rawCharger('CH3', version);
      const deep = `${'['.repeat(30_000)}${']'.repeat(30_000)}`;
      const frames = [
        deep,
        `[${deep},"a","b",{}]`,
        `[2,${deep},"Heartbeat",{}]`,
        `[2,"a",${deep},{}]`,
        `[2,"a","Heartbeat",${deep}]`,
        `[2,"a","DataTransfer",{"vendorId":"v","data":${deep}}]`,
        `[2,"a","Heartbeat",{"customData":${deep}}]`,
        `[3,"a",${deep}]`,
        `[3,"a",{"status":${deep}}]`,
        `[4,"a",${deep},${deep},{}]`,
        `[5,"a",${deep},${deep},{}]`,
        `[6,"a","NotifyPeriodicEventStream",${deep}]`,
      ];
      for (const frame of frames) charger.send(frame);
      expect(await charger.call('Heartbeat', {})).toMatchObject({ currentTime: expect.any(String) });
    },
  );

  it('an OCPP 2.1 charger may send Send and CallResultError frames, and neither is answered', async () => {
    const charger = await server.rawCharger('CH3', 'ocpp2.1');
    charger.send([
      6,
      's1',
      'NotifyPeriodicEventStream',
      { id: 1, pending: 0, basetime: new Date().toISOString(), data: [] },
    ]);
    charger.send([5, 'r1', 'FormatViolation', '', {}]);
    expect(await charger.call('Heartbeat', {})).toMatchObject({ currentTime: expect.any(String) });
    expect(charger.answers.all).toHaveLength(1);
  });

  it('a numeric message id is echoed in the answer', async () => {
    const charger = await server.rawCharger('CH3');
    charger.send([2, 17, 'Heartbeat', {}]);
    expect((await charger.answers.next()).slice(0, 2)).toEqual([3, 17]);
  });

  it('the calls of one charger are answered in their order', async () => {
    const charger = await server.rawCharger('CH3');
    for (let index = 0; index < 30; index += 1) {
      charger.send([2, `m${index}`, index % 2 ? 'Heartbeat' : 'Authorize', index % 2 ? {} : { idTag: 'ANNA' }]);
    }
    const ids = [];
    for (let index = 0; index < 30; index += 1) ids.push((await charger.answers.next())[1]);
    expect(ids).toEqual(Array.from({ length: 30 }, (_, index) => `m${index}`));
  });

  it('notifications that need no action by the server get the answers that the OCPP specification requires', async () => {
    const v16 = await server.rawCharger('CH3');
    expect(await v16.call('FirmwareStatusNotification', { status: 'Installed' })).toEqual({});
    expect(await v16.call('DiagnosticsStatusNotification', { status: 'Idle' })).toEqual({});
    expect(await v16.call('DataTransfer', { vendorId: 'acme' })).toEqual({ status: 'UnknownVendorId' });
    const timestamp = new Date().toISOString();
    expect(await v16.call('SecurityEventNotification', { type: 'Tamper', timestamp })).toEqual({});
    expect(await v16.call('LogStatusNotification', { status: 'Uploaded' })).toEqual({});
    expect(await v16.call('SignedFirmwareStatusNotification', { status: 'Installed' })).toEqual({});
    expect(
      await v16.call('MeterValues', { connectorId: 1, meterValue: [{ timestamp, sampledValue: [{ value: '1' }] }] }),
    ).toEqual({});
    const v201 = await server.rawCharger('CH4', 'ocpp2.0.1');
    expect(await v201.call('SecurityEventNotification', { type: 'Tamper', timestamp })).toEqual({});
    expect(await v201.call('FirmwareStatusNotification', { status: 'Installed' })).toEqual({});
    expect(await v201.call('LogStatusNotification', { status: 'Uploaded' })).toEqual({});
    expect(await v201.call('NotifyReport', { requestId: 1, seqNo: 0, generatedAt: timestamp })).toEqual({});
    expect(await v201.call('DataTransfer', { vendorId: 'acme' })).toEqual({ status: 'UnknownVendorId' });
    expect(
      await v201.call('MeterValues', { evseId: 1, meterValue: [{ timestamp, sampledValue: [{ value: 1 }] }] }),
    ).toEqual({});
  });

  it('the state of a 2.x EVSE is read from StatusNotification and from NotifyEvent', async () => {
    const charger = await server.rawCharger('CH4', 'ocpp2.0.1');
    const timestamp = new Date().toISOString();
    const state = async () => {
      const query = '{ charger(id: "CH4") { connectors { connectorId state } } }';
      return (await server.graphql(await adminToken(), query)).charger.connectors;
    };
    for (const connectorId of [1, 2]) {
      await charger.call('StatusNotification', { timestamp, connectorStatus: 'Available', evseId: 1, connectorId });
    }
    expect(await state()).toEqual([{ connectorId: 1, state: 'AVAILABLE' }]);
    // One faulted plug leaves the EVSE AVAILABLE through the other plug; one occupied plug makes the EVSE OCCUPIED.
    await charger.call('StatusNotification', { timestamp, connectorStatus: 'Faulted', evseId: 1, connectorId: 2 });
    expect(await state()).toEqual([{ connectorId: 1, state: 'AVAILABLE' }]);
    await charger.call('NotifyEvent', {
      generatedAt: timestamp,
      seqNo: 0,
      eventData: [
        {
          eventId: 1,
          timestamp,
          trigger: 'Delta',
          actualValue: 'Occupied',
          eventNotificationType: 'CustomMonitor',
          component: { name: 'Connector', evse: { id: 1, connectorId: 1 } },
          variable: { name: 'AvailabilityState' },
        },
      ],
    });
    expect(await state()).toEqual([{ connectorId: 1, state: 'OCCUPIED' }]);
  });
});

describe('calls to chargers', () => {
  const boot = { chargePointVendor: 'Acme', chargePointModel: 'One' };

  it('after a BootNotification the server reads whether an OCPP 1.6 charger supports reservations', async () => {
    const charger = await server.rawCharger('CH5');
    expect(await charger.call('BootNotification', boot)).toEqual({
      status: 'Accepted',
      currentTime: expect.any(String),
      interval: 300,
    });
    const { id, payload } = await charger.expectCall('GetConfiguration');
    expect(payload).toEqual({ key: ['SupportedFeatureProfiles', 'ReserveConnectorZeroSupported'] });
    charger.answer(id, {
      configurationKey: [{ key: 'SupportedFeatureProfiles', readonly: true, value: 'Core, SmartCharging' }],
    });
    const query = '{ charger(id: "CH5") { vendor model ocppVersion supportsReservation } }';
    await eventually(async () =>
      expect(await server.graphql(await adminToken(), query)).toEqual({
        charger: { vendor: 'Acme', model: 'One', ocppVersion: '1.6', supportsReservation: false },
      }),
    );
    const refused = await server.reserveNow(await driverToken('ANNA'), {
      chargerId: 'CH5',
      connectorId: 1,
      idTag: 'ANNA',
    });
    expect(refused).toMatchObject({ __typename: 'ReservationNotSupported', code: 'NOT_SUPPORTED' });
  });

  it('the server sends a charger one call at a time, and answers the charger’s calls meanwhile', async () => {
    const charger = await server.rawCharger('CH8');
    const anna = await driverToken('ANNA');
    const first = server.reserveNow(anna, { chargerId: 'CH8', connectorId: 1, idTag: 'ANNA' });
    const call = await charger.expectCall('ReserveNow');
    const second = server.reserveNow(anna, { chargerId: 'CH8', connectorId: 2, idTag: 'ANNA' });
    // The charger sends Authorize before it answers ReserveNow: a half-duplex server would deadlock here.
    expect(await charger.call('Authorize', { idTag: 'ANNA' })).toMatchObject({ idTagInfo: { status: 'Accepted' } });
    expect(charger.calls.all).toHaveLength(1);
    charger.answer(call.id, { status: 'Accepted' });
    const next = await charger.expectCall('ReserveNow');
    charger.answer(next.id, { status: 'Accepted' });
    expect([(await first).status, (await second).status]).toEqual(['ACCEPTED', 'ACCEPTED']);
  });

  it('a ReserveNow answer that violates its schema leaves the reservation UNKNOWN', async () => {
    const charger = await server.rawCharger('CH8');
    await server.saveIdTag('DORA');
    await server.saveCharger('CH8', 'site', { connectors: [1, 2, 3].map((connectorId) => ({ connectorId })) });
    const dora = await driverToken('DORA');
    const reserving = server.reserveNow(dora, { chargerId: 'CH8', connectorId: 3, idTag: 'DORA' });
    const { id } = await charger.expectCall('ReserveNow');
    charger.answer(id, { status: 'Perhaps' });
    expect(await reserving).toMatchObject({ status: 'UNKNOWN' });
  });
});
