// OCPP's security profiles: which port and credential let a charger in, and how passwords and certificates are renewed
// and revoked.
import { X509Certificate } from 'node:crypto';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { WebSocket } from 'ws';
import { Certificates, type Pair } from '../support/certificates.ts';
import { eventually } from '../support/eventually.ts';
import { adminToken, operatorToken, PASSWORD, TestServer } from '../support/test-server.ts';

let certificates: Certificates;
let server: TestServer;
let admin: string;

beforeAll(async () => {
  certificates = await Certificates.make();
  const env = { ...certificates.env, OCPP_CLIENT_CA_KEY_FILE: certificates.path('ca.key') };
  server = await TestServer.start({ env });
  admin = await adminToken();
  await server.fill();
});
afterAll(async () => {
  await server.stop();
  certificates.remove();
});

interface Attempt {
  readonly id: string;
  readonly user?: string;
  readonly password?: string | Buffer;
  readonly pair?: Pair;
  readonly on?: TestServer;
}

const tlsUrl = (on = server) => `wss://127.0.0.1:${on.app.ocppTlsPort}/ocpp`;

/** The HTTP status of the handshake; 101 when the charger is let in. */
function attempt(url: string, { id, user = id, password, pair }: Attempt): Promise<number> {
  const credentials =
    password === undefined ? undefined : Buffer.concat([Buffer.from(`${user}:`), Buffer.from(password)]);
  const headers = credentials ? { authorization: `Basic ${credentials.toString('base64')}` } : {};
  const tls = { ca: certificates.ca, ...(pair && { cert: pair.cert, key: pair.key }) };
  const socket = new WebSocket(`${url}/${id}`, ['ocpp1.6'], { headers, ...tls });
  return new Promise((resolve, reject) => {
    socket.on('open', () => {
      socket.close();
      socket.once('close', () => resolve(101));
    });
    socket.on('unexpected-response', (_, response) => resolve(response.statusCode ?? 0));
    socket.on('error', reject);
  });
}
const plainly = (one: Attempt) => attempt((one.on ?? server).ocppUrl, one);
const overTls = (one: Attempt) => attempt(tlsUrl(one.on), one);

const saveCharger = (input: object, token = admin) =>
  server
    .graphql(
      token,
      `mutation ($input: SaveChargerInput!) { saveCharger(input: $input) { __typename ... on Charger { securityProfile }
         ... on Refusal { code message } } }`,
      { input: { siteId: 'site', ...input } },
    )
    .then(({ saveCharger: saved }) => saved);

describe('a charger with a security profile', () => {
  it('security profile 1 accepts a password on the plain and on the TLS port', async () => {
    await saveCharger({ id: 'P1', password: PASSWORD });
    expect(await plainly({ id: 'P1', password: PASSWORD })).toBe(101);
    expect(await overTls({ id: 'P1', password: PASSWORD })).toBe(101);
    expect(await overTls({ id: 'P1', password: 'wrong' })).toBe(401);
    expect(await overTls({ id: 'P1' })).toBe(401);
  });

  it('security profile 2 accepts a password over TLS only', async () => {
    expect(await saveCharger({ id: 'P2', password: PASSWORD, securityProfile: 2 })).toMatchObject({
      securityProfile: 2,
    });
    expect(await plainly({ id: 'P2', password: PASSWORD })).toBe(403);
    expect(await overTls({ id: 'P2', password: PASSWORD })).toBe(101);
  });

  it('security profile 3 accepts a certificate only', async () => {
    await saveCharger({ id: 'P3', password: PASSWORD, securityProfile: 3 });
    const pair = await certificates.issue('P3');
    expect(await overTls({ id: 'P3', pair })).toBe(101);
    expect(await overTls({ id: 'P3', password: PASSWORD })).toBe(403);
    expect(await plainly({ id: 'P3', password: PASSWORD })).toBe(403);
  });

  it('a security profile can be raised but not lowered, and raising it ends a connection made with the lower profile', async () => {
    await saveCharger({ id: 'UP', password: PASSWORD });
    const charger = await server.rawCharger('UP');
    expect(await saveCharger({ id: 'UP', securityProfile: 2 })).toMatchObject({ securityProfile: 2 });
    expect(await charger.closed).toMatchObject({ code: 1000, reason: expect.stringContaining('profile 2') });
    expect(await saveCharger({ id: 'UP', securityProfile: 1 })).toMatchObject({
      __typename: 'InvalidInput',
      message: expect.stringContaining('only be raised'),
    });
    expect(await saveCharger({ id: 'UP' })).toMatchObject({ securityProfile: 2 });
    expect(await saveCharger({ id: 'UP', securityProfile: 4 })).toMatchObject({ __typename: 'InvalidInput' });
    expect(await plainly({ id: 'UP', password: PASSWORD })).toBe(403);
  });

  it('a charger that is removed and saved again keeps its security profile, and its old certificates are refused', async () => {
    await saveCharger({ id: 'GONE', password: PASSWORD, securityProfile: 3 });
    const pair = await certificates.issue('GONE');
    expect(await overTls({ id: 'GONE', pair })).toBe(101);
    await server.graphql(admin, 'mutation { removeCharger(id: "GONE") { __typename } }');
    expect(await saveCharger({ id: 'GONE', password: PASSWORD, securityProfile: 1 })).toMatchObject({
      __typename: 'InvalidInput',
    });
    expect(await saveCharger({ id: 'GONE', password: PASSWORD })).toMatchObject({ securityProfile: 3 });
    expect(await plainly({ id: 'GONE', password: PASSWORD })).toBe(403);
    expect(await overTls({ id: 'GONE', pair })).toBe(403);
  });

  it('a raised security profile survives concurrent saves of the charger', async () => {
    await saveCharger({ id: 'RACE', password: PASSWORD });
    await Promise.all([
      saveCharger({ id: 'RACE', password: 'another-password-1' }),
      saveCharger({ id: 'RACE', securityProfile: 3 }),
      saveCharger({ id: 'RACE', name: 'renamed' }),
    ]);
    expect(await saveCharger({ id: 'RACE' })).toMatchObject({ securityProfile: 3 });
    expect(await plainly({ id: 'RACE', password: 'another-password-1' })).toBe(403);
  });

  it('behind a proxy that ends TLS, the plain port counts as encrypted', async () => {
    const behind = await TestServer.start({
      database: server.database,
      env: { OCPP_BEHIND_TLS_PROXY: 'on', TRUSTED_PROXIES: '127.0.0.1' },
    });
    expect(await plainly({ id: 'P2', password: PASSWORD, on: behind })).toBe(101);
    await behind.stop();
  });
});

describe('a charger certificate', () => {
  beforeAll(async () => {
    for (const id of ['C1', 'C2']) await saveCharger({ id, password: PASSWORD, securityProfile: 3 });
  });

  it('a certificate of another charger is refused, even with the right password', async () => {
    const pair = await certificates.issue('C2');
    expect(await overTls({ id: 'C1', pair })).toBe(403);
    expect(await overTls({ id: 'C1', pair, password: PASSWORD })).toBe(403);
  });

  it.each([
    ['that has expired', { from: -20, to: -1 }],
    ['that is not valid yet', { from: 1, to: 20 }],
  ])('a certificate %s is refused', async (_, dates) => {
    expect(await overTls({ id: 'C1', pair: await certificates.issue('C1', dates) })).toBe(403);
  });

  it('a certificate signed by another authority is refused', async () => {
    const pair = await certificates.issue('C1', { by: certificates.stranger });
    expect(await overTls({ id: 'C1', pair })).toBe(403);
    // OpenSSL itself may abort the handshake when the signature of a certificate is invalid.
    const forged = await certificates.issue('C1', { by: certificates.impostor });
    expect(await overTls({ id: 'C1', pair: forged }).catch(() => 'cut off')).not.toBe(101);
  });

  it('a certificate with two common names is refused', async () => {
    expect(await overTls({ id: 'C1', pair: await certificates.issue('C1, CN=C2') })).toBe(403);
  });

  it('a certificate of another authority, such as the manufacturer’s, does not prevent a login with the password', async () => {
    const pair = await certificates.issue('0815', { by: certificates.stranger });
    expect(await overTls({ id: 'P2', pair, password: PASSWORD })).toBe(101);
  });

  it('a certificate is listed for the site’s operator; revoking the certificate ends its connection and bars later logins with it', async () => {
    const pair = await certificates.issue('C1');
    expect(await overTls({ id: 'C1', pair })).toBe(101);
    const query = '{ charger(id: "C1") { certificates { fingerprint serialNumber lastSeenAt notAfter } } }';
    const { charger } = await server.graphql(await operatorToken('site'), query);
    expect(charger.certificates).toMatchObject([{ fingerprint: pair.fingerprint, lastSeenAt: expect.any(String) }]);

    const socket = new WebSocket(`${tlsUrl()}/C1`, ['ocpp1.6'], {
      ca: certificates.ca,
      cert: pair.cert,
      key: pair.key,
    });
    await new Promise((resolve) => socket.once('open', resolve));
    const closed = new Promise((resolve) => socket.once('close', (code) => resolve(code)));
    const revoke = `mutation ($input: RevokeChargerCertificateInput!) { revokeChargerCertificate(input: $input) {
      __typename ... on ChargerCertificate { revokedAt revokedBy } ... on Refusal { code } } }`;
    const input = { chargerId: 'C1', fingerprint: pair.fingerprint };
    const run = async (token: string) => (await server.graphql(token, revoke, { input })).revokeChargerCertificate;
    expect(await run(await operatorToken('elsewhere'))).toEqual({ __typename: 'NotFound', code: 'CHARGER_NOT_FOUND' });
    expect(await run(await operatorToken('site'))).toMatchObject({ revokedAt: expect.any(String), revokedBy: 'olga' });
    expect(await closed).toBe(1000);
    expect(await overTls({ id: 'C1', pair })).toBe(403);
    expect(await overTls({ id: 'C1', pair: await certificates.issue('C1') })).toBe(101);
  });

  it('a certificate on its authority’s revocation list is refused once the server has reloaded the files', async () => {
    const good = await certificates.issue('C2');
    const bad = await certificates.issue('C2');
    await certificates.revoke();
    const env = { ...certificates.env, OCPP_CLIENT_CRL_FILE: certificates.path('crl.pem') };
    const other = await TestServer.start({ database: server.database, env });
    expect(await overTls({ id: 'C2', pair: bad, on: other })).toBe(101);
    await certificates.revoke(bad.serialNumber);
    await certificates.makeServer();
    other.clock.advance(61_000);
    await eventually(async () => expect(await overTls({ id: 'C2', pair: bad, on: other })).toBe(403));
    expect(await overTls({ id: 'C2', pair: good, on: other })).toBe(101);
    await other.stop();
  });
});

describe('renewal of a certificate', () => {
  const renew = async (token: string, id: string) =>
    (
      await server.graphql(
        token,
        `mutation ($id: ID!) { renewChargerCertificate(id: $id) { __typename ... on Refusal { code } } }`,
        { id },
      )
    ).renewChargerCertificate;

  it.each(['1.6', '2.0.1'] as const)(
    'a charger asked to renew its certificate gets a signed certificate and logs in with it (OCPP %s)',
    async (version) => {
      const id = `RENEW-${version}`;
      await saveCharger({ id, password: PASSWORD, securityProfile: 3 });
      const old = await certificates.issue(id);
      const { csr, key } = await certificates.request(`CN=${id}, O=Somebody`);
      const tls = { ca: certificates.ca, cert: old.cert, key: old.key };
      const options = { url: tlsUrl(), tls, requestCertificate: () => csr };
      const charger = await server.charger(id, version, options);
      expect(await renew(await operatorToken('site'), id)).toEqual({ __typename: 'Charger' });
      const signed = await eventually(() => {
        const found = charger.received.find(({ method }) => method === 'CertificateSigned');
        expect(found).toBeDefined();
        return found;
      });
      const certificate = new X509Certificate(signed?.payload.certificateChain);
      expect(certificate.subject).toBe(`CN=${id}`);
      expect(certificate.verify(new X509Certificate(certificates.ca).publicKey)).toBe(true);
      await charger.disconnect();
      expect(await overTls({ id, pair: { cert: signed?.payload.certificateChain, key } })).toBe(101);
    },
  );

  it('a certificate signing request that is malformed, badly signed, for another charger or over a plain connection is Rejected', async () => {
    await saveCharger({ id: 'SIGN', password: PASSWORD });
    const url = tlsUrl();
    const charger = await server.charger('SIGN', '1.6', { url, tls: { ca: certificates.ca } });
    const { csr } = await certificates.request('CN=C1');
    const own = (await certificates.request('CN=SIGN')).csr;
    const der = Buffer.from(own.replace(/-----[A-Z ]+-----|\s/g, ''), 'base64');
    der[der.length - 1] = (der.at(-1) ?? 0) ^ 1;
    const forged = `-----BEGIN CERTIFICATE REQUEST-----\n${der.toString('base64')}\n-----END CERTIFICATE REQUEST-----`;
    for (const bad of [csr, forged, 'nothing']) {
      expect(await charger.call('SignCertificate', { csr: bad })).toEqual({ status: 'Rejected' });
    }
    await charger.disconnect();
    // SIGN has used up its rate of signing requests; SIGN-2 has not.
    await saveCharger({ id: 'SIGN-2', password: PASSWORD });
    const other = await server.charger('SIGN-2', '1.6', { url, tls: { ca: certificates.ca } });
    const good = (await certificates.request('CN=SIGN-2')).csr;
    expect(await other.call('SignCertificate', { csr: good })).toEqual({ status: 'Accepted' });
    await other.disconnect();
    // On an unencrypted connection an eavesdropper could read the password and request a certificate of its own.
    const plain = await server.rawCharger('SIGN-2');
    expect(await plain.call('SignCertificate', { csr: good })).toEqual({ status: 'Rejected' });
    plain.close();
  });

  it('a certificate renewal is refused by a server without a certificate authority', async () => {
    const without = await TestServer.start({ database: server.database });
    const charger = await without.rawCharger('CH1');
    const { csr } = await certificates.request('CN=CH1');
    expect(await charger.call('SignCertificate', { csr })).toEqual({ status: 'Rejected' });
    const query = 'mutation { renewChargerCertificate(id: "CH1") { ... on Refusal { code } } }';
    expect(await without.graphql(admin, query)).toEqual({ renewChargerCertificate: { code: 'NOT_SUPPORTED' } });
    await without.stop();
  });
});

describe('a charger password', () => {
  const change = async (token: string, id: string) =>
    (
      await server.graphql(
        token,
        `mutation ($id: ID!) { changeChargerPassword(id: $id) { __typename
           ... on ChargerPasswordChange { isAccepted } ... on Refusal { code } ... on ChargerRefused { answer } } }`,
        { id },
      )
    ).changeChargerPassword;

  it.each(['1.6', '2.0.1', '2.1'] as const)(
    'a password is changed on the charger, which logs in with the new password (OCPP %s)',
    async (version) => {
      const id = `PW-${version}`;
      await saveCharger({ id, password: PASSWORD });
      const charger = await server.charger(id, version);
      expect(await change(await operatorToken('site'), id)).toEqual({
        __typename: 'ChargerPasswordChange',
        isAccepted: true,
      });
      const told = charger.received.at(-1)?.payload;
      const value = version === '1.6' ? told.value : told.setVariableData[0].attributeValue;
      const password = version === '1.6' ? Buffer.from(value, 'hex').toString() : value;
      expect(password).toMatch(/^[A-Za-z0-9]{20}$/);
      await charger.connect();
      expect(charger.isConnected).toBe(true);
      await charger.disconnect();
      expect(await plainly({ id, password })).toBe(101);
      expect(await plainly({ id, password: PASSWORD })).toBe(401);
      // Some 1.6 chargers send the hexadecimal digits instead of the bytes that they stand for.
      if (version === '1.6') expect(await plainly({ id, password: value })).toBe(101);
    },
  );

  it('a password change that the charger refuses stores no new password', async () => {
    await saveCharger({ id: 'PW-NO', password: PASSWORD });
    const charger = await server.rawCharger('PW-NO');
    const changing = change(admin, 'PW-NO');
    const { id } = await charger.expectCall('ChangeConfiguration');
    charger.answer(id, { status: 'Rejected' });
    expect(await changing).toEqual({ __typename: 'ChargerRefused', code: 'CHARGER_REFUSED', answer: 'REJECTED' });
    const [row] = await server.database.query<{ next: string[] }>(
      `SELECT offered_hashes AS next FROM charger WHERE id = 'PW-NO'`,
    );
    expect(row?.next).toEqual([]);
    charger.close();
  });

  it('after an unanswered password change both passwords are valid until the charger logs in with the new one', async () => {
    await saveCharger({ id: 'PW-MUTE', password: PASSWORD });
    const charger = await server.rawCharger('PW-MUTE');
    const changing = change(admin, 'PW-MUTE');
    const { payload } = await charger.expectCall('ChangeConfiguration');
    server.clock.advance(11_000);
    expect(await changing).toEqual({ __typename: 'ChargerPasswordChange', isAccepted: false });
    expect(await plainly({ id: 'PW-MUTE', password: PASSWORD })).toBe(101);
    const password = Buffer.from(payload.value, 'hex');
    expect(await plainly({ id: 'PW-MUTE', password })).toBe(101);
    expect(await plainly({ id: 'PW-MUTE', password: PASSWORD })).toBe(401);
  });

  it('a new password that the charger took without an answer stays valid when another change fails', async () => {
    await saveCharger({ id: 'PW-TWO', password: PASSWORD });
    const charger = await server.rawCharger('PW-TWO');
    const changing = change(admin, 'PW-TWO');
    const { payload } = await charger.expectCall('ChangeConfiguration');
    await charger.close();
    expect(await changing).toMatchObject({ isAccepted: false });
    await eventually(async () => expect(await change(admin, 'PW-TWO')).toMatchObject({ code: 'CHARGER_OFFLINE' }));
    expect(await plainly({ id: 'PW-TWO', password: Buffer.from(payload.value, 'hex') })).toBe(101);
  });

  it('wrong passwords from one address are limited, while the charger itself still logs in', async () => {
    await saveCharger({ id: 'GUESSED', password: PASSWORD });
    const proxied = await TestServer.start({ database: server.database, env: { TRUSTED_PROXIES: '127.0.0.1' } });
    const login = (password: string, address: string) => {
      const authorization = `Basic ${Buffer.from(`GUESSED:${password}`).toString('base64')}`;
      const headers = { authorization, 'x-forwarded-for': address };
      const socket = new WebSocket(`${proxied.ocppUrl}/GUESSED`, ['ocpp1.6'], { headers });
      return new Promise<number>((resolve, reject) => {
        socket.on('open', () => {
          socket.close();
          resolve(101);
        });
        socket.on('unexpected-response', (_, response) => resolve(response.statusCode ?? 0));
        socket.on('error', reject);
      });
    };
    const [home, elsewhere] = ['203.0.113.9', '198.51.100.1'];
    expect(await login(PASSWORD, home)).toBe(101);
    const guesses = Array.from({ length: 40 }, (_, n) => login(`wrong-password-${n}`, home));
    const statuses = await Promise.all(guesses);
    // The limit for a known charger at its address: a burst of 10, then one more per 10 seconds of the test's run.
    expect(statuses.filter((status) => status === 401).length).toBeLessThan(15);
    expect(statuses.filter((status) => status === 429).length).toBeGreaterThan(25);
    expect(await login(PASSWORD, home)).toBe(101);
    expect(await login(PASSWORD, elsewhere)).toBe(101);
    expect(await proxied.metric('charger_logins_total{verdict="too_many_failures"}')).toBeGreaterThan(25);
    await proxied.stop();
  });

  it('a password change is refused for an offline charger, and for another site’s operator like that of an unknown charger', async () => {
    await saveCharger({ id: 'PW-OFF', password: PASSWORD });
    expect(await change(admin, 'PW-OFF')).toMatchObject({ code: 'CHARGER_OFFLINE' });
    const foreign = await operatorToken('elsewhere');
    expect(await change(foreign, 'PW-OFF')).toEqual(await change(foreign, 'NOBODY'));
  });

  it('a charger password may be bytes that are not text, saved as hexadecimal digits', async () => {
    const digits = '00FF10EE20DD30CC40BB50AA60996088';
    await saveCharger({ id: 'PW-HEX', password: digits });
    expect(await plainly({ id: 'PW-HEX', password: Buffer.from(digits, 'hex') })).toBe(101);
    expect(await plainly({ id: 'PW-HEX', password: digits })).toBe(101);
  });

  it('a charger password is stored only as a scrypt hash', async () => {
    const rows = await server.database.query<{ row: string }>('SELECT charger::text AS row FROM charger');
    expect(rows.length).toBeGreaterThan(5);
    for (const { row } of rows) {
      expect(row).toContain('scrypt$8192$');
      expect(row).not.toContain(PASSWORD);
    }
  });
});
