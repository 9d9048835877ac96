// Where a request comes from: the peer of the socket, or what the proxies that we trust say of it.
import type { IncomingMessage } from 'node:http';
import proxyaddr from '@fastify/proxy-addr';
import ipaddr from 'ipaddr.js';

/** Whether an address is a proxy whose X-Forwarded-For counts. */
export type TrustProxy = (address: string, hop: number) => boolean;

/** Of addresses and networks ("10.0.0.0/8"). Throws where one is neither. */
export const trustProxies = (networks: readonly string[]): TrustProxy => proxyaddr.compile([...networks]);

export const clientAddress = (request: IncomingMessage, trust: TrustProxy): string => {
  const address = withoutPort(proxyaddr(request, (hop, count) => trust(withoutPort(hop), count)));
  return ipaddr.isValid(address) ? address : (request.socket.remoteAddress ?? 'unknown');
};

/** Some proxies say "203.0.113.9:5432" or "[2001:db8::1]:5432". */
const withoutPort = (address: string): string =>
  /^\[(.+)\](?::\d+)?$/.exec(address)?.[1] ?? /^([\d.]+):\d+$/.exec(address)?.[1] ?? address;

/** Whoever has an IPv6 address has a network of 2^64 of them: they count as one peer. */
export function networkOf(address: string): string {
  if (!ipaddr.isValid(address)) return address;
  const parsed = ipaddr.process(address);
  if (parsed.kind() === 'ipv4') return parsed.toString();
  return `${parsed.toByteArray().slice(0, 8).join('.')}::`;
}
