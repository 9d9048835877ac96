import { expect, it } from 'vitest';
import { Authenticator } from '../../src/auth/authenticate.ts';
import { createMetrics } from '../../src/common/metrics.ts';
import type { Caller } from '../../src/model/access/caller.ts';

const begin = Date.parse('2026-05-01T10:00:00Z');

it.each([
  ['a token', 'a.b.c', undefined, 10_000],
  ['a long-lived token', 'a.b.c', undefined, 3_600_000],
  ['an API key', 'evk_key', 'key-1', 3_600_000],
])('%s is verified once, and again as soon as its cached result expires', async (_, credential, apiKeyId, livesMs) => {
  let nowMs = begin;
  let verified = 0;
  const verify = async () => {
    verified += 1;
    return { expiresAt: new Date(begin + livesMs), ...(apiKeyId && { apiKeyId }) } as Caller;
  };
  const clock = { now: () => new Date(nowMs), after: () => () => {} };
  const { authenticate } = new Authenticator({
    verifyToken: verify,
    verifyApiKey: verify,
    clock,
    metrics: createMetrics(),
  });
  const rememberedMs = Math.min(livesMs, apiKeyId ? 5000 : 30_000);

  for (const atMs of [0, rememberedMs - 1]) {
    nowMs = begin + atMs;
    await authenticate(`Bearer ${credential}`, '127.0.0.1');
  }
  expect(verified).toBe(1);
  nowMs = begin + rememberedMs;
  await authenticate(`Bearer ${credential}`, '127.0.0.1');
  expect(verified).toBe(2);
});
