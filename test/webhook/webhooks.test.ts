// Webhooks as a receiver sees them: signed, at least once, in order for each reservation, again after failures, from
// any place of the log.
import { Webhook as Verifier } from 'standardwebhooks';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { eventually } from '../support/eventually.ts';
import { Receiver } from '../support/receiver.ts';
import { adminToken, driverToken, operatorToken, signToken, TestServer } from '../support/test-server.ts';

const env = { WEBHOOK_SECRET_KEY: 'a-key-for-the-secrets-of-webhooks-in-tests', WEBHOOK_PRIVATE_TARGETS: 'on' };
const MINUTE_MS = 60_000;

let server: TestServer;
let admin: string;
let operator: string;
let receiver: Receiver;
const made: string[] = [];

beforeAll(async () => {
  server = await TestServer.start({ env });
  admin = await adminToken();
  operator = await operatorToken('site');
  await server.fill();
  await server.charger('CH1');
});
afterAll(() => server.stop());
beforeEach(async () => {
  receiver = await Receiver.start();
});
afterEach(async () => {
  for (const id of made.splice(0)) await run(admin, 'removeWebhook', { id });
  await receiver.stop();
});

const FIELDS = 'id url pausedFor failingSince attempts lastError deliveredAt cursor';
const RESULT = `__typename ... on SavedWebhook { secret webhook { ${FIELDS} } } ... on Refusal { code message } ... on InvalidInput { field }`;

async function run(token: string, mutation: string, variables: object, on = server) {
  const documents: Record<string, string> = {
    saveWebhook: `mutation ($input: SaveWebhookInput!) { saveWebhook(input: $input) { ${RESULT} } }`,
    removeWebhook: 'mutation ($id: ID!) { removeWebhook(id: $id) { __typename ... on Refusal { code message } } }',
    pauseWebhook: `mutation ($id: ID!) { pauseWebhook(id: $id) { ${RESULT} } }`,
    resumeWebhook: `mutation ($id: ID!, $after: String) { resumeWebhook(id: $id, after: $after) { ${RESULT} } }`,
    rotateWebhookSecret: `mutation ($id: ID!) { rotateWebhookSecret(id: $id) { ${RESULT} } }`,
  };
  return (await on.graphql(token, documents[mutation] ?? '', variables))[mutation];
}

async function save(input: object = {}, token = operator) {
  const types = [
    'reservation.requested',
    'reservation.accepted',
    'reservation.cancel_requested',
    'reservation.cancelled',
  ];
  const saved = await run(token, 'saveWebhook', {
    input: { name: 'mine', url: receiver.url, siteIds: ['site'], types, ...input },
  });
  if (saved.webhook) made.push(saved.webhook.id);
  return saved;
}

const find = async (id: string) => {
  const query = `{ webhooks(first: 100) { edges { node { ${FIELDS} } } } }`;
  const { webhooks } = await server.graphql(admin, query);
  return webhooks.edges.map(({ node }: { node: { id: string } }) => node).find((one: { id: string }) => one.id === id);
};

/** Advancing the clock may have closed the charger's socket: waits until the charger has connected again. */
const connected = () =>
  eventually(async () => {
    const { charger } = await server.graphql(admin, '{ charger(id: "CH1") { isConnected } }');
    expect(charger.isConnected).toBe(true);
  });

async function reserveAndCancel(connectorId = 1): Promise<string> {
  await connected();
  const token = await driverToken('ANNA');
  const reservation = await server.reserveNow(token, {
    chargerId: 'CH1',
    connectorId,
    idTag: 'ANNA',
    durationMinutes: 15,
  });
  expect(reservation.status).toBe('ACCEPTED');
  await server.cancelReservation(token, { id: reservation.id });
  return reservation.id;
}
const STEPS = [
  'reservation.requested',
  'reservation.accepted',
  'reservation.cancel_requested',
  'reservation.cancelled',
];

describe('a webhook message', () => {
  it('a webhook message contains the event and the reservation at that event, and the standardwebhooks library verifies its signature', async () => {
    const { secret, webhook } = await save();
    expect(secret).toMatch(/^whsec_/);
    const id = await reserveAndCancel();
    const first = await receiver.received.next();
    const message = new Verifier(secret).verify(first.body, first.headers as Record<string, string>);
    expect(message).toMatchObject({
      type: 'reservation.requested',
      timestamp: expect.stringMatching(/Z$/),
      data: {
        kind: 'RESERVATION',
        to: 'PENDING',
        actor: 'DRIVER',
        reservation: { id, status: 'PENDING', idTag: 'ANNA' },
      },
    });
    expect(first.headers['content-type']).toBe('application/json');
    await eventually(() => expect(receiver.types).toEqual(STEPS));
    expect(new Set(receiver.received.all.map(({ headers }) => headers['webhook-id'])).size).toBe(4);
    await eventually(async () =>
      expect(await find(webhook.id)).toMatchObject({
        deliveredAt: expect.any(String),
        failingSince: null,
        attempts: 0,
      }),
    );
  });

  it('a webhook message with a changed body, or checked with another secret, fails verification', async () => {
    const { secret } = await save();
    await reserveAndCancel();
    const { body, headers } = await receiver.received.next();
    const given = headers as Record<string, string>;
    expect(() => new Verifier(secret).verify(body.replace('ANNA', 'CLEO'), given)).toThrow();
    const other = `whsec_${Buffer.alloc(32, 1).toString('base64')}`;
    expect(() => new Verifier(other).verify(body, given)).toThrow();
  });

  it('after rotateWebhookSecret a webhook message is signed with both the old and the new secret', async () => {
    const { secret: old, webhook } = await save();
    const { secret } = await run(operator, 'rotateWebhookSecret', { id: webhook.id });
    expect(secret).not.toBe(old);
    await reserveAndCancel();
    const { body, headers } = await receiver.received.next();
    expect(`${headers['webhook-signature']}`.split(' ')).toHaveLength(2);
    for (const one of [old, secret]) new Verifier(one).verify(body, headers as Record<string, string>);
  });

  it('a webhook sends only events of the sites and the types that it lists', async () => {
    await server.saveSite('other');
    await save({ types: ['reservation.cancelled'] });
    const elsewhere = await Receiver.start();
    await save({ url: elsewhere.url, siteIds: ['other'] }, admin);
    await reserveAndCancel();
    await eventually(() => expect(receiver.types).toEqual(['reservation.cancelled']));
    expect(elsewhere.types).toEqual([]);
    await elsewhere.stop();
  });
});

describe('a receiver that fails', () => {
  it('a failing receiver gets the same message again until it accepts that message, and no later message before', async () => {
    const { webhook } = await save();
    receiver.answer = () => 500;
    await reserveAndCancel();
    await eventually(async () =>
      expect(await find(webhook.id)).toMatchObject({ attempts: 1, lastError: 'It answered 500.' }),
    );
    for (let attempts = 2; attempts <= 4; attempts += 1) {
      server.clock.advance(2 * MINUTE_MS);
      await eventually(async () =>
        expect(await find(webhook.id)).toMatchObject({ attempts, failingSince: expect.any(String) }),
      );
    }
    expect(new Set(receiver.types)).toEqual(new Set(['reservation.requested']));
    const ids = new Set(receiver.received.all.map(({ headers }) => headers['webhook-id']));
    expect(ids.size).toBe(1);
    receiver.answer = () => 204;
    server.clock.advance(2 * MINUTE_MS);
    await eventually(() => expect(receiver.types.slice(4)).toEqual(STEPS));
    await eventually(async () => expect(await find(webhook.id)).toMatchObject({ attempts: 0, failingSince: null }));
  });

  it('after failed deliveries the messages of one reservation stay in order, and those of other reservations still arrive', async () => {
    const { webhook } = await save();
    let refused = 0;
    receiver.answer = ({ message }) => {
      const isFirst = message.type === 'reservation.accepted' && refused < 2;
      if (isFirst) refused += 1;
      return isFirst ? 503 : 200;
    };
    const ids = [await reserveAndCancel(1), await reserveAndCancel(2), await reserveAndCancel(1)];
    let rested = '';
    await eventually(async () => {
      // After each failure the webhook waits: the clock is advanced once for each wait.
      const { attempts, failingSince } = await find(webhook.id);
      const rest = `${attempts} since ${failingSince}`;
      if (attempts > 0 && rest !== rested) server.clock.advance(MINUTE_MS);
      rested = rest;
      const taken = receiver.received.all.filter(({ message }) => message.type === 'reservation.cancelled');
      expect(new Set(taken.map(({ message }) => message.data.reservation.id))).toEqual(new Set(ids));
    });
    for (const id of ids) {
      const steps = receiver.received.all
        .filter(({ message }) => message.data.reservation.id === id)
        .map(({ message }) => message.type);
      const firsts = steps.filter((type, index) => steps.indexOf(type) === index);
      expect(firsts).toEqual(STEPS);
    }
  });

  it('a webhook that keeps failing is paused as UNREACHABLE, and sends the undelivered events when it is resumed', async () => {
    const { webhook } = await save();
    receiver.answer = () => 500;
    await reserveAndCancel();
    await eventually(async () => expect(await find(webhook.id)).toMatchObject({ attempts: 1 }));
    await eventually(async () => {
      server.clock.advance(3 * 60 * MINUTE_MS);
      expect(await find(webhook.id)).toMatchObject({ pausedFor: 'UNREACHABLE' });
    });
    const before = receiver.types.length;
    receiver.answer = () => 200;
    await reserveAndCancel(2);
    server.clock.advance(60 * MINUTE_MS);
    expect(receiver.types).toHaveLength(before);
    const { webhook: resumed } = await run(operator, 'resumeWebhook', { id: webhook.id });
    expect(resumed).toMatchObject({ pausedFor: null, attempts: 0 });
    // Messages of two reservations are sent side by side, so their order is not compared.
    await eventually(() => expect(receiver.types.slice(before).toSorted()).toEqual([...STEPS, ...STEPS].toSorted()));
  });

  it('a webhook whose receiver answers 410 is paused at once', async () => {
    const { webhook } = await save();
    receiver.answer = () => 410;
    await reserveAndCancel();
    await eventually(async () => expect(await find(webhook.id)).toMatchObject({ pausedFor: 'GONE' }));
  });

  it('a redirect answered to a webhook counts as a failure and is not followed', async () => {
    const { webhook } = await save();
    const other = await Receiver.start();
    receiver.answerHeaders = { location: other.url };
    receiver.answer = () => 302;
    await reserveAndCancel();
    await eventually(async () => expect(await find(webhook.id)).toMatchObject({ lastError: 'It answered 302.' }));
    expect(other.types).toEqual([]);
    await other.stop();
  });

  it('a webhook delivery fails when the receiver does not answer in time', async () => {
    const { webhook } = await save();
    let release: (status: number) => void = () => {};
    receiver.answer = () =>
      new Promise((resolve) => {
        release = resolve;
      });
    await reserveAndCancel();
    await receiver.received.next();
    server.clock.advance(16_000);
    await eventually(async () =>
      expect(await find(webhook.id)).toMatchObject({ lastError: 'It did not answer in time.' }),
    );
    release(200);
  });
});

describe('a receiver that misbehaves', () => {
  it('a webhook message answered with 101 Switching Protocols counts as not delivered', async () => {
    const { webhook } = await save();
    receiver.raw = 'HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n';
    await reserveAndCancel();
    await eventually(async () =>
      expect(await find(webhook.id)).toMatchObject({
        lastError: 'It closed the connection without an answer.',
        deliveredAt: null,
      }),
    );
  });

  it('a webhook answer that never ends does not delay a server stop; the next server sends the message again', async () => {
    const { webhook } = await save();
    receiver.raw = 'HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nx';
    await reserveAndCancel();
    await receiver.received.next();
    await server.restart();
    receiver.raw = undefined;
    await eventually(() => expect(receiver.types.slice(1)).toEqual(STEPS));
    await eventually(async () => expect(await find(webhook.id)).toMatchObject({ attempts: 0, failingSince: null }));
  });

  it('a hundred webhooks whose receiver never answers do not delay another creator’s webhook', async () => {
    const slow = await Receiver.start();
    slow.answer = () => new Promise(() => {});
    for (const maker of ['one', 'other']) {
      const token = await signToken(maker, { role: 'operator', sites: ['site'] });
      await Promise.all(Array.from({ length: 50 }, (_, n) => save({ name: `${n}`, url: slow.url }, token)));
    }
    await save();
    await reserveAndCancel();
    await receiver.received.next();
    await slow.stop();
  });

  it('nine webhooks whose receiver never answers do not delay the tenth webhook of the same creator', async () => {
    const silent = await Receiver.start();
    silent.answer = () => new Promise(() => {});
    for (let n = 0; n < 9; n += 1) await save({ url: silent.url });
    await save();
    await reserveAndCancel();
    await eventually(() => expect(receiver.types).toEqual(STEPS));
    await eventually(() => expect(silent.types).toHaveLength(9));
    await silent.stop();
  });
});

describe('a webhook that is changed during a delivery', () => {
  it('a changed webhook sends the next messages to its new URL once the delivery in progress has ended', async () => {
    const { webhook } = await save();
    let release: (status: number) => void = () => {};
    receiver.answer = () => new Promise((resolve) => (release = resolve));
    await reserveAndCancel();
    await receiver.received.next();
    const other = await Receiver.start();
    const input = { id: webhook.id, name: 'moved', url: other.url, siteIds: ['site'], types: STEPS };
    await run(operator, 'saveWebhook', { input });
    await reserveAndCancel(2);
    expect(other.types).toEqual([]);
    release(200);
    // Each step arrives once: the delivery that was under way is counted.
    const types = () => [...receiver.types, ...other.types].toSorted();
    await eventually(() => expect(types()).toEqual([...STEPS, ...STEPS].toSorted()));
    expect(receiver.types).toHaveLength(1);
    await other.stop();
  });
});

describe('delivery from the event log', () => {
  it('a webhook resumed with a cursor sends everything after that cursor again', async () => {
    const { webhook } = await save();
    await reserveAndCancel();
    await eventually(() => expect(receiver.types).toEqual(STEPS));
    const after = receiver.received.all[1]?.message.data.cursor;
    expect(await run(operator, 'resumeWebhook', { id: webhook.id, after })).toMatchObject({
      __typename: 'SavedWebhook',
    });
    await eventually(() => expect(receiver.types).toEqual([...STEPS, ...STEPS.slice(2)]));
    const ids = receiver.received.all.map(({ headers }) => headers['webhook-id']);
    expect(ids.slice(4)).toEqual(ids.slice(2, 4));
    expect(await run(operator, 'resumeWebhook', { id: webhook.id, after: 'nonsense' })).toMatchObject({
      field: 'after',
    });
  });

  it('with two servers each webhook message is sent once, also after one server has stopped', async () => {
    await save();
    await server.restart();
    const other = await TestServer.start({ database: server.database, env });
    await reserveAndCancel();
    await eventually(() => expect(receiver.types).toEqual(STEPS), 15_000);
    await other.stop();
    await reserveAndCancel(2);
    // If the stopped server held the lease, the remaining one finds the webhook within 5 s.
    await eventually(() => expect(receiver.types).toEqual([...STEPS, ...STEPS]), 15_000);
  });

  it('a paused webhook sends nothing until it is resumed, and then sends the events of the pause', async () => {
    const { webhook } = await save();
    expect(await run(operator, 'pauseWebhook', { id: webhook.id })).toMatchObject({
      webhook: { pausedFor: 'REQUESTED' },
    });
    await reserveAndCancel();
    server.clock.advance(MINUTE_MS);
    expect(receiver.types).toEqual([]);
    await run(operator, 'resumeWebhook', { id: webhook.id });
    await eventually(() => expect(receiver.types).toEqual(STEPS));
  });
});

describe('webhooks and event retention', () => {
  let short: TestServer;
  beforeEach(async () => {
    short = await TestServer.start({ env: { ...env, EVENT_RETENTION_HOURS: '2' } });
    await short.fill();
    await short.charger('CH1');
  });
  afterEach(() => short.stop());

  const saveShort = async () => {
    const input = { name: 'mine', url: receiver.url, siteIds: ['site'], types: ['reservation.cancelled'] };
    return (await run(operator, 'saveWebhook', { input }, short)).webhook;
  };
  const read = async () =>
    (await short.graphql(admin, `{ webhooks { edges { node { ${FIELDS} } } } }`)).webhooks.edges[0].node;
  const cancelOne = () =>
    eventually(async () => {
      const token = await driverToken('ANNA');
      const reservation = await short.reserveNow(token, { chargerId: 'CH1', connectorId: 1, idTag: 'ANNA' });
      expect(reservation.status).toBe('ACCEPTED');
      await short.cancelReservation(token, { id: reservation.id });
    });
  const firstEvent = async () => {
    const [row] = await short.database.query<{ id: number }>('SELECT coalesce(min(id), 1e9)::float AS id FROM event');
    return row?.id ?? 0;
  };
  /** Lets retention delete every event so far. */
  const shorten = async () => {
    const [last] = await short.database.query<{ id: number }>('SELECT max(id)::float AS id FROM event');
    short.clock.advance(3 * 60 * MINUTE_MS);
    await eventually(async () => {
      short.clock.advance(MINUTE_MS + 1000);
      expect(await firstEvent()).toBeGreaterThan(last?.id ?? 0);
    });
  };

  it('a webhook without matching events still advances its cursor, so that its cursor does not expire', async () => {
    const { id, cursor } = await saveShort();
    await short.saveCharger('CH2');
    await (await short.charger('CH2')).stop();
    await eventually(async () => {
      short.clock.advance(MINUTE_MS + 1000);
      expect((await read()).cursor).not.toBe(cursor);
    });
    await shorten();
    await cancelOne();
    await eventually(() => expect(receiver.types).toEqual(['reservation.cancelled']));
    expect(await read()).toMatchObject({ id, pausedFor: null });
  });

  it('a webhook that fails for longer than the event retention is paused, and sends new events after it is resumed', async () => {
    const { id } = await saveShort();
    receiver.answer = () => 500;
    await cancelOne();
    await eventually(async () => expect(await read()).toMatchObject({ attempts: 1 }));
    await shorten();
    await eventually(async () => {
      short.clock.advance(60 * MINUTE_MS);
      expect(await read()).toMatchObject({ pausedFor: 'CURSOR_EXPIRED' });
    });
    receiver.answer = () => 200;
    const before = receiver.types.length;
    expect(await run(operator, 'resumeWebhook', { id }, short)).toMatchObject({ webhook: { pausedFor: null } });
    await cancelOne();
    await eventually(() => expect(receiver.types.slice(before)).toEqual(['reservation.cancelled']));
    expect(await read()).toMatchObject({ pausedFor: null, attempts: 0 });
  });
});

describe('webhook rights and limits', () => {
  it('revoking an API key pauses the webhooks that were made with it', async () => {
    const input = { name: 'its', role: 'OPERATOR', sites: ['site'] };
    const create =
      'mutation ($input: CreateApiKeyInput!) { createApiKey(input: $input) { ... on CreatedApiKey { secret apiKey { id } } } }';
    const { secret, apiKey } = (await server.graphql(admin, create, { input })).createApiKey;
    const { webhook } = await save({}, secret);
    const others = await save();
    await server.graphql(admin, 'mutation ($id: ID!) { revokeApiKey(id: $id) { __typename } }', { id: apiKey.id });
    expect(await find(webhook.id)).toMatchObject({ pausedFor: 'REQUESTED' });
    expect(await find(others.webhook.id)).toMatchObject({ pausedFor: null });
  });

  it('one creator gets only fifty of sixty webhooks that are saved at once', async () => {
    const maker = await signToken('hurried', { role: 'operator', sites: ['site'] });
    const saved = await Promise.all(Array.from({ length: 60 }, (_, n) => save({ name: `${n}` }, maker)));
    expect(saved.filter(({ webhook }) => webhook)).toHaveLength(50);
  });

  it('the fifty-first webhook of one creator is refused, while another creator may still make one', async () => {
    const maker = await operatorToken('site');
    const ids: string[] = [];
    for (;;) {
      const saved = await save({}, maker);
      if (!saved.webhook) {
        expect(saved).toMatchObject({ __typename: 'InvalidInput', message: expect.stringContaining('50') });
        break;
      }
      ids.push(saved.webhook.id);
    }
    expect(ids).toHaveLength(50);
    expect((await save({}, admin)).webhook).toBeTruthy();
  });

  it('an operator sees and manages only webhooks of its own sites, and any other webhook is answered like an unknown one', async () => {
    const { webhook } = await save({ siteIds: undefined }, admin);
    for (const mutation of ['removeWebhook', 'pauseWebhook', 'resumeWebhook', 'rotateWebhookSecret']) {
      const foreign = await run(operator, mutation, { id: webhook.id });
      const unknown = await run(operator, mutation, { id: '00000000-0000-4000-8000-000000000000' });
      expect([foreign.code, foreign.message.replace(webhook.id, '')]).toEqual([
        unknown.code,
        unknown.message.replace('00000000-0000-4000-8000-000000000000', ''),
      ]);
    }
    expect(await save({ siteIds: undefined })).toMatchObject({ code: 'FORBIDDEN' });
    expect(await save({ siteIds: ['site', 'other'] })).toMatchObject({ code: 'FORBIDDEN' });
    const { webhooks } = await server.graphql(operator, '{ webhooks { edges { node { id } } } }');
    expect(webhooks.edges).toEqual([]);
  });

  it('a driver may not make a webhook', async () => {
    expect(await save({}, await driverToken('ANNA'))).toMatchObject({ __typename: 'NotAllowed' });
  });

  it('without WEBHOOK_SECRET_KEY no webhook can be made', async () => {
    const without = await TestServer.start({ database: server.database });
    const input = { name: 'x', url: 'https://example.com', siteIds: ['site'] };
    expect(await run(operator, 'saveWebhook', { input }, without)).toMatchObject({ __typename: 'WebhooksOff' });
    await without.stop();
  });
});
