// /metrics: the counters of the process for Prometheus, which needs a token or an API key with the permission
// metrics:read.
import type { FastifyInstance } from 'fastify';
import type { Authenticate } from '../auth/authenticate.ts';
import type { Metrics } from '../common/metrics.ts';
import { may, needsPermission } from '../model/access/rights.ts';
import { ProblemError } from './problem.ts';

export function addMetrics(http: FastifyInstance, { registry }: Metrics, authenticate: Authenticate): void {
  http.get('/metrics', async (request, reply) => {
    const caller = await authenticate(request.headers.authorization, request.address);
    if (!may(caller, 'metrics:read'))
      throw new ProblemError({ status: 403, code: 'FORBIDDEN', detail: needsPermission('metrics:read') });
    return reply.header('content-type', registry.contentType).send(await registry.metrics());
  });
}
