// Where a request comes from, as far as it is to be believed.
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
  // What the client itself says stands before what the proxy adds.
  ['198.51.100.1, 203.0.113.9:5432', '203.0.113.9'],
  ['198.51.100.1, 203.0.113.9, 10.0.0.7', '203.0.113.9'],
  ['198.51.100.1, 203.0.113.9:5432, 10.0.0.7:80', '203.0.113.9'],
  ['nonsense', '10.0.0.1'],
  ['"><script>', '10.0.0.1'],
])('of %s: %s', (forwarded, address) => expect(from(forwarded)).toBe(address));

it('what somebody says who is no proxy of ours does not count', () =>
  expect(from('203.0.113.9', '192.0.2.1')).toBe('192.0.2.1'));

it('an IPv6 network is one peer', () => {
  expect(networkOf('2001:db8:1:2::1')).toBe(networkOf('2001:db8:1:2:ffff::1'));
  expect(networkOf('2001:db8:1:3::1')).not.toBe(networkOf('2001:db8:1:2::1'));
  expect(networkOf('::ffff:203.0.113.9')).toBe('203.0.113.9');
});
