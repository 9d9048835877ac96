// /metrics: what the process counts, for Prometheus, which sends an admin's token.
import type { FastifyInstance } from 'fastify';
import type { Metrics } from '../common/metrics.ts';

export function addMetrics(
  http: FastifyInstance,
  { registry }: Metrics,
  isAdmin: (authorization: string | undefined) => Promise<boolean>,
): void {
  http.get('/metrics', async (request, reply) => {
    if (!(await isAdmin(request.headers.authorization))) {
      return reply.status(401).header('www-authenticate', 'Bearer').send({ error: 'Send the token of an admin.' });
    }
    return reply.header('content-type', registry.contentType).send(await registry.metrics());
  });
}
