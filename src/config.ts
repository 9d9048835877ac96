// Environment -> frozen Config. The only file that reads process.env; one error names every variable that is wrong.
import { z } from 'zod';

const seconds = (fallback: number, max = 3600) => z.coerce.number().int().min(1).max(max).default(fallback);
const port = (fallback: number) => z.coerce.number().int().min(0).max(65535).default(fallback);

const schema = z.object({
  DATABASE_URL: z.url({ protocol: /^postgres(ql)?$/, error: 'must be a postgresql:// URL' }),
  DATABASE_POOL_SIZE: z.coerce.number().int().min(2).max(200).default(16),
  HOST: z.string().min(1).default('0.0.0.0'),
  PORT: port(8080),
  OCPP_PORT: port(9000),
  JWT_SECRET: z.string().min(32, 'must be at least 32 characters').optional(),
  JWKS_URL: z.url({ protocol: /^https?$/, error: 'must be an http(s) URL' }).optional(),
  JWT_ISSUER: z.string().min(1).optional(),
  JWT_AUDIENCE: z.string().min(1).optional(),
  CHARGER_ANSWER_TIMEOUT_SECONDS: seconds(15, 300),
  HEARTBEAT_INTERVAL_SECONDS: seconds(300, 86_400),
  LIVENESS_SECONDS: seconds(60, 3600),
  REQUEST_TIMEOUT_SECONDS: seconds(120, 3600),
  MAX_SOCKETS_PER_DRIVER: z.coerce.number().int().min(1).default(100),
  MAX_SUBSCRIPTIONS_PER_DRIVER: z.coerce.number().int().min(1).default(100),
  EVENT_RETENTION_HOURS: z.coerce.number().int().min(1).max(876_000).default(720),
  ALLOWED_ORIGINS: z.string().default(''),
  LOG_LEVEL: z.enum(['fatal', 'error', 'warn', 'info', 'debug', 'trace', 'silent']).default('info'),
});

export type TokenKey = { readonly secret: string } | { readonly jwksUrl: string };

export interface Config {
  readonly databaseUrl: string;
  readonly databasePoolSize: number;
  readonly host: string;
  readonly port: number;
  readonly ocppPort: number;
  readonly tokens: { readonly key: TokenKey; readonly issuer?: string; readonly audience?: string };
  /** How long a charger may take to answer a Call before its outcome counts as unknown. */
  readonly answerTimeoutMs: number;
  readonly heartbeatIntervalSeconds: number;
  /** A charger that sends nothing, not even a pong, for this long is disconnected. */
  readonly livenessMs: number;
  /** A request of a client that is not answered by then is told so. */
  readonly requestTimeoutMs: number;
  /** Open subscription sockets of one driver, and the operations on them; operators and admins may have more. */
  readonly maxSocketsPerDriver: number;
  readonly maxSubscriptionsPerDriver: number;
  /** How long the log of events is kept: how old a cursor may be. */
  readonly eventRetentionMs: number;
  /** Browser origins that may open the subscription socket beside the server's own. */
  readonly allowedOrigins: readonly string[];
  readonly logLevel: string;
}

/** Throws one Error whose message lists every missing or malformed variable. */
export function readConfig(env: Readonly<Record<string, string | undefined>> = process.env): Config {
  const given = Object.fromEntries(Object.entries(env).filter(([, value]) => value !== ''));
  const parsed = schema.safeParse(given);
  const lines = (parsed.error?.issues ?? []).map((issue) => {
    const name = issue.path.join('.');
    return `  ${name}: ${given[name] === undefined ? 'is required' : issue.message}`;
  });
  if ((given.JWT_SECRET === undefined) === (given.JWKS_URL === undefined)) {
    lines.push('  JWT_SECRET: set exactly one of JWT_SECRET and JWKS_URL');
  }
  if (!parsed.success || lines.length > 0) throw new Error(`The configuration is not usable:\n${lines.join('\n')}`);
  const value = parsed.data;
  const key: TokenKey = value.JWKS_URL ? { jwksUrl: value.JWKS_URL } : { secret: value.JWT_SECRET ?? '' };
  return Object.freeze({
    databaseUrl: value.DATABASE_URL,
    databasePoolSize: value.DATABASE_POOL_SIZE,
    host: value.HOST,
    port: value.PORT,
    ocppPort: value.OCPP_PORT,
    tokens: {
      key,
      ...(value.JWT_ISSUER && { issuer: value.JWT_ISSUER }),
      ...(value.JWT_AUDIENCE && { audience: value.JWT_AUDIENCE }),
    },
    answerTimeoutMs: value.CHARGER_ANSWER_TIMEOUT_SECONDS * 1000,
    heartbeatIntervalSeconds: value.HEARTBEAT_INTERVAL_SECONDS,
    livenessMs: value.LIVENESS_SECONDS * 1000,
    requestTimeoutMs: value.REQUEST_TIMEOUT_SECONDS * 1000,
    maxSocketsPerDriver: value.MAX_SOCKETS_PER_DRIVER,
    maxSubscriptionsPerDriver: value.MAX_SUBSCRIPTIONS_PER_DRIVER,
    eventRetentionMs: value.EVENT_RETENTION_HOURS * 3_600_000,
    allowedOrigins: value.ALLOWED_ORIGINS.split(',')
      .map((origin) => origin.trim())
      .filter(Boolean),
    logLevel: value.LOG_LEVEL,
  });
}
