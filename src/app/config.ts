// Reads the environment into a frozen Config. The only file of the server that reads process.env; a single error lists
// every variable that is wrong.
import { z } from 'zod';
import type { RequestRates } from '../auth/request-limits.ts';
import type { TokenKey, TokenSettings } from '../auth/verify-token.ts';
import { trustProxies } from '../common/client-address.ts';
import type { Doors } from '../ocpp/tls.ts';

const seconds = (fallback: number, max = 3600) => z.coerce.number().int().min(1).max(max).default(fallback);
const list = (fallback: string) =>
  z
    .string()
    .default(fallback)
    .transform((text) =>
      text
        .split(',')
        .map((one) => one.trim())
        .filter(Boolean),
    );
/** A JWKS needs asymmetric algorithms: with a shared key (HS*), everyone who can verify a token can also forge one. */
const ASYMMETRIC = [
  ...(['RS256', 'RS384', 'RS512', 'PS256', 'PS384', 'PS512'] as const),
  ...(['ES256', 'ES384', 'ES512', 'EdDSA'] as const),
] as const;

function areNetworks(networks: readonly string[]): boolean {
  try {
    trustProxies(networks);
    return true;
  } catch {
    return false;
  }
}

const port = (fallback: number) => z.coerce.number().int().min(0).max(65535).default(fallback);

const path = z.string().min(1).optional();

const schema = z.object({
  DATABASE_URL: z.url({ protocol: /^postgres(ql)?$/, error: 'must be a postgresql:// URL' }),
  DATABASE_POOL_SIZE: z.coerce.number().int().min(2).max(200).default(16),
  HOST: z.string().min(1).default('0.0.0.0'),
  PORT: port(8080),
  OCPP_PORT: z.union([z.literal('off'), port(9000)]).default(9000),
  OCPP_BEHIND_TLS_PROXY: z.enum(['on', 'off']).default('off'),
  OCPP_TLS_PORT: port(9443),
  OCPP_TLS_CERT_FILE: path,
  OCPP_TLS_KEY_FILE: path,
  OCPP_CLIENT_CA_FILE: path,
  OCPP_CLIENT_CRL_FILE: path,
  OCPP_CLIENT_CA_KEY_FILE: path,
  OCPP_CLIENT_CERT_DAYS: z.coerce.number().int().min(1).max(3650).default(365),
  JWT_SECRET: z.string().min(32, 'must be at least 32 characters').optional(),
  JWKS_URL: z.url({ protocol: /^https?$/, error: 'must be an http(s) URL' }).optional(),
  JWT_ISSUER: z.string().min(1).optional(),
  JWT_AUDIENCE: z.string().min(1).optional(),
  JWT_ALGORITHMS: list('RS256,PS256,ES256,EdDSA').pipe(
    z.array(z.enum(ASYMMETRIC, { error: `must be one or more of ${ASYMMETRIC.join(', ')}` })).min(1),
  ),
  JWT_CLOCK_TOLERANCE_SECONDS: z.coerce.number().int().min(0).max(300).default(5),
  CHARGER_ANSWER_TIMEOUT_SECONDS: seconds(15, 300),
  HEARTBEAT_INTERVAL_SECONDS: seconds(300, 86_400),
  LIVENESS_SECONDS: seconds(60, 3600),
  REQUEST_TIMEOUT_SECONDS: seconds(120, 3600),
  REQUESTS_PER_SECOND_PER_ADDRESS: z.coerce.number().min(1).max(1e6).default(1000),
  REQUESTS_PER_SECOND_PER_DRIVER: z.coerce.number().min(1).max(1e6).default(20),
  REQUESTS_PER_SECOND_PER_OPERATOR: z.coerce.number().min(1).max(1e6).default(500),
  MAX_SOCKETS_PER_DRIVER: z.coerce.number().int().min(1).default(100),
  MAX_SUBSCRIPTIONS_PER_DRIVER: z.coerce.number().int().min(1).default(100),
  EVENT_RETENTION_HOURS: z.coerce.number().int().min(1).max(876_000).default(720),
  WEBHOOK_SECRET_KEY: z.string().min(32, 'must be at least 32 characters').optional(),
  WEBHOOK_PRIVATE_TARGETS: z.enum(['on', 'off']).default('off'),
  ALLOWED_ORIGINS: list('').pipe(
    z.array(z.string().regex(/^https?:\/\/[^/*\s]+$/, 'must be origins such as https://app.example')),
  ),
  TRUSTED_PROXIES: list('').refine(areNetworks, 'must be addresses or networks such as 10.0.0.0/8'),
  INTROSPECTION: z.enum(['on', 'off']).default('on'),
  TRUSTED_DOCUMENTS: z.string().min(1).optional(),
  LOG_LEVEL: z.enum(['fatal', 'error', 'warn', 'info', 'debug', 'trace', 'silent']).default('info'),
});

export interface Config {
  readonly databaseUrl: string;
  readonly databasePoolSize: number;
  readonly host: string;
  readonly port: number;
  readonly ocpp: Doors & {
    readonly isBehindTls: boolean;
    /** The CA that signs chargers' certificate requests; absent unless the key of the CA is configured. */
    readonly authority?: { readonly certificateFile: string; readonly keyFile: string; readonly validMs: number };
  };
  readonly tokens: TokenSettings;
  /** How long a charger may take to answer a Call before its outcome counts as unknown. */
  readonly answerTimeoutMs: number;
  readonly heartbeatIntervalSeconds: number;
  /** A charger that sends nothing, not even a pong, is disconnected after this time at the latest. */
  readonly livenessMs: number;
  /** A request of an API client that takes longer is answered with a timeout error. */
  readonly requestTimeoutMs: number;
  /**
   * Limits of one driver: open connections (WebSockets and event streams), and subscriptions on them. Operators and
   * admins may have more.
   */
  readonly maxSocketsPerDriver: number;
  readonly maxSubscriptionsPerDriver: number;
  /** How long events stay in the log; an older cursor is refused as expired. */
  readonly eventRetentionMs: number;
  readonly requestRates: RequestRates;
  /** Browser origins that may call the API besides the server's own. */
  readonly allowedOrigins: readonly string[];
  /** Addresses and networks of the proxies whose X-Forwarded-For is believed. */
  readonly trustedProxies: readonly string[];
  readonly isIntrospectable: boolean;
  /** Absent: webhooks are off. */
  readonly webhooks?: { readonly secretKey: string; readonly allowPrivate: boolean };
  /** Path of the trusted documents; when set, no other GraphQL document is executed. */
  readonly trustedDocuments?: string;
  readonly logLevel: string;
}

/** Throws one Error whose message lists every missing or malformed variable. */
export function readConfig(env: Readonly<Record<string, string | undefined>> = process.env): Config {
  const given = Object.fromEntries(Object.entries(env).filter(([, value]) => value !== ''));
  const parsed = schema.safeParse(given);
  const lines = (parsed.error?.issues ?? []).map((issue) => {
    const [name = ''] = issue.path.map(String); // For an entry of a list, the path is the name and the index.
    return `  ${name}: ${given[name] === undefined ? 'is required' : issue.message}`;
  });
  if ((given.JWT_SECRET === undefined) === (given.JWKS_URL === undefined)) {
    lines.push('  JWT_SECRET: set exactly one of JWT_SECRET and JWKS_URL');
  }
  lines.push(...wrongTogether(given));
  if (given.JWKS_URL !== undefined) {
    const missing = ['JWT_ISSUER', 'JWT_AUDIENCE'].filter((name) => given[name] === undefined);
    for (const name of missing)
      lines.push(`  ${name}: is required with JWKS_URL: its keys may also sign tokens for other services`);
    const { protocol = '', hostname = '' } = URL.canParse(given.JWKS_URL) ? new URL(given.JWKS_URL) : {};
    if (protocol === 'http:' && !/^(localhost|127\.\d+\.\d+\.\d+|\[::1\])$/.test(hostname))
      lines.push(
        '  JWKS_URL: must be https, since anyone who can alter the response can forge tokens (http only for this machine)',
      );
  }
  if (!parsed.success || lines.length > 0) throw new Error(`The configuration is invalid:\n${lines.join('\n')}`);
  const value = parsed.data;
  const key: TokenKey = value.JWKS_URL
    ? { jwksUrl: value.JWKS_URL, algorithms: value.JWT_ALGORITHMS }
    : { secret: value.JWT_SECRET ?? '' };
  return Object.freeze({
    databaseUrl: value.DATABASE_URL,
    databasePoolSize: value.DATABASE_POOL_SIZE,
    host: value.HOST,
    port: value.PORT,
    ocpp: toOcpp(value),
    tokens: {
      key,
      ...(value.JWT_ISSUER && { issuer: value.JWT_ISSUER }),
      ...(value.JWT_AUDIENCE && { audience: value.JWT_AUDIENCE }),
      toleranceSeconds: value.JWT_CLOCK_TOLERANCE_SECONDS,
    },
    answerTimeoutMs: value.CHARGER_ANSWER_TIMEOUT_SECONDS * 1000,
    heartbeatIntervalSeconds: value.HEARTBEAT_INTERVAL_SECONDS,
    livenessMs: value.LIVENESS_SECONDS * 1000,
    requestTimeoutMs: value.REQUEST_TIMEOUT_SECONDS * 1000,
    maxSocketsPerDriver: value.MAX_SOCKETS_PER_DRIVER,
    maxSubscriptionsPerDriver: value.MAX_SUBSCRIPTIONS_PER_DRIVER,
    eventRetentionMs: value.EVENT_RETENTION_HOURS * 3_600_000,
    requestRates: {
      perAddress: value.REQUESTS_PER_SECOND_PER_ADDRESS,
      perDriver: value.REQUESTS_PER_SECOND_PER_DRIVER,
      perOperator: value.REQUESTS_PER_SECOND_PER_OPERATOR,
    },
    allowedOrigins: value.ALLOWED_ORIGINS,
    trustedProxies: value.TRUSTED_PROXIES,
    isIntrospectable: value.INTROSPECTION === 'on',
    ...(value.WEBHOOK_SECRET_KEY && {
      webhooks: { secretKey: value.WEBHOOK_SECRET_KEY, allowPrivate: value.WEBHOOK_PRIVATE_TARGETS === 'on' },
    }),
    ...(value.TRUSTED_DOCUMENTS && { trustedDocuments: value.TRUSTED_DOCUMENTS }),
    logLevel: value.LOG_LEVEL,
  });
}

type Given = Readonly<Record<string, string | undefined>>;

/** Checks between variables: a variable that needs another one, and OCPP_PORT off without TLS. */
function wrongTogether(given: Given): string[] {
  const needs: readonly (readonly [string, string])[] = [
    ['OCPP_TLS_CERT_FILE', 'OCPP_TLS_KEY_FILE'],
    ['OCPP_TLS_KEY_FILE', 'OCPP_TLS_CERT_FILE'],
    ['OCPP_TLS_PORT', 'OCPP_TLS_CERT_FILE'],
    ['OCPP_CLIENT_CA_FILE', 'OCPP_TLS_CERT_FILE'],
    ['OCPP_CLIENT_CRL_FILE', 'OCPP_CLIENT_CA_FILE'],
    ['OCPP_CLIENT_CA_KEY_FILE', 'OCPP_CLIENT_CA_FILE'],
    ['OCPP_BEHIND_TLS_PROXY', 'TRUSTED_PROXIES'],
  ];
  const lines = needs
    .filter(([name, needed]) => given[name] !== undefined && given[needed] === undefined)
    .map(([name, needed]) => `  ${needed}: is required with ${name}`);
  if (given.OCPP_PORT === 'off' && given.OCPP_TLS_CERT_FILE === undefined)
    lines.push('  OCPP_PORT: can be off only when chargers can use TLS (OCPP_TLS_CERT_FILE)');
  return lines;
}

function toOcpp(value: z.output<typeof schema>): Config['ocpp'] {
  const { OCPP_TLS_CERT_FILE, OCPP_TLS_KEY_FILE, OCPP_CLIENT_CA_FILE, OCPP_CLIENT_CRL_FILE } = value;
  const files = OCPP_TLS_CERT_FILE !== undefined &&
    OCPP_TLS_KEY_FILE !== undefined && {
      certificate: OCPP_TLS_CERT_FILE,
      key: OCPP_TLS_KEY_FILE,
      ...(OCPP_CLIENT_CA_FILE !== undefined && { clientAuthority: OCPP_CLIENT_CA_FILE }),
      ...(OCPP_CLIENT_CRL_FILE !== undefined && { clientRevocations: OCPP_CLIENT_CRL_FILE }),
    };
  const keyFile = value.OCPP_CLIENT_CA_KEY_FILE;
  return {
    ...(value.OCPP_PORT !== 'off' && { plainPort: value.OCPP_PORT }),
    ...(files && { tls: { port: value.OCPP_TLS_PORT, files } }),
    isBehindTls: value.OCPP_BEHIND_TLS_PROXY === 'on',
    ...(keyFile !== undefined &&
      OCPP_CLIENT_CA_FILE !== undefined && {
        authority: {
          certificateFile: OCPP_CLIENT_CA_FILE,
          keyFile,
          validMs: value.OCPP_CLIENT_CERT_DAYS * 86_400_000,
        },
      }),
  };
}
