// Health checks: /healthz answers while the process runs, /readyz answers 503 while the process stops or cannot reach
// its database.
import type { FastifyInstance } from 'fastify';

export interface HealthPorts {
  readonly isDraining: () => boolean;
  /** Rejects when the database does not answer. */
  readonly checkDatabase: () => Promise<void>;
}

export function addHealth(http: FastifyInstance, { isDraining, checkDatabase }: HealthPorts): void {
  http.get('/healthz', async () => ({ status: 'ok' }));
  http.get('/readyz', async (_, reply) => {
    if (isDraining()) return reply.status(503).send({ status: 'stopping' });
    try {
      await checkDatabase();
      return { status: 'ready' };
    } catch {
      return reply.status(503).send({ status: 'no database' });
    }
  });
}
