// Creates and revokes API keys. A new key never has a permission that its creator lacks, and no API key creates
// another.
import { randomUUID } from 'node:crypto';
import { addMs } from '../common/clock.ts';
import { isUuid } from '../common/identifier.ts';
import { type ApiKey, hashOf, newSecret, toText } from '../model/access/api-key.ts';
import { type Caller, type Permission, permissions, type Reach, type Role } from '../model/access/caller.ts';
import { permissionsOf } from '../model/access/rights.ts';
import { checkIdentifier, type InputRefusal, invalidInput } from '../model/refusals/input.ts';
import { isRefusal, type Refusal } from '../model/refusals/refusal.ts';
import type { AdministrationPorts } from './ports.ts';

export interface CreateApiKeyInput {
  readonly name: string;
  readonly role: Role;
  readonly sites?: readonly string[];
  readonly idTags?: readonly string[];
  readonly groups?: readonly string[];
  /** Default: every permission of the role. */
  readonly scopes?: readonly string[];
  readonly expiresAt?: Date;
}

/** `secret` is the text of the key, returned only here. */
export interface CreatedApiKey {
  readonly apiKey: ApiKey;
  readonly secret: string;
}

const DAY_MS = 86_400_000;
const DEFAULT_DAYS = 365;
const MAX_DAYS = 3660;

export async function createApiKey(
  ports: AdministrationPorts,
  caller: Caller,
  input: CreateApiKeyInput,
): Promise<CreatedApiKey | Refusal> {
  const { apiKeys, clock } = ports;

  if (caller.apiKeyId !== undefined) return onlyPeople;
  const now = clock.now();
  const { name, expiresAt = addMs(now, DEFAULT_DAYS * DAY_MS) } = input;
  const wrongName = checkIdentifier('name', name);
  if (wrongName) return wrongName;
  const reach = toReach(input);
  if (isRefusal(reach)) return reach;
  if (expiresAt <= now || expiresAt > addMs(now, MAX_DAYS * DAY_MS))
    return invalidInput('expiresAt', `It must be in the future, and within ${MAX_DAYS} days.`);
  const scopes = input.scopes ?? [...permissionsOf(reach.role, undefined)];
  const wrong = checkScopes(reach.role, scopes, caller);
  if (wrong) return wrong;
  const createdBy = caller.subject;
  const apiKey = {
    id: randomUUID(),
    name,
    reach,
    scopes: scopes as Permission[],
    createdAt: now,
    createdBy,
    expiresAt,
  };
  const secret = newSecret();
  await apiKeys.insert(apiKey, hashOf(secret));
  return { apiKey, secret: toText(apiKey.id, secret) };
}

/**
 * Other nodes may accept a revoked key for a few more seconds, from their caches; its open connections end within a
 * minute.
 */
export async function revokeApiKey(ports: AdministrationPorts, caller: Caller, id: string): Promise<ApiKey | Refusal> {
  const { apiKeys, clock, forgetApiKey } = ports;

  const revoked = isUuid(id) ? await apiKeys.revoke(id, clock.now(), caller.subject) : undefined;
  if (!revoked) return { code: 'API_KEY_NOT_FOUND', message: `There is no API key "${id}".` };
  forgetApiKey(revoked.id);
  return revoked;
}

function toReach({ role, sites = [], idTags = [], groups = [] }: CreateApiKeyInput): Reach | InputRefusal {
  const given = { sites, idTags, groups };
  for (const [field, names] of Object.entries(given)) {
    if (names.length > 1000) return invalidInput(field, 'It may have at most 1000 entries.');
    const wrong = names.map((one) => checkIdentifier(field, one)).find((one) => one !== undefined);
    if (wrong) return wrong;
  }
  const needed = { DRIVER: 'idTags', OPERATOR: 'sites', ADMIN: undefined } as const;
  const list = needed[role];
  if (list && given[list].length === 0)
    return invalidInput(list, `The role ${role} needs at least one entry in ${list}.`);
  const foreign = Object.keys(given).find((field) => {
    const isOfRole = field === list || (role === 'DRIVER' && field === 'groups');
    return !isOfRole && given[field as keyof typeof given].length > 0;
  });
  if (foreign) return invalidInput(foreign, `The role ${role} does not take this field: leave it out.`);
  if (role === 'DRIVER') return { role, idTags, groups };
  return role === 'OPERATOR' ? { role, sites } : { role };
}

/** A key created by another key would survive the expiry and the revocation of that key. */
const onlyPeople: Refusal = {
  code: 'FORBIDDEN',
  message: 'An API key cannot create API keys: sign in with a token.',
};

function checkScopes(role: Role, scopes: readonly string[], caller: Caller): Refusal | undefined {
  const unknown = scopes.find((one) => !permissions.includes(one as Permission));
  if (unknown !== undefined)
    return invalidInput('scopes', `"${unknown}" is not a permission; the permissions are ${permissions.join(', ')}.`);
  if (scopes.length === 0) return invalidInput('scopes', 'Give at least one.');
  const beyond = scopes.find((one) => !permissionsOf(role, [one]).size);
  if (beyond !== undefined) return invalidInput('scopes', `The role ${role} does not allow "${beyond}".`);
  const missing = scopes.find((one) => !caller.permissions.has(one as Permission));
  if (missing === undefined) return undefined;
  return { code: 'FORBIDDEN', message: `You cannot grant "${missing}": you do not have that permission.` };
}
