// /healthz: the process runs. /readyz: it can serve, which it cannot while it stops or without its database.
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
