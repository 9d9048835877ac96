// The caller of a request, as its token or API key describes it. What a caller may do is decided in rights.ts.

/** Every permission, by the name that scopes use. */
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
  /** The permissions of the role, cut down to the scopes of the token or API key. */
  readonly permissions: ReadonlySet<Permission>;
  /** Set if the credential is an API key, which may be revoked before it expires. */
  readonly apiKeyId?: string;
}

export type Caller = Credential & Reach;

/** The objects a caller may act on, by its role. */
export type Reach =
  /** A driver reserves with its own idTags or for its groups, and sees only those reservations. */
  | { readonly role: 'DRIVER'; readonly idTags: readonly string[]; readonly groups: readonly string[] }
  /** An operator acts on everything at its sites. */
  | { readonly role: 'OPERATOR'; readonly sites: readonly string[] }
  | { readonly role: 'ADMIN' };
