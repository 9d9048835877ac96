// GraphQL over HTTP: the server passes every audit of the reference implementation (graphql-http), each MUST, SHOULD
// and MAY.
import { serverAudits } from 'graphql-http';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { adminToken, TestServer } from '../support/test-server.ts';

let server: TestServer;
let token: string;

beforeAll(async () => {
  server = await TestServer.start();
  token = await adminToken();
});
afterAll(() => server.stop());

const audits = serverAudits({
  url: () => server.url,
  fetchFn: (url: string, init: RequestInit = {}) => {
    const headers = new Headers(init.headers);
    headers.set('authorization', `Bearer ${token}`);
    // CSRF prevention requires a header that a plain HTML form cannot send.
    headers.set('apollo-require-preflight', 'true');
    return fetch(url, { ...init, headers });
  },
});

it.each(audits.map(({ name, fn }) => [name, fn] as const))('GraphQL over HTTP: %s', async (_, run) => {
  const result = await run();
  expect(result.status === 'ok' ? 'ok' : result.reason).toBe('ok');
});

it('malformed JSON and an oversized body are answered with GraphQL errors', async () => {
  const headers = { 'content-type': 'application/json', authorization: `Bearer ${token}` };
  const malformed = await fetch(server.url, { method: 'POST', headers, body: '{"query":' });
  expect(malformed.status).toBe(400);
  expect(await malformed.json()).toMatchObject({
    errors: [{ message: expect.any(String), extensions: { code: 'BAD_REQUEST' } }],
  });
  const oversized = await fetch(server.url, {
    method: 'POST',
    headers,
    body: JSON.stringify({ query: ' '.repeat(200_000) }),
  });
  expect(oversized.status).toBe(413);
  expect(await oversized.json()).toMatchObject({ errors: [{ extensions: { code: 'BAD_REQUEST' } }] });
});
