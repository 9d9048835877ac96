// The server's log at level trace: it contains no secret, and no input from outside can forge a log entry.
import { Writable } from 'node:stream';
import { pino } from 'pino';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { WebSocket } from 'ws';
import type { Log } from '../../src/common/log.ts';
import { Certificates } from '../support/certificates.ts';
import { eventually } from '../support/eventually.ts';
import { GraphQLSocket } from '../support/graphql-socket.ts';
import { Receiver } from '../support/receiver.ts';
import { adminToken, driverToken, PASSWORD, SECRET, signToken, TestServer } from '../support/test-server.ts';

const WEBHOOK_KEY = 'a-key-for-the-secrets-of-webhooks-in-tests';
let written = '';
let server: TestServer;
let certificates: Certificates;
let receiver: Receiver;
/** Texts that the log must not contain. */
const secrets = new Set<string>([SECRET, PASSWORD, WEBHOOK_KEY]);

beforeAll(async () => {
  const into = new Writable({
    write(chunk, _, done) {
      written += chunk;
      done();
    },
  });
  certificates = await Certificates.make();
  receiver = await Receiver.start();
  const log = pino({ level: 'trace', serializers: { error: pino.stdSerializers.err } }, into) as Log;
  const env = {
    ...certificates.env,
    OCPP_CLIENT_CA_KEY_FILE: certificates.path('ca.key'),
    WEBHOOK_SECRET_KEY: WEBHOOK_KEY,
    WEBHOOK_PRIVATE_TARGETS: 'on',
  };
  server = await TestServer.start({ env, log });
  await server.fill();
});
afterAll(async () => {
  await server.stop();
  await receiver.stop();
  certificates.remove();
});

it('the log at level trace contains no token, password, API key, webhook secret or private key', async () => {
  const [admin, anna] = [await adminToken(), await driverToken('ANNA')];
  const expired = await signToken('x', { role: 'admin' }, { expiresIn: '-1h' });
  const foreign = await signToken('x', { role: 'admin' }, { secret: 'y'.repeat(40) });
  for (const token of [admin, anna, expired, foreign]) secrets.add(token);
  for (const token of [expired, foreign, 'evk_nothing']) await server.post(token, '{ eventCursor }');

  // An API key: made, used, misspelt, revoked.
  const create =
    'mutation { createApiKey(input: { name: "x", role: ADMIN }) { ... on CreatedApiKey { secret apiKey { id } } } }';
  const { createApiKey } = await server.graphql(admin, create);
  secrets.add(createApiKey.secret);
  secrets.add(createApiKey.secret.split('_').slice(2).join('_'));
  await server.graphql(createApiKey.secret, '{ eventCursor }');
  await server.post(`${createApiKey.secret.slice(0, -1)}_`, '{ eventCursor }');
  await server.graphql(admin, `mutation { revokeApiKey(id: "${createApiKey.apiKey.id}") { __typename } }`);

  // Chargers: logged in, refused, given another password and a certificate.
  const { csr } = await certificates.request('CN=CH1');
  const url = `wss://127.0.0.1:${server.app.ocppTlsPort}/ocpp`;
  const tls = { ca: certificates.ca };
  const charger = await server.charger('CH1', '1.6', { url, tls, requestCertificate: () => csr });
  secrets.add('a-wrong-password');
  await server.rawCharger('CH1', 'ocpp1.6', 'a-wrong-password').catch(() => {});
  await server.graphql(admin, 'mutation { renewChargerCertificate(id: "CH1") { __typename } }');
  await server.graphql(admin, 'mutation { changeChargerPassword(id: "CH1") { __typename } }');
  const changed = charger.received.find(({ method }) => method === 'ChangeConfiguration')?.payload.value;
  secrets.add(changed);
  secrets.add(Buffer.from(changed, 'hex').toString());
  await eventually(() => expect(charger.received.map(({ method }) => method)).toContain('CertificateSigned'));
  await server.saveCharger('CH9', 'site', { password: 'another-secret-password' });
  secrets.add('another-secret-password');

  // A webhook that fails.
  const input = { name: 'hook', url: receiver.url, siteIds: ['site'] };
  const save = 'mutation ($input: SaveWebhookInput!) { saveWebhook(input: $input) { ... on SavedWebhook { secret } } }';
  const { saveWebhook } = await server.graphql(admin, save, { input });
  secrets.add(saveWebhook.secret);
  secrets.add(saveWebhook.secret.slice('whsec_'.length));
  receiver.answer = () => 500;

  // Failures over WebSocket, HTTP and OCPP: an expired token in a ping, tokens in URLs, a missing table.
  await eventually(() => expect(charger.isConnected).toBe(true));
  await eventually(async () => {
    const made = await server.reserveNow(anna, { chargerId: 'CH1', connectorId: 1, idTag: 'ANNA', durationMinutes: 5 });
    expect(made.status).toBe('ACCEPTED');
  });
  const socket = await GraphQLSocket.connect(server.url, anna);
  socket.send({ type: 'ping', payload: { authorization: `Bearer ${expired}` } });
  await socket.closed;
  await fetch(`${server.url}?query=x&token=${admin}`, { headers: { authorization: `Bearer ${admin}` } });
  await fetch(server.url.replace('/graphql', `/nothing/${admin}`), { headers: { authorization: `Bearer ${admin}` } });
  await server.database.query('ALTER TABLE charger RENAME TO charger_away');
  await server.post(admin, '{ charger(id: "CH1") { id } }');
  await server.rawCharger('CH1').catch(() => {});
  await server.database.query('ALTER TABLE charger_away RENAME TO charger');
  await eventually(() => expect(written).toContain('a webhook was not delivered to'));

  expect(written).toContain('a request failed');
  expect(written).toContain('a charger was refused');
  for (const secret of secrets) expect([secret, written.includes(secret)]).toEqual([secret, false]);
  expect(written).not.toMatch(/BEGIN [A-Z ]*PRIVATE KEY|scrypt\$|Bearer |Basic [A-Za-z0-9+/]{8}/);
});

it('no input from outside can forge, split or overfill a log entry', async () => {
  const forged = '{"level":50,"msg":"forged"}';
  const before = written.length;
  for (const id of [
    `A%0A${encodeURIComponent(forged)}%0A`,
    `B\u2028${forged}`,
    encodeURIComponent(`C\r\n${forged}\r\n`),
    `D${'x'.repeat(5000)}`,
  ]) {
    await new Promise((resolve) => {
      const socket = new WebSocket(`${server.ocppUrl}/${encodeURI(id)}`, ['ocpp1.6'], {
        headers: { authorization: `Basic ${Buffer.from(`x:\n${forged}`).toString('base64')}` },
      });
      socket.on('error', resolve);
      socket.on('unexpected-response', resolve);
    });
  }
  const charger = await server.rawCharger('CH9', 'ocpp1.6', 'another-secret-password');
  charger.send(`\n${forged}\n`);
  await charger
    .call('BootNotification', { chargePointVendor: `V\n${forged}`.slice(0, 20), chargePointModel: 'M\r\n' })
    .catch(() => {});
  charger.close();
  await fetch(server.url, {
    method: 'POST',
    headers: { 'content-type': 'application/json', 'user-agent': forged, 'x-forwarded-for': `1.1.1.1, ${forged}` },
    body: `\n${forged}\n`,
  });
  const lines = written.slice(before).split('\n').filter(Boolean);
  expect(lines.length).toBeGreaterThan(0);
  for (const line of lines) {
    const entry = JSON.parse(line);
    expect(entry.msg).not.toBe('forged');
    expect(line.length).toBeLessThan(5000);
  }
});
