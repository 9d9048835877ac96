// Tests tokens that an attacker would try, and the keys that tokens are verified with.
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { exportJWK, exportSPKI, type GenerateKeyPairResult, generateKeyPair, SignJWT } from 'jose';
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';
import { GraphQLSocket } from '../support/graphql-socket.ts';
import { SECRET, signToken, TestServer } from '../support/test-server.ts';

const QUERY = '{ sites { edges { node { id } } } }';
const encode = (value: object) => Buffer.from(JSON.stringify(value)).toString('base64url');
const inAnHour = () => Math.floor(Date.now() / 1000) + 3600;
const claims = { sub: 'ada', role: 'admin' };

/** The status with which each interface answers a credential. */
async function waysIn(server: TestServer, authorization: string | undefined): Promise<Record<string, number>> {
  const headers: Record<string, string> = authorization === undefined ? {} : { authorization };
  const get = async (path: string) => (await fetch(server.url.replace('/graphql', path), { headers })).status;
  const post = await fetch(server.url, {
    method: 'POST',
    headers: { ...headers, 'content-type': 'application/json' },
    body: JSON.stringify({ query: QUERY }),
  });
  const stream = await fetch(`${server.url}/stream?query=${encodeURIComponent(QUERY)}`, {
    headers: { ...headers, accept: 'text/event-stream' },
  });
  await stream.body?.cancel();
  const socket = await GraphQLSocket.open(server.url);
  socket.send({ type: 'connection_init', payload: { authorization } });
  const acknowledged = socket.messages.next().then(() => 101);
  const webSocket = await Promise.race([acknowledged, socket.closed.then(({ code }) => code)]);
  acknowledged.catch(() => {});
  socket.socket.close();
  return {
    graphql: post.status,
    stream: stream.status,
    webSocket,
    rest: await get('/reservations'),
    metrics: await get('/metrics'),
  };
}
const SHUT = { graphql: 401, stream: 401, webSocket: 4403, rest: 401, metrics: 401 };
const OPEN = { graphql: 200, stream: 200, webSocket: 101, rest: 200, metrics: 200 };

describe('tokens signed with a shared secret', () => {
  let server: TestServer;
  beforeAll(async () => {
    server = await TestServer.start({ env: { JWT_ISSUER: 'https://id.example', JWT_AUDIENCE: 'chargers' } });
  });
  afterAll(() => server.stop());

  const sign = (more: object = {}, header: object = {}, secret = SECRET) =>
    new SignJWT({ iss: 'https://id.example', aud: 'chargers', exp: inAnHour(), ...claims, ...more })
      .setProtectedHeader({ alg: 'HS256', ...header })
      .sign(new TextEncoder().encode(secret));

  it('every interface accepts a valid token', async () => {
    expect(await waysIn(server, `Bearer ${await sign()}`)).toEqual(OPEN);
    expect(await waysIn(server, `bearer ${await sign({ aud: ['others', 'chargers'] })}`)).toEqual(OPEN);
  });

  const payload = { iss: 'https://id.example', aud: 'chargers', exp: inAnHour(), ...claims };
  it.each<[string, () => Promise<string | undefined> | string | undefined]>([
    ['no token', () => undefined],
    ['an empty token', () => 'Bearer '],
    ['the scheme Basic instead of Bearer', async () => `Basic ${await sign()}`],
    ['two tokens', async () => `Bearer ${await sign()} ${await sign()}`],
    ['an expired token', async () => `Bearer ${await sign({ exp: inAnHour() - 7200 })}`],
    ['a token that is not valid yet', async () => `Bearer ${await sign({ nbf: inAnHour() })}`],
    ['a token without an expiry', async () => `Bearer ${await sign({ exp: undefined })}`],
    ['one without a subject', async () => `Bearer ${await sign({ sub: undefined })}`],
    ['one without a subject', async () => `Bearer ${await sign({ sub: '' })}`],
    ['a token with a subject of 300 characters', async () => `Bearer ${await sign({ sub: 'x'.repeat(300) })}`],
    ['a token for another audience', async () => `Bearer ${await sign({ aud: 'others' })}`],
    ['a token without an audience', async () => `Bearer ${await sign({ aud: undefined })}`],
    ['a token of another issuer', async () => `Bearer ${await sign({ iss: 'https://evil.example' })}`],
    ['a token signed with another secret', async () => `Bearer ${await sign({}, {}, 'x'.repeat(40))}`],
    ['a token with an empty signature', async () => `Bearer ${encode({ alg: 'HS256' })}.${encode(payload)}.`],
    ['a token with alg none', () => `Bearer ${encode({ alg: 'none' })}.${encode(payload)}.`],
    [
      'a token with alg None and a made-up signature',
      () => `Bearer ${encode({ alg: 'None' })}.${encode(payload)}.AAAA`,
    ],
    ['a token signed with HS512 instead of HS256', async () => `Bearer ${await sign({}, { alg: 'HS512' })}`],
    [
      'a token with an unknown critical header',
      async () => `Bearer ${await sign({}, { crit: ['x'], x: 1 })}`.replace(/x/g, 'x'),
    ],
    [
      'a token whose claims were changed after signing',
      async () => {
        const [head, , signature] = (await sign({ role: 'driver', idTags: ['ANNA'] })).split('.');
        return `Bearer ${head}.${encode(payload)}.${signature}`;
      },
    ],
    ['a token without a role', async () => `Bearer ${await sign({ role: undefined })}`],
    ['a token with an unknown role', async () => `Bearer ${await sign({ role: 'root' })}`],
    ['a token of an operator without sites', async () => `Bearer ${await sign({ role: 'operator', sites: [] })}`],
    ['a token of a driver without idTags', async () => `Bearer ${await sign({ role: 'driver' })}`],
    [
      'a token of a driver whose idTags are not a list',
      async () => `Bearer ${await sign({ role: 'driver', idTags: 'ANNA' })}`,
    ],
    ['text that is not a token', () => 'Bearer nothing'],
    ['a token of 9000 characters', () => `Bearer ${'x'.repeat(9000)}`],
  ])('every interface refuses a request with %s', async (_, authorization) => {
    let header: string | undefined;
    try {
      header = await authorization();
    } catch {
      return; // jose refuses to create such a token.
    }
    expect(await waysIn(server, header)).toEqual(SHUT);
    server.clock.advance(60_000); // Refills the limit of bad credentials.
  });

  it('the refusal of a token names the fault, but contains no value from the token', async () => {
    const answer = async (token: string) => (await server.post(token, QUERY)).body.errors[0];
    expect(await answer(await sign({ exp: inAnHour() - 7200 }))).toMatchObject({
      message: expect.stringContaining('expired'),
      extensions: { code: 'UNAUTHENTICATED' },
    });
    const other = await answer(await sign({ aud: 'secret-audience' }));
    expect(other.message).toContain('"aud"');
    expect(JSON.stringify(other)).not.toMatch(/secret-audience|chargers|stack/);
  });

  it('a token is accepted a few seconds after its expiry, within the clock tolerance, and then refused', async () => {
    expect(
      await waysIn(server, `Bearer ${await sign({ exp: Math.floor(server.clock.now().getTime() / 1000) - 3 })}`),
    ).toEqual(OPEN);
    const [shut] = Object.values(
      await waysIn(server, `Bearer ${await sign({ exp: Math.floor(server.clock.now().getTime() / 1000) - 8 })}`),
    );
    expect(shut).toBe(401);
  });

  it('a token with several roles has the rights of the highest role, and unknown roles are ignored', async () => {
    const refusedTo = async (given: object) => {
      const token = await sign({ role: undefined, sites: ['site'], idTags: ['ANNA'], ...given });
      const refused: string[] = [];
      for (const list of ['idTags', 'auditEntries']) {
        const { body } = await server.post(token, `{ ${list} { edges { cursor } } }`);
        if (body.errors) refused.push(list);
      }
      return refused;
    };
    expect(await refusedTo({ roles: ['driver'] })).toEqual(['idTags', 'auditEntries']);
    expect(await refusedTo({ roles: ['offline_access', 'driver', 'operator'] })).toEqual(['auditEntries']);
    expect(await refusedTo({ roles: ['driver', 'admin', 'operator'] })).toEqual([]);
    expect(await refusedTo({ role: 'driver', roles: ['operator'] })).toEqual(['auditEntries']);
  });

  it('an address that keeps sending bad credentials gets 429, while good tokens from it are still accepted', async () => {
    const own = await TestServer.start();
    const good = await signToken('ada', { role: 'admin' });
    expect((await own.post(good, QUERY)).status).toBe(200);
    const statuses: number[] = [];
    for (let n = 0; n < 60; n += 1) statuses.push((await own.post(`nothing-${n}`, QUERY)).status);
    expect(statuses.slice(0, 49).every((status) => status === 401)).toBe(true);
    expect(statuses.at(-1)).toBe(429);
    const response = await fetch(own.url.replace('/graphql', '/reservations'), {
      headers: { authorization: 'Bearer no' },
    });
    expect(response.status).toBe(429);
    expect(Number(response.headers.get('retry-after'))).toBeGreaterThan(0);
    expect((await own.post(good, QUERY)).status).toBe(200);
    expect((await own.post(await signToken('new', { role: 'admin' }), QUERY)).status).toBe(200);
    own.clock.advance(5000);
    expect((await own.post(await signToken('new', { role: 'admin' }), QUERY)).status).toBe(200);
    expect(await own.metric('credentials_refused_total')).toBeGreaterThanOrEqual(50);
    await own.stop();
  });
});

describe('tokens signed by a key set', () => {
  let keyServer: Server;
  let served: object[] = [];
  let isAway = false;
  let fetched = 0;
  let one: GenerateKeyPairResult;
  let two: GenerateKeyPairResult;
  let server: TestServer;

  beforeAll(async () => {
    [one, two] = await Promise.all([
      generateKeyPair('RS256', { extractable: true }),
      generateKeyPair('ES256', { extractable: true }),
    ]);
    keyServer = createServer((_, response) => {
      fetched += 1;
      if (isAway) response.destroy();
      else response.writeHead(200, { 'content-type': 'application/json' }).end(JSON.stringify({ keys: served }));
    });
    await new Promise<void>((resolve) => keyServer.listen(0, '127.0.0.1', resolve));
    served = [{ ...(await exportJWK(one.publicKey)), kid: 'one', alg: 'RS256' }];
    server = await start();
  });
  afterAll(async () => {
    await server.stop();
    keyServer.closeAllConnections();
    await new Promise((resolve) => keyServer.close(resolve));
  });

  const start = () =>
    TestServer.start({
      env: {
        JWT_SECRET: '',
        JWKS_URL: `http://127.0.0.1:${(keyServer.address() as AddressInfo).port}/keys`,
        JWT_ISSUER: 'https://id.example',
        JWT_AUDIENCE: 'chargers',
      },
    });
  const sign = (key: CryptoKey | Uint8Array, header: { alg: string; kid?: string }, more: object = {}) =>
    new SignJWT({ iss: 'https://id.example', aud: 'chargers', exp: inAnHour(), ...claims, ...more })
      .setProtectedHeader(header)
      .sign(key);
  const statusOf = async (token: string, on = server) => (await on.post(token, QUERY)).status;

  it('every interface accepts a token that the key set signed', async () => {
    expect(await waysIn(server, `Bearer ${await sign(one.privateKey, { alg: 'RS256', kid: 'one' })}`)).toEqual(OPEN);
  });

  it('a token signed with the public key, or with a key outside the key set, is refused', async () => {
    const pem = new TextEncoder().encode(await exportSPKI(one.publicKey));
    expect(await statusOf(await sign(pem, { alg: 'HS256', kid: 'one' }))).toBe(401);
    expect(await statusOf(await sign(new TextEncoder().encode(SECRET), { alg: 'HS256' }))).toBe(401);
    expect(await statusOf(await sign(two.privateKey, { alg: 'ES256', kid: 'one' }))).toBe(401);
    const own = { alg: 'ES256', jwk: await exportJWK(two.publicKey), jku: 'https://evil.example/keys', kid: 'evil' };
    expect(await statusOf(await sign(two.privateKey, own))).toBe(401);
  });

  it('a token of the key set with a wrong audience or issuer, or an expired one, is refused', async () => {
    for (const more of [{ aud: 'others' }, { aud: undefined }, { iss: 'https://evil.example' }, { exp: 1 }])
      expect(await statusOf(await sign(one.privateKey, { alg: 'RS256', kid: 'one' }, more)), Object.keys(more)[0]).toBe(
        401,
      );
  });

  it('tokens with unknown key ids cause one fetch at most, and a key added to the key set is accepted after a restart', async () => {
    const own = await start();
    expect(await statusOf(await sign(one.privateKey, { alg: 'RS256', kid: 'one' }), own)).toBe(200);
    const before = fetched;
    for (let n = 0; n < 20; n += 1)
      expect(await statusOf(await sign(two.privateKey, { alg: 'ES256', kid: `none-${n}` }), own)).toBe(401);
    expect(fetched - before).toBeLessThanOrEqual(1);
    await own.stop();
    served = [...served, { ...(await exportJWK(two.publicKey)), kid: 'two', alg: 'ES256' }];
    const fresh = await start();
    expect(await statusOf(await sign(two.privateKey, { alg: 'ES256', kid: 'two' }), fresh)).toBe(200);
    await fresh.stop();
  });

  it('while the key set cannot be fetched, the cached one is used, and unknown key ids cause one fetch', async () => {
    const own = await start();
    const good = await sign(one.privateKey, { alg: 'RS256', kid: 'one' });
    expect(await statusOf(good, own)).toBe(200);
    isAway = true;
    const before = fetched;
    // After the library's cooldown between two fetches, before the key set is outdated.
    vi.useFakeTimers({ toFake: ['Date'], now: Date.now() + 60_000 });
    try {
      const unknown = await sign(two.privateKey, { alg: 'ES256', kid: 'none' });
      expect(await statusOf(unknown, own)).toBe(503);
      for (let n = 0; n < 20; n += 1) expect(await statusOf(unknown, own)).toBe(401);
      expect(fetched - before).toBe(1);
      expect(await statusOf(good, own)).toBe(200);
    } finally {
      vi.useRealTimers();
      isAway = false;
    }
    await own.stop();
  });

  it('without a key set every token gets 503, or 1013 over WebSocket, until the key set can be fetched', async () => {
    isAway = true;
    const own = await start();
    const token = await sign(one.privateKey, { alg: 'RS256', kid: 'one' });
    const answer = await own.post(token, QUERY);
    expect(answer).toMatchObject({
      status: 503,
      body: { errors: [{ extensions: { code: 'SERVICE_UNAVAILABLE', retryable: true } }] },
    });
    const before = fetched;
    expect(await waysIn(own, `Bearer ${token}`)).toMatchObject({ webSocket: 1013, rest: 503, stream: 503 });
    for (let n = 0; n < 20; n += 1) expect((await own.post(token, QUERY)).status).toBe(503);
    // At most one fetch a second, however many requests there are.
    expect(fetched - before).toBeLessThan(10);
    isAway = false;
    own.clock.advance(1001);
    expect(await statusOf(token, own)).toBe(200);
    await own.stop();
  });
});
