// Fuzz tests of the OCPP gateway: random frames neither close the socket nor cause an internal error, and frames beyond
// a limit harm no other charger.
import fc from 'fast-check';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { faultLog } from '../support/fault-log.ts';
import { RawCharger } from '../support/raw-charger.ts';
import { driverToken, PASSWORD, TestServer } from '../support/test-server.ts';

const { log, faults } = faultLog();
let server: TestServer;

beforeAll(async () => {
  server = await TestServer.start({ log });
  await server.fill();
  for (const id of ['CH2', 'CH3']) await server.saveCharger(id);
});
afterAll(() => server.stop());

const actions16 = [
  'Authorize',
  'BootNotification',
  'StartTransaction',
  'StopTransaction',
  'StatusNotification',
  'MeterValues',
  'Heartbeat',
  'DataTransfer',
  'ReserveNow',
];
const actions2x = [
  'Authorize',
  'BootNotification',
  'TransactionEvent',
  'StatusNotification',
  'NotifyEvent',
  'ReservationStatusUpdate',
  'Heartbeat',
];
const timestamp = '2026-05-01T10:00:00Z';
const idToken = { idToken: 'ANNA', type: 'ISO14443' };
const valid: Record<string, object> = {
  'ocpp1.6 StartTransaction': { connectorId: 1, idTag: 'ANNA', meterStart: 0, timestamp, reservationId: 3 },
  'ocpp1.6 StatusNotification': { connectorId: 1, errorCode: 'NoError', status: 'Available', timestamp },
  'ocpp1.6 Authorize': { idTag: 'ANNA' },
  'ocpp1.6 StopTransaction': { transactionId: 1, meterStop: 1, timestamp },
  'ocpp2.x TransactionEvent': {
    eventType: 'Started',
    timestamp,
    triggerReason: 'Authorized',
    seqNo: 0,
    transactionInfo: { transactionId: 'T' },
    evse: { id: 1 },
    idToken,
    reservationId: 3,
  },
  'ocpp2.x StatusNotification': { timestamp, connectorStatus: 'Available', evseId: 1, connectorId: 1 },
  'ocpp2.x Authorize': { idToken },
  'ocpp2.x ReservationStatusUpdate': { reservationId: 3, reservationUpdateStatus: 'Removed' },
};

const odd = fc.oneof(
  fc.constantFrom<unknown>(
    '',
    '\u0000',
    'x\u0000y',
    '\ud800',
    '🚗'.repeat(9),
    -1,
    0,
    2 ** 31,
    2 ** 53,
    -(2 ** 31) - 1,
    1.5,
    1e308,
    null,
    true,
    [],
    {},
    '0000-01-01T00:00:00Z',
    '9999-12-31T23:59:59.999Z',
    '2026-13-45',
    '1970-01-01T00:00:00Z',
    { toString: 1 },
    { toJSON: 1, valueOf: 2 },
  ),
  fc.string({ unit: 'binary', maxLength: 300 }),
  fc.integer(),
);

/** A valid payload, or one with a member replaced or added. */
const mutated = (kind: string) =>
  fc.constantFrom(...Object.entries(valid).filter(([name]) => name.startsWith(kind))).chain(([name, payload]) =>
    fc.tuple(fc.constantFrom(...Object.keys(payload), 'extra'), odd, fc.boolean()).map(([member, value, isWhole]) => ({
      action: name.split(' ')[1] ?? '',
      payload: isWhole ? payload : { ...payload, [member]: value },
    })),
  );

const frames = (kind: string, actions: string[]) =>
  fc.oneof(
    fc.string({ unit: 'binary', maxLength: 200 }),
    fc.json({ maxDepth: 3 }),
    fc
      .tuple(
        fc.oneof(fc.integer({ min: -1, max: 9 }), odd),
        odd,
        fc.oneof(fc.constantFrom(...actions, 'toString', '__proto__'), odd),
        fc.oneof(fc.jsonValue({ maxDepth: 3 }), odd),
      )
      .map((frame) => JSON.stringify(frame)),
    mutated(kind).map(({ action, payload }) => JSON.stringify([2, 'fuzz', action, payload])),
    mutated(kind).map(({ action, payload }) => JSON.stringify([2, 'fuzz', action, payload]).slice(0, -7)),
    fc.constant(JSON.stringify([2, 'deep', 'DataTransfer', { vendorId: 'v', data: '['.repeat(50_000) }])),
    fc.constant('['.repeat(100_000)),
  );

describe.each([
  ['ocpp1.6', 'ocpp1.6', actions16],
  ['ocpp2.0.1', 'ocpp2.x', actions2x],
  ['ocpp2.1', 'ocpp2.x', actions2x],
])('an %s charger', (subprotocol, kind, actions) => {
  it('no random frame closes the socket or causes an internal error', async () => {
    let charger = await server.rawCharger('CH2', subprotocol);
    let beats = 0;
    const property = fc.asyncProperty(
      fc.array(frames(kind, actions), { minLength: 1, maxLength: 20 }),
      async (sent) => {
        for (const frame of sent) charger.send(frame);
        beats += 1;
        charger.send([2, `beat-${beats}`, 'Heartbeat', {}]);
        await charger.answers.until(([, id]) => id === `beat-${beats}`);
        expect(charger.socket.readyState).toBe(charger.socket.OPEN);
        expect(faults.splice(0)).toEqual([]);
        // A new connection resets the limits on bad frames and on the rate, which other tests cover.
        if (beats % 15 === 0) {
          await charger.close();
          charger = await server.rawCharger('CH2', subprotocol);
        }
      },
    );
    await fc.assert(property, { numRuns: 60 });
  });
});

describe('frames beyond the limits', () => {
  it('an OCPP frame of 1 MB closes the socket with 1009; the charger may reconnect, and another charger is still served', async () => {
    const other = await server.rawCharger('CH3');
    const charger = await server.rawCharger('CH2');
    charger.send(JSON.stringify([2, 'big', 'DataTransfer', { vendorId: 'v', data: 'x'.repeat(1_000_000) }]));
    expect(await charger.closed).toMatchObject({ code: 1009 });
    expect(await other.call('Heartbeat', {})).toMatchObject({ currentTime: expect.any(String) });
    const back = await server.rawCharger('CH2');
    expect(await back.call('Heartbeat', {})).toMatchObject({ currentTime: expect.any(String) });
  });

  it('an OCPP frame cut off by a lost connection is discarded', async () => {
    const charger = await server.rawCharger('CH2');
    const stream = (charger.socket as unknown as { _socket: { write(bytes: Buffer): void; destroy(): void } })._socket;
    const head = Buffer.from([0x81, 0x80 | 60, 0, 0, 0, 0]);
    stream.write(Buffer.concat([head, Buffer.from('[2,"half","StartTransaction",{"conn')]));
    stream.destroy();
    const back = await server.rawCharger('CH2');
    expect(await back.call('Heartbeat', {})).toMatchObject({ currentTime: expect.any(String) });
    expect(await server.database.query('SELECT FROM transaction WHERE wire_id = $1', ['half'])).toEqual([]);
  });

  it('too many unreadable frames in a row close the socket with 1008', async () => {
    const charger = await server.rawCharger('CH2');
    for (let index = 0; index < 150; index += 1) charger.socket.send(Buffer.from([index]));
    expect(await charger.closed).toMatchObject({ code: 1008, reason: 'Too many frames that cannot be read' });
  });

  it('a flood of OCPP calls is read more slowly and answered in full and in order, while another charger is served', async () => {
    const other = await server.rawCharger('CH3');
    const charger = await server.rawCharger('CH2');
    for (let index = 0; index < 6000; index += 1) charger.send([2, `f${index}`, 'Heartbeat', {}]);
    for (let index = 0; index < 5; index += 1) {
      expect(await other.call('Heartbeat', {})).toMatchObject({ currentTime: expect.any(String) });
    }
    await charger.answers.until(([, id]) => id === 'f400');
    expect(charger.answers.all.length).toBeLessThan(6000);
    while (charger.answers.all.length < 6000) {
      server.clock.advance(1000);
      await other.call('Heartbeat', {});
    }
    expect(charger.answers.all.map(([, id]) => id)).toEqual(Array.from({ length: 6000 }, (_, index) => `f${index}`));
  });

  it('a charger that sends calls but never reads the answers is disconnected, and the server stays up', async () => {
    const charger = await RawCharger.connect({ url: server.ocppUrl, id: 'CH2', password: PASSWORD });
    charger.socket.pause();
    const long = 'y'.repeat(200_000);
    let isOver = false;
    void charger.closed.then(() => {
      isOver = true;
    });
    for (let index = 0; index < 400 && !isOver; index += 1) {
      charger.socket.send(JSON.stringify([2, `${index}${long}`, 'MakeCoffee', {}]));
      server.clock.advance(1000);
      await new Promise<void>((next) => setImmediate(next));
    }
    charger.socket.resume();
    expect(await charger.closed).toMatchObject({ code: 1006 });
    const text = await fetch(server.url.replace('graphql', 'healthz'));
    expect(text.status).toBe(200);
  });

  it('exactly one of eight sockets that a charger opens at once stays open, and a reservation through that socket is ACCEPTED', async () => {
    const both = await Promise.all(Array.from({ length: 8 }, () => server.rawCharger('CH2')));
    const ends = await Promise.all(
      both.map(({ closed, socket }) => Promise.race([closed.then(() => 'closed'), stays(socket)])),
    );
    expect(ends.filter((end) => end === 'open')).toHaveLength(1);
    const left = both[ends.indexOf('open')] as RawCharger;
    const reserving = server.reserveNow(await driverToken('ANNA'), { chargerId: 'CH2', connectorId: 1, idTag: 'ANNA' });
    const { id } = await left.expectCall('ReserveNow');
    left.answer(id, { status: 'Accepted' });
    expect(await reserving).toMatchObject({ status: 'ACCEPTED' });
  });
});

/** Resolves with `open` after five pongs; until then a close frame may still be on its way. */
function stays(socket: RawCharger['socket']): Promise<'open'> {
  return new Promise((resolve) => {
    let pongs = 0;
    socket.on('pong', () => {
      pongs += 1;
      if (pongs === 5) resolve('open');
      else socket.ping();
    });
    socket.ping();
  });
}
