// Verifies an API key and turns it into a Caller.
import type { Background } from '../common/background.ts';
import type { Clock } from '../common/clock.ts';
import type { Log } from '../common/log.ts';
import { fromText, isSecretOf } from '../model/access/api-key.ts';
import type { Caller } from '../model/access/caller.ts';
import { permissionsOf } from '../model/access/rights.ts';
import type { ApiKeyRepository } from '../storage/access/api-key.repository.ts';
import { CredentialError } from './authenticate.ts';

interface Ports {
  readonly keys: ApiKeyRepository;
  readonly background: Background;
  readonly clock: Clock;
  readonly log: Log;
}

/**
 * Throws a CredentialError. An unknown key and a wrong secret get the same message, so that nobody can probe for ids.
 */
export const apiKeyVerifier =
  ({ keys, background, clock, log }: Ports) =>
  async (text: string): Promise<Caller> => {
    const given = fromText(text);
    const found = given && (await keys.find(given.id));
    if (!given || !found || !isSecretOf(found.secretHash, given.secret))
      throw new CredentialError('The API key is not known here.');
    const { key } = found;
    const now = clock.now();
    if (key.revokedAt) throw new CredentialError('The API key was revoked; use another.');
    if (key.expiresAt <= now) throw new CredentialError('The API key has expired; use another.');
    void background.track(
      keys
        .recordUse(key.id, now)
        .catch((error) => log.warn({ error, apiKeyId: key.id }, 'the last use of an API key was not stored')),
    );
    const { id, reach, scopes, expiresAt } = key;
    const permissions = permissionsOf(reach.role, scopes);
    return { subject: `api-key:${id}`, apiKeyId: id, expiresAt, permissions, ...reach };
  };
