// Who calls: what a token or an API key says. What that allows is in rights.ts.

/** As scopes name them. */
export const permissions = [
  'reservations:read',
  'reservations:write',
  'sites:read',
  'sites:write',
  'chargers:read',
  'chargers:write',
  'id-tags:read',
  'id-tags:write',
  'events:read',
  'reports:read',
  'webhooks:read',
  'webhooks:write',
  'api-keys:read',
  'api-keys:write',
  'audit:read',
  'metrics:read',
] as const;
export type Permission = (typeof permissions)[number];

export type Role = 'DRIVER' | 'OPERATOR' | 'ADMIN';

interface Credential {
  readonly subject: string;
  readonly expiresAt: Date;
  /** What the role allows, cut down to the scopes of the token or of the key. */
  readonly permissions: ReadonlySet<Permission>;
  /** Of an API key, which may be revoked before it expires. */
  readonly apiKeyId?: string;
}

export type Caller = Credential & Reach;

/** Whose things the caller may deal with. */
export type Reach =
  /** Reserves with its own idTags, or for its groups, and sees the reservations of both. */
  | { readonly role: 'DRIVER'; readonly idTags: readonly string[]; readonly groups: readonly string[] }
  /** Everything at its sites. */
  | { readonly role: 'OPERATOR'; readonly sites: readonly string[] }
  | { readonly role: 'ADMIN' };
