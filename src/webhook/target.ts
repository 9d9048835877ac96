// Posts messages to URLs that API users supply and that may point into our own network (SSRF): names are resolved here,
// and only public addresses are connected to, unless `allowPrivate`. Redirects are not followed.
import { lookup as resolve } from 'node:dns/promises';
import { Agent as HttpAgent, request as httpRequest, type IncomingMessage } from 'node:http';
import { Agent as HttpsAgent, request as httpsRequest } from 'node:https';
import { isIP, type LookupFunction } from 'node:net';
import ipaddr from 'ipaddr.js';
import type { Clock } from '../common/clock.ts';

export interface Answer {
  readonly status: number;
  /** The pause that the receiver asked for (Retry-After), at most an hour. */
  readonly retryAfterMs?: number;
}

/** The receiver did not answer; the message says why. */
export class NotDelivered extends Error {
  override readonly name = 'NotDelivered';
}

export interface Target {
  /** Throws NotDelivered. */
  post(url: string, headers: Readonly<Record<string, string>>, body: string): Promise<Answer>;
  /** Why the URL is refused, as far as it can be checked now; undefined: it is accepted. */
  check(url: string): Promise<string | undefined>;
  close(): void;
}

/** Limit of a whole exchange, from the lookup of the name to the end of the answer. */
export const TIMEOUT_MS = 15_000;
/** The largest number of bytes read of an answer's body; its content is not used. */
const MAX_ANSWER_BYTES = 64 * 1024;
const MAX_RETRY_AFTER_SECONDS = 3600;
const IDLE_SOCKETS_PER_HOST = 16;
const MAX_URL = 2000;

/**
 * False for loopback, private, link-local, shared, documentation and multicast addresses and for IPv6 forms that embed
 * an IPv4 address; an IPv4-mapped address counts as its IPv4 address.
 */
export function isPublicAddress(address: string): boolean {
  if (!ipaddr.isValid(address)) return false;
  const parsed = ipaddr.process(address);
  // Only 2000::/3 of IPv6 is assigned for public use; other prefixes may embed an IPv4 address.
  const isGiven = parsed.kind() === 'ipv4' || ((parsed.toByteArray()[0] ?? 0) & 0xe0) === 0x20;
  return isGiven && parsed.range() === 'unicast';
}

export function webhookTarget({
  allowPrivate,
  clock,
}: {
  readonly allowPrivate: boolean;
  readonly clock: Clock;
}): Target {
  const mayReach = (address: string) => allowPrivate || isPublicAddress(address);
  // Connects to the addresses that were checked: a second lookup could return others (DNS rebinding).
  const lookup: LookupFunction = (hostname, options, callback) => {
    resolve(hostname, { all: true, family: options.family as number, hints: options.hints ?? 0 }).then(
      (found) => {
        const [first] = found;
        if (!first || !found.every(({ address }) => mayReach(address))) callback(forbidden(hostname), '', 0);
        else if (options.all) callback(null, found);
        else callback(null, first.address, first.family);
      },
      (error) => callback(error, '', 0),
    );
  };
  const options = { keepAlive: true, maxFreeSockets: IDLE_SOCKETS_PER_HOST };
  const agents = { 'http:': new HttpAgent(options), 'https:': new HttpsAgent(options) };

  /** Aborts the messages that are under way. */
  const open = new Set<AbortController>();

  const wrongWith = (text: string): string | undefined => {
    if (!URL.canParse(text) || text.length > MAX_URL) return 'It must be a URL of at most 2000 characters.';
    const { protocol, username, password, hostname } = new URL(text);
    if (protocol !== 'https:' && !(protocol === 'http:' && allowPrivate)) return 'It must begin with https://.';
    if (username || password) return 'It must not hold a user or a password.';
    const host = hostname.replace(/^\[|\]$/g, '');
    return isIP(host) && !mayReach(host) ? PRIVATE : undefined;
  };

  return {
    async check(url) {
      const wrong = wrongWith(url);
      if (wrong) return wrong;
      const { hostname } = new URL(url);
      if (isIP(hostname.replace(/^\[|\]$/g, ''))) return undefined;
      // A name that cannot be resolved now is accepted: it may be resolved later.
      const found = await resolve(hostname, { all: true }).catch(() => []);
      return found.every(({ address }) => mayReach(address)) ? undefined : PRIVATE;
    },

    post(url, headers, body) {
      const wrong = wrongWith(url);
      if (wrong) return Promise.reject(new NotDelivered(wrong));
      const target = new URL(url);
      const isTls = target.protocol === 'https:';
      const aborting = new AbortController();
      return new Promise((answered, failed) => {
        const callOff = clock.after(TIMEOUT_MS, () => {
          aborting.abort();
          fail(new Error());
        });
        open.add(aborting);
        const fail = (error: Error) => {
          open.delete(aborting);
          callOff();
          const reason = aborting.signal.aborted ? 'It did not answer in time.' : error.message;
          failed(new NotDelivered(reason));
        };
        const request = (isTls ? httpsRequest : httpRequest)(target, {
          method: 'POST',
          agent: isTls ? agents['https:'] : agents['http:'],
          lookup,
          signal: aborting.signal,
          headers: {
            ...headers,
            'content-type': 'application/json',
            'content-length': `${Buffer.byteLength(body)}`,
            'user-agent': 'ev-reservation-server',
          },
        });
        request.on('error', fail);
        // A receiver may answer with a protocol switch, or close without an answer: then `close` must settle the
        // promise.
        request.on('upgrade', (_, socket) => socket.destroy());
        let isAnswered = false;
        request.on('close', () => {
          if (!isAnswered) fail(new Error('It closed the connection without an answer.'));
        });
        request.on('response', (response) => {
          isAnswered = true;
          skip(response).then(() => {
            open.delete(aborting);
            callOff();
            answered(toAnswer(response));
          }, fail);
        });
        request.end(body);
      });
    },

    close() {
      for (const aborting of open) aborting.abort();
      for (const agent of Object.values(agents)) agent.destroy();
    },
  };
}

const PRIVATE = 'It is an address of a private network.';
const forbidden = (hostname: string): NodeJS.ErrnoException => new Error(`"${hostname}": ${PRIVATE}`);

/** Reads the body so that the connection can be reused; closes it if the body exceeds MAX_ANSWER_BYTES. */
async function skip(response: IncomingMessage): Promise<void> {
  let bytes = 0;
  for await (const chunk of response) {
    bytes += (chunk as Buffer).length;
    if (bytes > MAX_ANSWER_BYTES) {
      response.destroy();
      return;
    }
  }
}

function toAnswer({ statusCode = 0, headers }: IncomingMessage): Answer {
  const seconds = Number(headers['retry-after']);
  const isPause = Number.isFinite(seconds) && seconds > 0;
  return {
    status: statusCode,
    ...(isPause && { retryAfterMs: Math.min(seconds, MAX_RETRY_AFTER_SECONDS) * 1000 }),
  };
}
