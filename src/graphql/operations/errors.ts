// Decides which errors a client may read; any other error is logged, and the client gets the id of its log line.
import { randomUUID } from 'node:crypto';
import { HeaderMap } from '@apollo/server';
import { GraphQLError, type GraphQLFormattedError } from 'graphql';
import { CredentialError, KeysAway, RateLimited } from '../../auth/authenticate.ts';
import type { Log } from '../../common/log.ts';
import { isDatabaseAway, isUnstorable } from '../../storage/database.ts';

export const unauthenticated = (message: string): GraphQLError =>
  new GraphQLError(message, { extensions: { code: 'UNAUTHENTICATED', http: { status: 401 } } });

/**
 * Turns failures of authentication, of the limits and of the database connection into GraphQLErrors; returns any other
 * error unchanged.
 */
export function toGraphQLError(error: unknown): unknown {
  if (error instanceof CredentialError) return unauthenticated(error.message);
  if (error instanceof RateLimited) {
    const { message, retryAfterSeconds } = error;
    const headers = new HeaderMap([['retry-after', `${retryAfterSeconds}`]]);
    const http = { status: 429, headers };
    return new GraphQLError(message, {
      extensions: { code: 'RATE_LIMITED', retryable: true, retryAfterSeconds, http },
    });
  }
  if (error instanceof KeysAway) {
    const retry = { retryable: true, retryAfterSeconds: RETRY_AFTER_SECONDS, http: unavailable() };
    const message = 'Tokens cannot be checked now: their keys cannot be fetched. Try again in a moment.';
    return new GraphQLError(message, { extensions: { code: UNAVAILABLE, ...retry } });
  }
  if (error instanceof Error && isDatabaseAway(error))
    return new GraphQLError('', { originalError: error, extensions: { http: unavailable() } });
  return error;
}

const unavailable = () => ({
  status: 503,
  headers: new HeaderMap([['retry-after', `${RETRY_AFTER_SECONDS}`]]),
});

export const forbidden = (message: string): GraphQLError =>
  new GraphQLError(message, { extensions: { code: 'FORBIDDEN' } });

export const badInput = (argument: string, message: string, more: object = {}): GraphQLError =>
  new GraphQLError(`${argument}: ${message}`, { extensions: { code: 'BAD_USER_INPUT', argument, ...more } });

/** Code of a fault that passes by itself: the same request is worth sending again. */
export const UNAVAILABLE = 'SERVICE_UNAVAILABLE';
export const RETRY_AFTER_SECONDS = 1;

export const timedOut = {
  message:
    'The request took too long. What it began continues: ask for its outcome, or send it again with its idempotencyKey.',
  extensions: { code: 'TIMED_OUT', retryable: true, retryAfterSeconds: RETRY_AFTER_SECONDS },
};

/** Codes whose messages were written for the client. */
const readable = new Set([
  'UNAUTHENTICATED',
  'FORBIDDEN',
  'BAD_USER_INPUT',
  'BAD_REQUEST',
  'CURSOR_EXPIRED',
  'SNAPSHOT_TOO_LARGE',
  'SLOW_CONSUMER',
  'TOO_MANY_SUBSCRIPTIONS',
  'TOO_MANY_STREAMS',
  'STREAM_NOT_FOUND',
  'CONFLICT',
  'QUERY_TOO_LARGE',
  'QUERY_TOO_DEEP',
  'QUERY_TOO_COSTLY',
  'RATE_LIMITED',
  'DOCUMENT_NOT_TRUSTED',
  'TIMED_OUT',
  UNAVAILABLE,
  'GRAPHQL_PARSE_FAILED',
  'GRAPHQL_VALIDATION_FAILED',
  'OPERATION_RESOLUTION_FAILURE',
  'PERSISTED_QUERY_NOT_FOUND',
  'PERSISTED_QUERY_NOT_SUPPORTED',
]);

/**
 * Returns the error as the client may read it. An error that is not the client's own is a fault: it is logged once, and
 * the client gets INTERNAL_SERVER_ERROR or, while the database is away, SERVICE_UNAVAILABLE, with the id of the log
 * line.
 */
export function maskError(formatted: GraphQLFormattedError, error: unknown, log: Log): GraphQLFormattedError {
  const { message, locations, path, extensions } = formatted;
  const code = String(extensions?.code ?? '');
  const place = { ...(locations && { locations }), ...(path && { path }) };
  const { stacktrace: _, http: __, ...rest } = extensions ?? {};
  if (readable.has(code)) return { message, ...place, extensions: rest };
  if (isRequestError(error)) return { message, ...place, extensions: { code: code || 'BAD_REQUEST' } };
  const original = error instanceof GraphQLError ? (error.originalError ?? error) : error;
  if (original instanceof Error && isUnstorable(original)) {
    const text = 'The input holds a value that cannot be stored, such as the character NUL.';
    return { message: text, ...place, extensions: { code: 'BAD_USER_INPUT' } };
  }
  const correlationId = randomUUID();
  log.error({ correlationId, path, error: original }, 'a request failed');
  if (isDatabaseAway(original)) {
    const message =
      'The server cannot reach its database. What was asked for may or may not have been done: send it again in a moment, a mutation with its idempotencyKey.';
    const retry = { retryable: true, retryAfterSeconds: RETRY_AFTER_SECONDS };
    return { message, ...place, extensions: { code: UNAVAILABLE, ...retry, correlationId } };
  }
  const text = `Something went wrong here. Quote this id when you ask about it: ${correlationId}`;
  return { message: text, ...place, extensions: { code: 'INTERNAL_SERVER_ERROR', correlationId } };
}

/** graphql-js's own errors of parsing, validation and coercion: they carry no original error and no path. */
const isRequestError = (error: unknown): boolean =>
  error instanceof GraphQLError &&
  !error.originalError &&
  error.path === undefined &&
  error.extensions.code === undefined;
