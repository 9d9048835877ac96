// The OpenAPI document of the REST routes, generated from the schemas that validate and serialize them, and a page that
// shows it.
import swagger from '@fastify/swagger';
import swaggerUi from '@fastify/swagger-ui';
import type { FastifyInstance } from 'fastify';

/** Must run before the routes are added. */
export async function addOpenApi(http: FastifyInstance): Promise<void> {
  await http.register(swagger, {
    hideUntagged: true,
    openapi: {
      openapi: '3.1.0',
      info: {
        title: 'EV charging reservations',
        description:
          'Reserves connectors on the chargers themselves (OCPP 1.6, 2.0.1, 2.1). The GraphQL API at /graphql does the same and more; both use the same names.',
        version: '1',
        license: { name: 'MIT', identifier: 'MIT' },
      },
      servers: [{ url: '/' }],
      tags: [
        { name: 'Reservations', description: 'Made, ended, read.' },
        { name: 'Events', description: 'Events as they happen.' },
      ],
      components: {
        securitySchemes: {
          bearer: { type: 'http', scheme: 'bearer', description: 'A signed JWT, or an API key (`evk_…`).' },
        },
      },
    },
    refResolver: {
      buildLocalReference: ({ $id }, _, __, index) => (typeof $id === 'string' ? $id : `schema-${index}`),
    },
  });
  await http.register(swaggerUi, {
    routePrefix: '/docs',
    staticCSP: true,
    uiConfig: { tryItOutEnabled: false, persistAuthorization: false },
  });
  http.get('/openapi.json', { schema: { hide: true } }, async () => http.swagger());
}
