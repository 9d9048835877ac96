// Tests the rights of every role in every GraphQL operation, on its own objects and on others'; and that no query,
// refusal or event, nor REST, tells a driver who holds a connector.
import { readFileSync } from 'node:fs';
import {
  buildSchema,
  type GraphQLField,
  type GraphQLNamedOutputType,
  getNamedType,
  isInterfaceType,
  isLeafType,
  isNonNullType,
  isObjectType,
  isUnionType,
} from 'graphql';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type OperationName, operations } from '../../src/model/access/rights.ts';
import { eventually } from '../support/eventually.ts';
import { GraphQLSocket } from '../support/graphql-socket.ts';
import { adminToken, driverToken, operatorToken, PASSWORD, signToken, TestServer } from '../support/test-server.ts';

let server: TestServer;
let tokens: Record<Role, string>;
/** Objects of the site `site`, of the site `other`, and objects that do not exist. */
let places: Record<Whose, Place>;

type Role = 'driver' | 'operator' | 'admin';
type Whose = 'own' | 'foreign' | 'unknown';
interface Place {
  readonly site: string;
  readonly charger: string;
  readonly idTag: string;
  readonly reservation: string;
  readonly reservationId: number;
}

beforeAll(async () => {
  const env = { WEBHOOK_SECRET_KEY: 'a-key-for-the-secrets-of-webhooks-in-tests', WEBHOOK_PRIVATE_TARGETS: 'on' };
  server = await TestServer.start({ env });
  await server.fill();
  await server.saveSite('other');
  await server.saveCharger('OTHER', 'other');
  tokens = { driver: await driverToken('ANNA'), operator: await operatorToken('site'), admin: await adminToken() };
  const reserve = async (chargerId: string, idTag: string) => {
    await server.charger(chargerId);
    return server.reserveNow(tokens.admin, { chargerId, connectorId: 1, idTag, durationMinutes: 30 });
  };
  const own = await reserve('CH1', 'ANNA');
  const foreign = await reserve('OTHER', 'CLEO');
  const unknown = '00000000-0000-4000-8000-000000000000';
  places = {
    own: { site: 'site', charger: 'CH1', idTag: 'ANNA', reservation: own.id, reservationId: own.reservationId },
    foreign: {
      site: 'other',
      charger: 'OTHER',
      idTag: 'CLEO',
      reservation: foreign.id,
      reservationId: foreign.reservationId,
    },
    unknown: { site: 'nowhere', charger: 'NOBODY', idTag: 'NONE', reservation: unknown, reservationId: 999_999 },
  };
});
afterAll(() => server.stop());

/** `yes`: done, or refused because of the input; `none`: not found; `no`: forbidden. */
type Answer = 'yes' | 'none' | 'no';
/** The answers about own and about foreign objects. */
type Row = readonly [Answer, Answer];

interface Case {
  readonly ask: (place: Place) => string;
  readonly driver: Row;
  readonly operator: Row;
  readonly admin: Row;
}

const REFUSAL = '__typename ... on Refusal { code message }';
const text = (value: unknown) => JSON.stringify(value);
const PASSED = '2020-01-01T00:00:00Z';
const everywhere: Row = ['yes', 'yes'];
const nowhere: Row = ['no', 'no'];
const ownOnly: Row = ['yes', 'none'];
/** A site that is not the operator's is forbidden whether it exists or not. */
const ownOrNo: Row = ['yes', 'no'];

/**
 * Most mutations have an input that changes nothing once the rights are checked, so that the next case finds the same
 * data.
 */
const table: Record<OperationName, Case> = {
  reservation: {
    ask: ({ reservation }) => `{ reservation(id: ${text(reservation)}) { id idTag charger { id } site { id } } }`,
    driver: ownOnly,
    operator: ownOnly,
    admin: everywhere,
  },
  reservations: {
    ask: ({ site, idTag }) =>
      `{ reservations(filter: { siteId: ${text(site)}, idTag: ${text(idTag)} }) { edges { node { id idTag } } } }`,
    driver: ownOnly,
    operator: ownOnly,
    admin: everywhere,
  },
  reservationOptions: {
    ask: ({ site }) =>
      `{ reservationOptions(siteId: ${text(site)}, idTag: "ANNA") { ${REFUSAL} ... on ReservationOptions { isAllowed } } }`,
    driver: everywhere,
    operator: ownOnly,
    admin: everywhere,
  },
  availability: {
    ask: ({ site }) =>
      `{ availability(siteId: ${text(site)}, from: "2100-01-01T00:00:00Z", to: "2100-01-02T00:00:00Z") { ${REFUSAL} } }`,
    driver: everywhere,
    operator: ownOnly,
    admin: everywhere,
  },
  authorization: {
    ask: ({ charger }) => `{ authorization(chargerId: ${text(charger)}, idTag: "ANNA") { status reservedUntil } }`,
    driver: everywhere,
    operator: ownOnly,
    admin: everywhere,
  },
  charger: {
    ask: ({ charger }) => `{ charger(id: ${text(charger)}) { id site { id } connectors { connectorId state } } }`,
    driver: everywhere,
    operator: ownOnly,
    admin: everywhere,
  },
  chargers: {
    ask: ({ site }) => `{ chargers(siteId: ${text(site)}) { edges { node { id } } } }`,
    driver: everywhere,
    operator: ownOnly,
    admin: everywhere,
  },
  site: {
    ask: ({ site }) => `{ site(id: ${text(site)}) { id name } }`,
    driver: everywhere,
    operator: ownOnly,
    admin: everywhere,
  },
  sites: {
    ask: () => '{ sites { edges { node { id } } } }',
    driver: everywhere,
    operator: everywhere,
    admin: everywhere,
  },
  policyChanges: {
    ask: ({ site }) => `{ policyChanges(siteId: ${text(site)}) { edges { node { version } } } }`,
    driver: nowhere,
    operator: ownOrNo,
    admin: everywhere,
  },
  reservationUsage: {
    ask: ({ site }) =>
      `{ reservationUsage(siteId: ${text(site)}, from: "2026-01-01T00:00:00Z", to: "2026-01-02T00:00:00Z") { ${REFUSAL} } }`,
    driver: nowhere,
    operator: ownOrNo,
    admin: everywhere,
  },
  reservationBlocks: {
    ask: ({ site }) => `{ reservationBlocks(siteId: ${text(site)}) { ${REFUSAL} } }`,
    driver: nowhere,
    operator: ownOrNo,
    admin: everywhere,
  },
  idTags: {
    ask: () => '{ idTags { edges { node { idTag } } } }',
    driver: nowhere,
    operator: everywhere,
    admin: everywhere,
  },
  events: {
    ask: ({ reservation }) =>
      `{ events(filter: { reservationId: ${text(reservation)} }) { edges { node { ... on ReservationEvent { reservation { id idTag } } } } } }`,
    driver: ownOnly,
    operator: ownOnly,
    admin: everywhere,
  },
  eventCursor: { ask: () => '{ eventCursor }', driver: everywhere, operator: everywhere, admin: everywhere },
  reservationChanged: {
    ask: ({ reservation }) =>
      `subscription { reservationChanged(filter: { reservationId: ${text(reservation)} }, snapshot: true) { reservation { id idTag } } }`,
    driver: ownOnly,
    operator: ownOnly,
    admin: everywhere,
  },
  connectorChanged: {
    ask: ({ charger }) =>
      `subscription { connectorChanged(filter: { chargerId: ${text(charger)} }, snapshot: true) { chargerId to } }`,
    driver: everywhere,
    operator: ownOnly,
    admin: everywhere,
  },
  reserveNow: {
    ask: ({ charger }) =>
      `mutation { reserveNow(input: { chargerId: ${text(charger)}, connectorId: 1, idTag: "ANNA", durationMinutes: 15 }) { ${REFUSAL} } }`,
    driver: everywhere,
    operator: ownOnly,
    admin: everywhere,
  },
  scheduleReservation: {
    ask: ({ charger }) =>
      `mutation { scheduleReservation(input: { chargerId: ${text(charger)}, connectorId: 1, idTag: "ANNA", startsAt: "2100-01-01T00:00:00Z", durationMinutes: 15 }) { ${REFUSAL} } }`,
    driver: everywhere,
    operator: ownOnly,
    admin: everywhere,
  },
  moveReservation: {
    ask: ({ reservation }) =>
      `mutation { moveReservation(input: { id: ${text(reservation)}, connectorId: 1 }) { ${REFUSAL} } }`,
    driver: ownOnly,
    operator: ownOnly,
    admin: everywhere,
  },
  extendReservation: {
    ask: ({ reservation }) =>
      `mutation { extendReservation(input: { id: ${text(reservation)}, expiryDate: ${text(PASSED)} }) { ${REFUSAL} } }`,
    driver: ownOnly,
    operator: ownOnly,
    admin: everywhere,
  },
  cancelReservation: {
    ask: ({ charger, reservationId }) =>
      `mutation { cancelReservation(input: { chargerId: ${text(charger)}, reservationId: ${reservationId} }) { ${REFUSAL} } }`,
    driver: ownOnly,
    operator: ownOnly,
    admin: everywhere,
  },
  liftReservationBlock: {
    ask: ({ site }) => `mutation { liftReservationBlock(input: { siteId: ${text(site)} }) { ${REFUSAL} } }`,
    driver: nowhere,
    operator: ownOrNo,
    admin: everywhere,
  },
  saveSite: {
    ask: ({ site }) =>
      `mutation { saveSite(input: { id: ${text(site)}, name: "", timeZone: "UTC", policy: {} }) { ${REFUSAL} } }`,
    driver: nowhere,
    operator: ownOrNo,
    admin: everywhere,
  },
  removeSite: {
    ask: ({ site }) => `mutation { removeSite(id: ${text(site)}) { ${REFUSAL} } }`,
    driver: nowhere,
    operator: nowhere,
    admin: everywhere,
  },
  savePolicyOverride: {
    ask: ({ site }) => `mutation { savePolicyOverride(input: { siteId: ${text(site)}, policy: {} }) { ${REFUSAL} } }`,
    driver: nowhere,
    operator: ownOrNo,
    admin: everywhere,
  },
  removePolicyOverride: {
    ask: ({ site }) => `mutation { removePolicyOverride(input: { siteId: ${text(site)} }) { ${REFUSAL} } }`,
    driver: nowhere,
    operator: ownOrNo,
    admin: everywhere,
  },
  saveCharger: {
    ask: ({ site }) => `mutation { saveCharger(input: { id: "NEW", siteId: ${text(site)} }) { ${REFUSAL} } }`,
    driver: nowhere,
    operator: ownOrNo,
    admin: everywhere,
  },
  removeCharger: {
    ask: ({ charger }) => `mutation { removeCharger(id: ${text(charger)}) { ${REFUSAL} } }`,
    driver: nowhere,
    operator: ownOnly,
    admin: everywhere,
  },
  changeChargerPassword: {
    ask: ({ charger }) => `mutation { changeChargerPassword(id: ${text(charger)}) { ${REFUSAL} } }`,
    driver: nowhere,
    operator: ownOnly,
    admin: everywhere,
  },
  renewChargerCertificate: {
    ask: ({ charger }) => `mutation { renewChargerCertificate(id: ${text(charger)}) { ${REFUSAL} } }`,
    driver: nowhere,
    operator: ownOnly,
    admin: everywhere,
  },
  revokeChargerCertificate: {
    ask: ({ charger }) =>
      `mutation { revokeChargerCertificate(input: { chargerId: ${text(charger)}, fingerprint: "AA" }) { ${REFUSAL} } }`,
    driver: nowhere,
    operator: ownOnly,
    admin: everywhere,
  },
  saveIdTag: {
    ask: () => `mutation { saveIdTag(input: { idTag: "" }) { ${REFUSAL} } }`,
    driver: nowhere,
    operator: nowhere,
    admin: everywhere,
  },
  removeIdTag: {
    ask: () => `mutation { removeIdTag(idTag: "NONE") { ${REFUSAL} } }`,
    driver: nowhere,
    operator: nowhere,
    admin: ['none', 'none'],
  },
  apiKeys: {
    ask: () => '{ apiKeys { edges { node { id } } } }',
    driver: nowhere,
    operator: nowhere,
    admin: ['none', 'none'],
  },
  createApiKey: {
    ask: () => `mutation { createApiKey(input: { name: "", role: ADMIN }) { ${REFUSAL} } }`,
    driver: nowhere,
    operator: nowhere,
    admin: everywhere,
  },
  revokeApiKey: {
    ask: () => `mutation { revokeApiKey(id: "none") { ${REFUSAL} } }`,
    driver: nowhere,
    operator: nowhere,
    admin: ['none', 'none'],
  },
  auditEntries: {
    ask: () => '{ auditEntries { edges { node { id } } } }',
    driver: nowhere,
    operator: nowhere,
    admin: everywhere,
  },
  webhooks: {
    ask: () => '{ webhooks { edges { node { id } } } }',
    driver: nowhere,
    operator: ['none', 'none'],
    admin: ['none', 'none'],
  },
  saveWebhook: {
    ask: ({ site }) =>
      `mutation { saveWebhook(input: { name: "x", url: "ftp://x", siteIds: [${text(site)}] }) { ${REFUSAL} } }`,
    driver: nowhere,
    operator: ownOrNo,
    admin: everywhere,
  },
  removeWebhook: onWebhook('removeWebhook'),
  pauseWebhook: onWebhook('pauseWebhook'),
  resumeWebhook: onWebhook('resumeWebhook'),
  rotateWebhookSecret: onWebhook('rotateWebhookSecret'),
};

function onWebhook(mutation: string): Case {
  const none: Row = ['none', 'none'];
  return {
    ask: () => `mutation { ${mutation}(id: "none") { ${REFUSAL} } }`,
    driver: nowhere,
    operator: none,
    admin: none,
  };
}

interface Result {
  readonly data?: Record<string, unknown> | null;
  readonly errors?: readonly { readonly extensions: { readonly code: string } }[];
}

async function ask(token: string, document: string): Promise<Result> {
  const { data, errors } = (await server.post(token, document)).body;
  return { data, errors };
}

/** The first message of a subscription; empty if the subscription listens and nothing matches. */
async function watch(token: string, document: string): Promise<Result> {
  const socket = await GraphQLSocket.connect(server.url, token);
  const before = await server.metric('listening_subscriptions');
  socket.subscribe('s', document);
  while (socket.messages.all.length === 1 && (await server.metric('listening_subscriptions')) <= before)
    await new Promise(setImmediate);
  // The pong comes after every message that was sent before it.
  socket.send({ type: 'ping' });
  await socket.messages.until(({ type }) => type === 'pong');
  socket.socket.close();
  const message = socket.messages.all.find(({ id }) => id === 's');
  if (message?.type === 'error') return { errors: message.payload };
  return message ? message.payload : { data: { nothing: null } };
}

const answerOf = ({ data, errors }: Result): Answer => {
  const value = Object.values(data ?? {})[0] as { code?: string; edges?: unknown[] } | null | undefined;
  const code = errors?.[0]?.extensions.code ?? value?.code;
  if (code === 'FORBIDDEN') return 'no';
  if (code?.endsWith('_NOT_FOUND') || (!code && value == null) || value?.edges?.length === 0) return 'none';
  return 'yes';
};

/** The result without the requested names, so that results about different objects can be compared. */
const withoutNames = (result: Result, place: Place): string =>
  Object.values(place)
    .toSorted((one, other) => `${other}`.length - `${one}`.length)
    .reduce<string>((told, name) => told.replaceAll(`${name}`, '·'), JSON.stringify(result));

it('the tables of this test and of rights.ts name every operation of the schema', () => {
  const schema = buildSchema(readFileSync('schema.graphql', 'utf8'));
  const roots = [schema.getQueryType(), schema.getMutationType(), schema.getSubscriptionType()];
  const names = roots.flatMap((type) => Object.keys(type?.getFields() ?? {}));
  expect(Object.keys(table).toSorted()).toEqual(names.toSorted());
  expect(Object.keys(operations).toSorted()).toEqual(names.toSorted());
});

const roles = ['driver', 'operator', 'admin'] as const;
const others = Object.keys(table).filter((name) => name !== 'cancelReservation');
// cancelReservation comes last: the other cases need the reservations.
const cases = [...others, 'cancelReservation'].flatMap((name) => roles.map((role) => [name, role] as const));

it.each(cases)(
  'the operation %s, called as %s, gives the expected answer for own and for foreign objects',
  async (name, role) => {
    const { ask: documentOf, ...of } = table[name as OperationName];
    const get = (whose: Whose) => {
      const document = documentOf(places[whose]);
      return (document.startsWith('subscription') ? watch : ask)(tokens[role], document);
    };
    const [onOwn, onForeign] = of[role];
    const foreign = await get('foreign');
    expect(['foreign', answerOf(foreign)]).toEqual(['foreign', onForeign]);
    // The answer about a foreign object must be the same, letter by letter, as about one that does not exist.
    if (onForeign !== 'yes' && role !== 'admin') {
      expect(withoutNames(foreign, places.foreign)).toBe(withoutNames(await get('unknown'), places.unknown));
    }
    const own = await get('own');
    expect(['own', answerOf(own)]).toEqual(['own', onOwn]);
  },
);

describe('secrecy of the holder of a connector', () => {
  const schema = buildSchema(readFileSync('schema.graphql', 'utf8'));

  /** A selection of every field without required arguments, nested `depth` levels deep. */
  function everything(type: GraphQLNamedOutputType, depth: number): string {
    if (isUnionType(type)) {
      return `{ __typename ${type
        .getTypes()
        .map((one) => `... on ${one.name} ${everything(one, depth)}`)
        .join(' ')} }`;
    }
    if (!isObjectType(type) && !isInterfaceType(type)) return '';
    const own = Object.values(type.getFields() as Record<string, GraphQLField<unknown, unknown>>).flatMap((field) => {
      const inner = getNamedType(field.type);
      if (field.args.some((argument) => isNonNullType(argument.type) && argument.defaultValue === undefined)) return [];
      if (isLeafType(inner)) return [field.name];
      return depth > 0 ? [`${field.name} ${everything(inner, depth - 1)}`] : [];
    });
    // Aliases, because two types may have fields of the same name but of different types.
    const more = isInterfaceType(type)
      ? schema.getPossibleTypes(type).map((one) => {
          const leaves = Object.values(one.getFields()).filter((field) => isLeafType(getNamedType(field.type)));
          const inner = Object.values(one.getFields()).filter(({ name }) => name === 'reservation' && depth > 0);
          const named = leaves.map(({ name }) => `${one.name}_${name}: ${name}`);
          const deeper = inner.map(
            ({ name, type: of }) => `${name} ${everything(getNamedType(of) as GraphQLNamedOutputType, depth - 1)}`,
          );
          return `... on ${one.name} { ${[...named, ...deeper].join(' ')} }`;
        })
      : [];
    return `{ __typename ${[...own, ...more].join(' ')} }`;
  }

  const argumentsOf: Record<string, string> = {
    reservation: '(id: "$reservation")',
    reservations: '(first: 3)',
    reservationOptions: '(siteId: "other", idTag: "ANNA")',
    availability: '(siteId: "other", from: "2026-11-01T00:00:00Z", to: "2027-11-01T00:00:00Z")',
    authorization: '(chargerId: "OTHER", idTag: "ANNA", connectorId: 1)',
    charger: '(id: "OTHER")',
    chargers: '(first: 3)',
    site: '(id: "other")',
    sites: '(first: 3)',
    events: '(first: 100)',
    eventCursor: '',
    policyChanges: '(siteId: "other", first: 3)',
    reservationUsage: '(siteId: "other", from: "2026-11-01T00:00:00Z", to: "2026-12-01T00:00:00Z")',
    reservationBlocks: '(siteId: "other")',
    idTags: '(first: 3)',
    apiKeys: '(first: 3)',
    auditEntries: '(first: 3)',
    webhooks: '(first: 3)',
  };
  const queries = Object.values(schema.getQueryType()?.getFields() ?? {});

  beforeAll(async () => {
    // The cases above cancelled the reservations and made the chargers reconnect with new passwords.
    await eventually(async () => {
      const { charger } = await server.graphql(
        tokens.admin,
        '{ charger(id: "OTHER") { isConnected connectors { reservation { id } } } }',
      );
      expect(charger).toMatchObject({ isConnected: true, connectors: [{ reservation: null }, { reservation: null }] });
    });
    const reserve = {
      chargerId: 'OTHER',
      connectorId: 1,
      idTag: 'CLEO',
      parentIdTag: 'SECRET-GROUP',
      durationMinutes: 30,
    };
    const { id, reservationId, ...made } = await server.reserveNow(tokens.admin, reserve);
    expect(made).toMatchObject({ status: 'ACCEPTED' });
    places = { ...places, foreign: { ...places.foreign, reservation: id, reservationId } };
  });

  it.each(queries.map((field) => [field.name, field] as const))(
    'no field of the query %s tells a driver who holds a connector',
    async (name, field) => {
      const given = argumentsOf[name]?.replace('$reservation', places.foreign.reservation);
      expect(given).toBeDefined();
      const documents = isLeafType(getNamedType(field.type))
        ? ['']
        : [1, 3].map((depth) => everything(getNamedType(field.type) as GraphQLNamedOutputType, depth));
      for (const selection of documents) {
        const { body } = await server.post(tokens.driver, `{ ${name}${given} ${selection} }`);
        expect(body.errors?.[0]?.extensions.code ?? 'none').toMatch(/^(none|FORBIDDEN)$/);
        for (const secret of ['CLEO', 'SECRET-GROUP', places.foreign.reservation]) {
          expect(JSON.stringify(body)).not.toContain(secret);
        }
        // The driver does see that the connector is held, and until when.
        if (name === 'charger') expect(body.data.charger.connectors[0].reservedUntil).toEqual(expect.any(String));
      }
    },
  );

  it('no refusal tells a driver who holds a connector', async () => {
    const { reservation, reservationId } = places.foreign;
    const tries = [
      await server.reserveNow(tokens.driver, { chargerId: 'OTHER', connectorId: 1, idTag: 'ANNA', durationMinutes: 5 }),
      await server.reserveNow(tokens.driver, {
        chargerId: 'OTHER',
        connectorId: 2,
        idTag: 'ANNA',
        durationMinutes: 5,
        reservationId,
      }),
      await server.reserveNow(tokens.driver, {
        chargerId: 'OTHER',
        connectorId: 1,
        idTag: 'ANNA',
        durationMinutes: 5,
        preempt: true,
      }),
      await server.scheduleReservation(tokens.driver, {
        chargerId: 'OTHER',
        connectorId: 1,
        idTag: 'ANNA',
        durationMinutes: 5,
        startsAt: new Date(server.clock.now().getTime() + 600_000).toISOString(),
      }),
      await server.cancelReservation(tokens.driver, { id: reservation }),
      await server.moveReservation(tokens.driver, { id: reservation, connectorId: 2 }),
    ];
    for (const one of tries) {
      expect(one.__typename).not.toBe('Reservation');
      expect(JSON.stringify(one)).not.toMatch(new RegExp(`CLEO|SECRET-GROUP|${reservation}`));
    }
  });

  it('no event, over a subscription or REST, tells a driver who holds a connector', async () => {
    const every = await server.subscribe(
      tokens.driver,
      'subscription { connectorChanged { __typename chargerId from to errorCode type } }',
    );
    const steps = await server.watchReservations(tokens.driver);
    const rest = (path: string) =>
      fetch(server.url.replace('/graphql', path), { headers: { authorization: `Bearer ${tokens.driver}` } });
    await server.cancelReservation(tokens.admin, { id: places.foreign.reservation });
    const freed = await every.until(({ chargerId, to }) => chargerId === 'OTHER' && to === 'AVAILABLE');
    expect(JSON.stringify(freed)).not.toMatch(/CLEO|SECRET-GROUP/);
    expect(steps.all).toEqual([]);
    expect(await (await rest(`/reservations?chargerId=OTHER`)).json()).toEqual({ items: [] });
    expect((await rest(`/reservations/${places.foreign.reservation}`)).status).toBe(404);
  });
});

describe('scopes of a token', () => {
  const scoped = (role: string, scope: string, more: object) => signToken('somebody', { role, scope, ...more });

  it('a token with only the scope chargers:read can neither reserve nor read events, and does not see who holds a connector', async () => {
    const reader = await scoped('operator', 'chargers:read', { sites: ['site'] });
    const query = '{ charger(id: "CH1") { id connectors { connectorId reservation { id } reservedUntil } } }';
    const { charger } = await server.graphql(reader, query);
    expect(charger.id).toBe('CH1');
    expect(charger.connectors.every(({ reservation }: { reservation: unknown }) => reservation === null)).toBe(true);
    const document = `mutation { reserveNow(input: { chargerId: "CH1", connectorId: 2, idTag: "ANNA", durationMinutes: 5 }) { ${REFUSAL} } }`;
    expect(answerOf(await ask(reader, document))).toBe('no');
    expect(answerOf(await ask(reader, '{ events { edges { cursor } } }'))).toBe('no');
  });

  it('scopes add no permission that the role lacks', async () => {
    const driver = await scoped('driver', 'sites:write audit:read reservations:read', { idTags: ['ANNA'] });
    expect(answerOf(await ask(driver, '{ auditEntries { edges { node { id } } } }'))).toBe('no');
    expect(answerOf(await ask(driver, `mutation { removeSite(id: "site") { ${REFUSAL} } }`))).toBe('no');
  });

  it('scopes that the server does not define, such as openid, do not restrict a token', async () => {
    const admin = await scoped('admin', 'openid profile email', {});
    expect(answerOf(await ask(admin, '{ auditEntries { edges { node { id } } } }'))).toBe('yes');
  });
});

it('no answer contains the password of a charger', async () => {
  const { body } = await server.post(tokens.admin, '{ __type(name: "Charger") { fields { name } } }');
  expect(JSON.stringify(body)).not.toMatch(/password|hash|secret/i);
  expect(
    JSON.stringify(await server.graphql(tokens.admin, '{ auditEntries(first: 100) { edges { node { input } } } }')),
  ).not.toContain(PASSWORD);
});

it('two operators who save the same new charger for their own sites at once: one gets it, the other is refused', async () => {
  const query = 'mutation ($input: SaveChargerInput!) { saveCharger(input: $input) { __typename } }';
  const save = async (id: string, siteId: string) =>
    (await server.graphql(await operatorToken(siteId), query, { input: { id, siteId, password: PASSWORD } }))
      .saveCharger;
  for (let n = 0; n < 5; n += 1) {
    const results = await Promise.all([save(`RACE-${n}`, 'site'), save(`RACE-${n}`, 'other')]);
    expect(results.map(({ __typename }) => __typename).toSorted()).toEqual(['Charger', 'NotAllowed']);
  }
});

it('a repeated request is not answered with a reservation that its caller may no longer see', async () => {
  const input = { chargerId: 'CH1', connectorId: 2, idTag: 'CLEO', durationMinutes: 15, idempotencyKey: 'moved on' };
  const as = (site: string) => signToken('mover', { role: 'operator', sites: [site] });
  expect(await server.reserveNow(await as('site'), input)).toMatchObject({ __typename: 'Reservation' });
  expect(await server.reserveNow(await as('other'), input)).toMatchObject({ __typename: 'NotFound' });
});
