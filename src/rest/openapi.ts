// The OpenAPI document of the REST routes, generated from the schemas that check requests and describe answers, and a
// page that shows it.
import swagger from '@fastify/swagger';
import swaggerUi from '@fastify/swagger-ui';
import type { FastifyInstance } from 'fastify';
import { createJsonSchemaTransform, createJsonSchemaTransformObject } from 'fastify-type-provider-zod';

const zodToJsonConfig: NonNullable<Parameters<typeof createJsonSchemaTransform>[0]['zodToJsonConfig']> = {
  // Drops the pattern that zod adds to a format: people and generators understand the format alone.
  override: ({ jsonSchema }) => {
    if (jsonSchema.format !== undefined) delete jsonSchema.pattern;
  },
};
const toComponents = createJsonSchemaTransformObject({ zodToJsonConfig });

/** Drops the copy with the suffix Input that the library adds for each named schema. */
const named: typeof toComponents = (document) => {
  const made = toComponents(document) as { components?: { schemas?: object } };
  const all = made.components?.schemas ?? {};
  const schemas = Object.entries(all).filter(([name]) => !(name.endsWith('Input') && name.slice(0, -5) in all));
  return { ...made, components: { ...made.components, schemas: Object.fromEntries(schemas) } };
};

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
    transform: createJsonSchemaTransform({ zodToJsonConfig }),
    transformObject: named,
  });
  await http.register(swaggerUi, {
    routePrefix: '/docs',
    staticCSP: true,
    uiConfig: { tryItOutEnabled: false, persistAuthorization: false },
  });
  http.get('/openapi.json', { schema: { hide: true } }, async () => http.swagger());
}
