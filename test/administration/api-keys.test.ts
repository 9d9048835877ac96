// Tests API keys: how they are created, used, limited and revoked.
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { eventually } from '../support/eventually.ts';
import { GraphQLSocket } from '../support/graphql-socket.ts';
import { adminToken, driverToken, operatorToken, signToken, TestServer } from '../support/test-server.ts';

let server: TestServer;
let admin: string;
beforeAll(async () => {
  server = await TestServer.start();
  admin = await adminToken();
  await server.fill();
  await server.charger('CH1');
});
afterAll(() => server.stop());

const create = async (input: object, token = admin) => {
  const query = `mutation ($input: CreateApiKeyInput!) { createApiKey(input: $input) { __typename
    ... on CreatedApiKey { secret apiKey { id name role sites idTags groups scopes createdBy expiresAt lastUsedAt } }
    ... on Refusal { code message } ... on InvalidInput { field } } }`;
  return (await server.graphql(token, query, { input: { name: 'a client', ...input } })).createApiKey;
};
const revoke = async (id: string, token = admin) =>
  (
    await server.graphql(
      token,
      'mutation ($id: ID!) { revokeApiKey(id: $id) { __typename ... on ApiKey { revokedAt revokedBy } ... on Refusal { code } } }',
      { id },
    )
  ).revokeApiKey;
const find = async (id: string) => {
  const query = '{ apiKeys(first: 100) { edges { node { id lastUsedAt revokedAt } } } }';
  const { apiKeys } = await server.graphql(admin, query);
  return apiKeys.edges.map(({ node }: { node: object }) => node).find((one: { id: string }) => one.id === id);
};
const fleet = { role: 'DRIVER', idTags: ['ANNA', 'BEN'] };

describe('an API key', () => {
  it('an API key can do what its role and its scopes allow, and its last use is recorded', async () => {
    const { secret, apiKey } = await create({ ...fleet, scopes: ['reservations:read', 'reservations:write'] });
    expect(secret).toMatch(/^evk_[0-9a-f]{32}_[\w-]{43}$/);
    expect(apiKey).toMatchObject({ role: 'DRIVER', idTags: ['ANNA', 'BEN'], createdBy: 'ada', lastUsedAt: null });
    const made = await server.reserveNow(secret, {
      chargerId: 'CH1',
      connectorId: 1,
      idTag: 'BEN',
      durationMinutes: 5,
    });
    expect(made).toMatchObject({ status: 'ACCEPTED' });
    expect(await server.cancelReservation(secret, { id: made.id })).toMatchObject({ status: 'CANCELLED' });
    const { body } = await server.post(secret, '{ chargers { edges { node { id } } } }');
    expect(body.errors).toMatchObject([{ extensions: { code: 'FORBIDDEN' } }]);
    await eventually(async () => expect(await find(apiKey.id)).toMatchObject({ lastUsedAt: expect.any(String) }));
  });

  it('nested fields outside the scopes of an API key return null or FORBIDDEN', async () => {
    const { secret } = await create({ ...fleet, scopes: ['reservations:read', 'reservations:write'] });
    const { id } = await server.reserveNow(secret, { chargerId: 'CH1', connectorId: 1, idTag: 'ANNA' });
    const read = async (key: string, field: string) =>
      (await server.post(key, `{ reservation(id: "${id}") { id ${field} } }`)).body;
    expect((await read(secret, 'charger { id }')).data.reservation).toEqual({ id, charger: null });
    expect((await read(secret, 'site { name }')).errors).toMatchObject([
      { message: expect.stringContaining('sites:read'), extensions: { code: 'FORBIDDEN' } },
    ]);
    const { secret: reader } = await create({ role: 'ADMIN', scopes: ['chargers:read'] });
    const charger = (await server.post(reader, '{ charger(id: "CH1") { connectors { reservation { id } } } }')).body;
    expect(charger.data.charger.connectors[0].reservation).toBeNull();
    const place = (await server.post(reader, '{ charger(id: "CH1") { site { name } } }')).body;
    expect(place.errors).toMatchObject([{ extensions: { code: 'FORBIDDEN' } }]);
    await server.cancelReservation(secret, { id });
  });

  it('an API key is stored only as a hash', async () => {
    const { secret } = await create(fleet);
    const rows = await server.database.query<{ row: string }>('SELECT api_key::text AS row FROM api_key');
    const known = secret.slice('evk_'.length + 32 + '_'.length);
    expect(known).toHaveLength(43);
    for (const { row } of rows) {
      expect(row).toContain('a client');
      expect(row).not.toContain(known);
    }
  });

  it('an altered, an unknown and a malformed API key get the same refusal', async () => {
    const { secret } = await create(fleet);
    const [prefix, id = '', ...parts] = secret.split('_');
    const text = parts.join('_'); // The secret may contain the separator itself.
    const other = text.startsWith('A') ? 'B' : 'A';
    const answer = async (key: string) => (await server.post(key, '{ eventCursor }')).body;
    const wrong = await answer(`${prefix}_${id}_${other}${text.slice(1)}`);
    expect(wrong.errors).toMatchObject([{ extensions: { code: 'UNAUTHENTICATED' } }]);
    expect(await answer(`${prefix}_${'0'.repeat(32)}_${text}`)).toEqual(wrong);
    expect(await answer(`${prefix}_${id}`)).toEqual(wrong);
    expect(await answer(`${prefix}_${id}' OR 1=1 --_${text}`)).toMatchObject({ errors: [{}] });
  });

  it('an API key is refused after it has expired', async () => {
    const expiresAt = new Date(server.clock.now().getTime() + 60_000).toISOString();
    const { secret } = await create({ ...fleet, expiresAt });
    expect((await server.post(secret, '{ eventCursor }')).status).toBe(200);
    server.clock.advance(61_000);
    expect((await server.post(secret, '{ eventCursor }')).body.errors[0].message).toContain('expired');
  });

  it('a revoked API key is refused at once, and its open connections end', async () => {
    const { secret, apiKey } = await create(fleet);
    const socket = await GraphQLSocket.connect(server.url, secret);
    const stream = await fetch(server.url.replace('/graphql', '/events'), {
      headers: { authorization: `Bearer ${secret}` },
    });
    const ended = (async () => {
      for await (const _ of stream.body ?? []) {
      }
      return 'ended';
    })();
    expect(await revoke(apiKey.id)).toMatchObject({ __typename: 'ApiKey', revokedBy: 'ada' });
    expect((await server.post(secret, '{ eventCursor }')).status).toBe(401);
    server.clock.advance(31_000);
    expect(await socket.closed).toMatchObject({ code: 4403, reason: expect.stringContaining('revoked') });
    expect(await ended).toBe('ended');
    expect(await revoke(apiKey.id)).toMatchObject({ __typename: 'ApiKey' });
    expect(await revoke('00000000-0000-4000-8000-000000000000')).toMatchObject({ code: 'API_KEY_NOT_FOUND' });
  });

  it('an API key revoked on another node is accepted for a few seconds at most', async () => {
    const { secret, apiKey } = await create(fleet);
    const other = await TestServer.start({ database: server.database });
    expect((await other.post(secret, '{ eventCursor }')).status).toBe(200);
    await revoke(apiKey.id);
    other.clock.advance(5001);
    expect((await other.post(secret, '{ eventCursor }')).status).toBe(401);
    await other.stop();
  });

  it('two API keys can use the same idempotencyKey for different requests', async () => {
    const [one, two] = [await create(fleet), await create(fleet)];
    const input = { chargerId: 'CH1', connectorId: 1, idTag: 'ANNA', durationMinutes: 5, idempotencyKey: 'k' };
    const made = await server.reserveNow(one.secret, input);
    expect(made.status).toBe('ACCEPTED');
    expect(await server.reserveNow(two.secret, { ...input, connectorId: 2 })).toMatchObject({
      status: 'ACCEPTED',
      connectorId: 2,
    });
    expect((await server.reserveNow(one.secret, input)).id).toBe(made.id);
  });
});

describe('creating an API key', () => {
  it.each([
    ['without a name', { name: '', role: 'ADMIN' }, 'name'],
    ['for a driver without idTags', { role: 'DRIVER' }, 'idTags'],
    ['for an operator without sites', { role: 'OPERATOR' }, 'sites'],
    ['for an admin with sites', { role: 'ADMIN', sites: ['site'] }, 'sites'],
    ['that expires in the past', { ...fleet, expiresAt: '2020-01-01T00:00:00Z' }, 'expiresAt'],
    ['that expires in the year 2200', { ...fleet, expiresAt: '2200-01-01T00:00:00Z' }, 'expiresAt'],
    ['with an unknown scope', { ...fleet, scopes: ['everything'] }, 'scopes'],
    ['with a scope that its role does not allow', { ...fleet, scopes: ['sites:write'] }, 'scopes'],
    ['with no scope', { ...fleet, scopes: [] }, 'scopes'],
  ])('creating an API key %s is refused', async (_, input, field) => {
    expect(await create(input)).toMatchObject({ __typename: 'InvalidInput', field });
  });

  it('only admins can create API keys', async () => {
    for (const token of [await operatorToken('site'), await driverToken('ANNA')])
      expect(await create(fleet, token)).toMatchObject({ __typename: 'NotAllowed' });
  });

  it('a new API key cannot have a permission that its creator lacks', async () => {
    const scope = 'api-keys:write reservations:read';
    const limited = await signToken('limited', { role: 'admin', scope });
    expect(await create({ role: 'ADMIN' }, limited)).toMatchObject({ code: 'FORBIDDEN' });
    expect(await create({ ...fleet, scopes: ['reservations:write'] }, limited)).toMatchObject({ code: 'FORBIDDEN' });
    expect(await create({ ...fleet, scopes: ['reservations:read'] }, limited)).toMatchObject({
      __typename: 'CreatedApiKey',
    });
  });

  it('an API key cannot create another API key', async () => {
    const { secret } = await create({ role: 'ADMIN' });
    const made = await create({ ...fleet, scopes: ['reservations:read'] }, secret);
    expect(made).toMatchObject({ code: 'FORBIDDEN', message: expect.stringContaining('sign in with a token') });
  });
});
