// Tests the audit log: who did what, from where, and with what result.
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { GraphQLSocket } from '../support/graphql-socket.ts';
import { adminToken, driverToken, operatorToken, PASSWORD, TestServer } from '../support/test-server.ts';

let server: TestServer;
let admin: string;
let anna: string;
beforeAll(async () => {
  server = await TestServer.start({ env: { TRUSTED_PROXIES: '127.0.0.1' } });
  admin = await adminToken();
  anna = await driverToken('ANNA');
  await server.fill();
  await server.charger('CH1');
});
afterAll(() => server.stop());

// biome-ignore lint/suspicious/noExplicitAny: a test knows what it asked for
type Entry = any;
async function entries(filter: object = {}, more = ''): Promise<Entry[]> {
  const query = `query ($filter: AuditFilterInput) { auditEntries(filter: $filter, first: 100${more}) {
    edges { cursor node { id at subject role apiKeyId address via operation target input result } } pageInfo { hasNextPage endCursor } } }`;
  const { auditEntries } = await server.graphql(admin, query, { filter });
  return auditEntries.edges.map(({ node }: { node: Entry }) => node);
}

describe('an audit entry', () => {
  it('a mutation, successful or refused, has an audit entry before the client gets the answer', async () => {
    const made = await server.reserveNow(anna, { chargerId: 'CH1', connectorId: 1, idTag: 'ANNA', durationMinutes: 5 });
    expect(await entries({ operation: 'reserveNow' })).toMatchObject([
      {
        subject: 'driver of ANNA',
        role: 'DRIVER',
        apiKeyId: null,
        address: '127.0.0.1',
        via: 'GRAPHQL',
        target: made.id,
        result: 'OK',
        input: expect.stringContaining('"connectorId":1'),
      },
    ]);
    const refused = await server.reserveNow(anna, {
      chargerId: 'CH1',
      connectorId: 1,
      idTag: 'CLEO',
      durationMinutes: 5,
    });
    expect(refused.code).toBe('NOT_YOUR_ID_TAG');
    expect(await entries({ operation: 'reserveNow', result: 'NOT_YOUR_ID_TAG' })).toMatchObject([{ target: 'CLEO' }]);
    await server.cancelReservation(anna, { id: made.id });
    expect((await entries({ target: made.id })).map(({ operation }) => operation)).toEqual([
      'cancelReservation',
      'reserveNow',
    ]);
  });

  it('administrative and forbidden mutations have audit entries', async () => {
    expect((await entries({ operation: 'saveCharger', subject: 'ada' })).map(({ target }) => target)).toEqual(['CH1']);
    const query = 'mutation { removeSite(id: "site") { __typename } }';
    await server.graphql(await operatorToken('site'), query);
    expect(await entries({ operation: 'removeSite' })).toMatchObject([
      { subject: 'olga', result: 'FORBIDDEN', target: 'site' },
    ]);
  });

  it('an audit entry names the interface and the address of the client', async () => {
    const rest = await fetch(server.url.replace('/graphql', '/chargers/CH1/actions/reserve-now'), {
      method: 'POST',
      headers: {
        authorization: `Bearer ${anna}`,
        'content-type': 'application/json',
        'x-forwarded-for': '203.0.113.7',
      },
      body: JSON.stringify({ idTag: 'ANNA', connectorId: 2, durationMinutes: 5 }),
    });
    const { id } = await rest.json();
    expect(await entries({ target: id })).toMatchObject([
      { via: 'REST', address: '203.0.113.7', operation: 'reserveNow' },
    ]);
    const socket = await GraphQLSocket.connect(server.url, anna);
    socket.subscribe('m', `mutation { cancelReservation(input: { id: "${id}" }) { __typename } }`);
    await socket.messages.next();
    socket.socket.close();
    expect(await entries({ target: id, operation: 'cancelReservation' })).toMatchObject([
      { via: 'WEBSOCKET', address: '127.0.0.1' },
    ]);
    const stream = await fetch(`${server.url}/stream`, {
      method: 'POST',
      headers: { authorization: `Bearer ${anna}`, 'content-type': 'application/json', accept: 'text/event-stream' },
      body: JSON.stringify({ query: `mutation { cancelReservation(input: { id: "${id}" }) { __typename } }` }),
    });
    await stream.text();
    expect(await entries({ target: id, result: 'ALREADY_ENDED' })).toMatchObject([{ via: 'EVENT_STREAM' }]);
  });

  it('audit entries contain no passwords', async () => {
    await server.saveCharger('SECRET', 'site', { password: 'a-very-secret-password' });
    const [entry] = await entries({ operation: 'saveCharger', target: 'SECRET' });
    expect(JSON.parse(entry.input)).toMatchObject({ input: { id: 'SECRET', password: '***' } });
    const { edges } = { edges: await entries() };
    expect(JSON.stringify(edges)).not.toMatch(new RegExp(`${PASSWORD}|a-very-secret`));
  });

  it('hostile input is stored in an audit entry as escaped text, cut to its limit', async () => {
    const name = `"}\n{"level":50,"msg":"forged"}\u2028'; DROP TABLE audit_entry; --${'x'.repeat(10_000)}`;
    const query = 'mutation ($input: SaveSiteInput!) { saveSite(input: $input) { __typename } }';
    await server.graphql(admin, query, { input: { id: 'x y', name, timeZone: 'UTC', policy: {} } });
    const [entry] = await entries({ operation: 'saveSite', result: 'INVALID_INPUT' });
    expect(entry.input.length).toBe(1000);
    expect(entry.input).not.toContain('\n');
    await server.graphql(admin, query, { input: { id: 'x y', name: 'a\u0000b', timeZone: 'UTC', policy: {} } });
    expect((await entries({ operation: 'saveSite', result: 'INVALID_INPUT' })).length).toBe(2);
  });
});

describe('the audit log', () => {
  it('PostgreSQL refuses to update, delete or truncate audit entries', async () => {
    for (const statement of [
      `UPDATE audit_entry SET subject = 'nobody'`,
      'DELETE FROM audit_entry',
      'TRUNCATE audit_entry',
    ]) {
      await expect(server.database.query(statement)).rejects.toThrow('append-only');
    }
  });

  it('the audit log is read by pages and by time, and only by admins', async () => {
    const all = await entries();
    expect(all.length).toBeGreaterThan(8);
    expect(all.map(({ id }) => Number(id))).toEqual(
      all.map(({ id }) => Number(id)).toSorted((one, other) => other - one),
    );
    const query = (first: number, after?: string) =>
      server.graphql(
        admin,
        'query ($first: Int, $after: String) { auditEntries(first: $first, after: $after) { edges { node { id } } pageInfo { endCursor } } }',
        { first, after },
      );
    const one = await query(3);
    const two = await query(3, one.auditEntries.pageInfo.endCursor);
    expect([...one.auditEntries.edges, ...two.auditEntries.edges].map(({ node }) => node.id)).toEqual(
      all.slice(0, 6).map(({ id }) => id),
    );
    const now = server.clock.now().toISOString();
    expect(await entries({ from: now })).toEqual([]);
    expect(await entries({ to: now, subject: 'olga' })).toHaveLength(1);
    for (const token of [anna, await operatorToken('site')]) {
      const { body } = await server.post(token, '{ auditEntries { edges { node { id } } } }');
      expect(body.errors).toMatchObject([{ extensions: { code: 'FORBIDDEN' } }]);
    }
  });

  it('each of 40 concurrent mutations has an audit entry', async () => {
    const before = (await entries({ operation: 'saveIdTag' })).length;
    await Promise.all(Array.from({ length: 40 }, (_, index) => server.saveIdTag(`MANY-${index}`)));
    expect((await entries({ operation: 'saveIdTag' })).length - before).toBe(40);
  });
});
