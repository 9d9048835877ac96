// The address of a client: the socket's peer or, behind proxies that we trust, the one that X-Forwarded-For names; and
// the network for which a rate limit counts it.
import type { IncomingMessage } from 'node:http';
import proxyaddr from '@fastify/proxy-addr';
import ipaddr from 'ipaddr.js';

/** Whether the address is a proxy that we trust, so that its X-Forwarded-For counts. */
export type TrustProxy = (address: string, hop: number) => boolean;

/** Trusts these addresses and networks ("10.0.0.0/8"). Throws if an entry is neither. */
export const trustProxies = (networks: readonly string[]): TrustProxy => proxyaddr.compile([...networks]);

export const clientAddress = (request: IncomingMessage, trust: TrustProxy): string => {
  const address = withoutPort(proxyaddr(request, (hop, count) => trust(withoutPort(hop), count)));
  return ipaddr.isValid(address) ? address : (request.socket.remoteAddress ?? 'unknown');
};

/** Some proxies append the port: "203.0.113.9:5432" or "[2001:db8::1]:5432". */
const withoutPort = (address: string): string =>
  /^\[(.+)\](?::\d+)?$/.exec(address)?.[1] ?? /^([\d.]+):\d+$/.exec(address)?.[1] ?? address;

/** A client with one IPv6 address usually has its whole /64 network, so a /64 counts as one peer. */
export function networkOf(address: string): string {
  if (!ipaddr.isValid(address)) return address;
  const parsed = ipaddr.process(address);
  if (parsed.kind() === 'ipv4') return parsed.toString();
  return `${parsed.toByteArray().slice(0, 8).join('.')}::`;
}
