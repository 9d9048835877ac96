// Tests which address a request counts for, and whose word is trusted for it.
import type { IncomingMessage } from 'node:http';
import { expect, it } from 'vitest';
import { clientAddress, networkOf, trustProxies } from '../../src/common/client-address.ts';

const from = (forwarded: string, remoteAddress = '10.0.0.1') =>
  clientAddress(
    { headers: { 'x-forwarded-for': forwarded }, socket: { remoteAddress } } as unknown as IncomingMessage,
    trustProxies(['10.0.0.0/8']),
  );

it.each([
  ['203.0.113.9', '203.0.113.9'],
  ['203.0.113.9:5432', '203.0.113.9'],
  ['2001:db8::1', '2001:db8::1'],
  ['[2001:db8::1]:5432', '2001:db8::1'],
  ['[2001:db8::1]', '2001:db8::1'],
  // The address that the client claims stands before the one that the proxy adds.
  ['198.51.100.1, 203.0.113.9:5432', '203.0.113.9'],
  ['198.51.100.1, 203.0.113.9, 10.0.0.7', '203.0.113.9'],
  ['198.51.100.1, 203.0.113.9:5432, 10.0.0.7:80', '203.0.113.9'],
  ['nonsense', '10.0.0.1'],
  ['"><script>', '10.0.0.1'],
])('X-Forwarded-For %s gives the client address %s', (forwarded, address) => expect(from(forwarded)).toBe(address));

it('X-Forwarded-For from an untrusted address is ignored', () =>
  expect(from('203.0.113.9', '192.0.2.1')).toBe('192.0.2.1'));

it('addresses of one IPv6 network count as one peer', () => {
  expect(networkOf('2001:db8:1:2::1')).toBe(networkOf('2001:db8:1:2:ffff::1'));
  expect(networkOf('2001:db8:1:3::1')).not.toBe(networkOf('2001:db8:1:2::1'));
  expect(networkOf('::ffff:203.0.113.9')).toBe('203.0.113.9');
});
