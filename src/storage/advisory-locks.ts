// Every advisory lock of this server, so that no two purposes share a number. PostgreSQL keeps locks of one bigint and
// locks of two integers apart.

/** One bigint: held while the schema is migrated. */
export const MIGRATION_LOCK = 7_237_001;

/** First of two integers: held by a living node; the second is its id. */
export const NODE_LOCKS = 7237;

/** First of two integers: serialises changes of a site's policy; the second is hashtext(site id). */
export const POLICY_LOCKS = 7239;

/** First of two integers: serialises the counting of webhooks; the second is 0. */
export const WEBHOOK_LOCKS = 7240;
