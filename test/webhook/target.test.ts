// Addresses that a webhook must not be sent to, in whatever notation they are written.
import { afterAll, describe, expect, it } from 'vitest';
import { isPublicAddress, NotDelivered, webhookTarget } from '../../src/webhook/target.ts';
import { Receiver } from '../support/receiver.ts';
import { TestClock } from '../support/test-clock.ts';
import { operatorToken, TestServer } from '../support/test-server.ts';

const target = webhookTarget({ allowPrivate: false, clock: new TestClock() });
afterAll(() => target.close());

it.each([
  '127.0.0.1',
  '127.255.0.1',
  '10.1.2.3',
  '172.16.0.1',
  '172.31.255.255',
  '192.168.1.1',
  '169.254.169.254',
  '100.64.0.1',
  '0.0.0.0',
  '224.0.0.1',
  '255.255.255.255',
  '192.0.2.1',
  '198.18.0.1',
  '240.0.0.1',
  '::1',
  '::',
  'fe80::1',
  'fc00::1',
  'fd12::1',
  'ff02::1',
  '::ffff:127.0.0.1',
  '::ffff:10.0.0.1',
  '64:ff9b::7f00:1',
  '2002:7f00:1::',
  '2001:db8::1',
  '2001::1',
])('%s is not a public address', (address) => {
  expect(isPublicAddress(address)).toBe(false);
});

it.each(['8.8.8.8', '93.184.216.34', '2606:4700::1111', '172.32.0.1'])('%s is a public address', (address) => {
  expect(isPublicAddress(address)).toBe(true);
});

describe.each([
  'http://example.com/hook',
  'https://127.0.0.1/',
  'https://127.1/',
  'https://2130706433/',
  'https://0x7f.0.0.1/',
  'https://0177.0.0.1/',
  'https://[::1]/',
  'https://[::ffff:169.254.169.254]/latest/meta-data',
  'https://169.254.169.254/latest/meta-data',
  'https://localhost/',
  'https://user:password@example.com/',
  'ftp://example.com/',
  'file:///etc/passwd',
  'gopher://example.com/',
  'https://',
  'nothing',
  `https://example.com/${'x'.repeat(3000)}`,
])('a webhook to %s', (url) => {
  it('a forbidden webhook target is refused when its URL is checked', async () => {
    expect(await target.check(url)).toMatch(/^It (must|is)/);
  });

  it('a forbidden webhook target is refused when a message is sent to it', async () => {
    await expect(target.post(url, {}, '{}')).rejects.toBeInstanceOf(NotDelivered);
  });
});

it('a host name that resolves to a private address is refused when the connection is made', async () => {
  const receiver = await Receiver.start();
  const url = receiver.url.replace('http:', 'https:').replace('127.0.0.1', 'localhost');
  await expect(target.post(url, {}, '{}')).rejects.toThrow('private network');
  expect(receiver.received.all).toEqual([]);
  await receiver.stop();
});

it('saveWebhook refuses a forbidden target, naming the field url, and stores nothing', async () => {
  const server = await TestServer.start({ env: { WEBHOOK_SECRET_KEY: 'a-key-for-the-secrets-of-webhooks-in-tests' } });
  await server.saveSite('site');
  const operator = await operatorToken('site');
  const query = `mutation ($input: SaveWebhookInput!) { saveWebhook(input: $input) { __typename ... on InvalidInput { field message } } }`;
  for (const url of ['https://169.254.169.254/', 'https://localhost:5432/', 'http://example.com/']) {
    const input = { name: 'inside', url, siteIds: ['site'] };
    expect((await server.graphql(operator, query, { input })).saveWebhook).toMatchObject({ field: 'url' });
  }
  expect(await server.database.query('SELECT id FROM webhook')).toEqual([]);
  await server.stop();
});
