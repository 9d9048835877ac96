// Turns every error of an HTTP request into problem details (RFC 9457).
import { randomUUID } from 'node:crypto';
import type { FastifyError, FastifyInstance, FastifyReply } from 'fastify';
import { CredentialError, KeysAway, RateLimited } from '../auth/authenticate.ts';
import type { Log } from '../common/log.ts';
import { isDatabaseAway, isUnstorable } from '../storage/database.ts';

export interface Problem {
  readonly status: number;
  /** Machine-readable. */
  readonly code: string;
  /** Human-readable: what is wrong and what to do. */
  readonly detail: string;
  readonly headers?: Readonly<Record<string, string>>;
  /** Further facts for the client program to act on. */
  readonly [member: string]: unknown;
}

/** A route throws this to answer with the problem. */
export class ProblemError extends Error {
  override readonly name = 'ProblemError';

  constructor(readonly problem: Problem) {
    super(problem.detail);
  }
}

const titles: Record<number, string> = {
  400: 'Bad Request',
  401: 'Unauthorized',
  403: 'Forbidden',
  404: 'Not Found',
  405: 'Method Not Allowed',
  406: 'Not Acceptable',
  409: 'Conflict',
  413: 'Content Too Large',
  415: 'Unsupported Media Type',
  422: 'Unprocessable Content',
  429: 'Too Many Requests',
  500: 'Internal Server Error',
  502: 'Bad Gateway',
  503: 'Service Unavailable',
  504: 'Gateway Timeout',
};

export function sendProblem(reply: FastifyReply, { status, code, detail, headers, ...facts }: Problem): FastifyReply {
  const title = titles[status] ?? 'Error';
  return reply
    .status(status)
    .headers(headers ?? {})
    .type('application/problem+json')
    .send({ type: 'about:blank', title, status, code, detail, ...facts });
}

const RETRY_SECONDS = 1;

export function problemOf(error: unknown, log: Log): Problem {
  if (error instanceof ProblemError) return error.problem;
  if (error instanceof CredentialError) {
    const headers = { 'www-authenticate': 'Bearer' };
    return { status: 401, code: 'UNAUTHENTICATED', detail: error.message, headers };
  }
  if (error instanceof RateLimited) {
    const headers = { 'retry-after': `${error.retryAfterSeconds}` };
    return { status: 429, code: 'RATE_LIMITED', detail: error.message, headers };
  }
  const { statusCode = 500, validation, message } = error as Partial<FastifyError>;
  if (validation || (statusCode >= 400 && statusCode < 500))
    return { status: validation ? 400 : statusCode, code: 'BAD_REQUEST', detail: message ?? '' };
  if (error instanceof Error && isUnstorable(error)) {
    const detail = 'The input holds a value that cannot be stored, such as the character NUL.';
    return { status: 400, code: 'BAD_REQUEST', detail };
  }
  const correlationId = randomUUID();
  if (!(error instanceof KeysAway) || error.isNews) log.error({ correlationId, error }, 'a request failed');
  if (isDatabaseAway(error) || error instanceof KeysAway) {
    const detail =
      'The server cannot reach a service that it needs. The request may or may not have been executed: send it again in a moment, with the same Idempotency-Key.';
    const headers = { 'retry-after': `${RETRY_SECONDS}` };
    return { status: 503, code: 'SERVICE_UNAVAILABLE', detail, headers, correlationId };
  }
  const detail = `Something went wrong here. Quote this id when you ask about it: ${correlationId}`;
  return { status: 500, code: 'INTERNAL_SERVER_ERROR', detail, correlationId };
}

/** Handles the errors and unknown addresses of every route that has no handlers of its own. */
export function answerProblems(http: FastifyInstance, log: Log): void {
  http.setErrorHandler((error, _, reply) => void sendProblem(reply, problemOf(error, log)));
  http.setNotFoundHandler((_, reply) => {
    void sendProblem(reply, { status: 404, code: 'NOT_FOUND', detail: 'There is nothing at this address.' });
  });
}
