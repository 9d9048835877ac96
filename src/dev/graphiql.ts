// Serves GraphiQL from the installed packages, so it works without the internet.
import { readFile } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import type { FastifyInstance } from 'fastify';

const require = createRequire(import.meta.url);
/** The packages do not export these files, so the path starts at the folder of their package.json. */
const pathOf = ({ from, file }: Asset) => join(dirname(require.resolve(`${from}/package.json`)), file);

interface Asset {
  readonly from: string;
  readonly file: string;
  readonly type: string;
}

const assets: Record<string, Asset> = {
  'react.js': { from: 'react', file: 'umd/react.production.min.js', type: 'text/javascript' },
  'react-dom.js': { from: 'react-dom', file: 'umd/react-dom.production.min.js', type: 'text/javascript' },
  'graphiql.js': { from: 'graphiql', file: 'graphiql.min.js', type: 'text/javascript' },
  'graphiql.css': { from: 'graphiql', file: 'graphiql.min.css', type: 'text/css' },
};

export interface Tab {
  /** A named operation: GraphiQL shows the name as the title of the tab. */
  readonly query: string;
  readonly variables?: string;
  readonly token: string;
}

/** Allows the page's own scripts (one is inline, hence 'unsafe-inline') and connections to the API. */
const contentSecurityPolicy = {
  useDefaults: false,
  directives: {
    defaultSrc: ["'self'"],
    scriptSrc: ["'self'", "'unsafe-inline'"],
    styleSrc: ["'self'", "'unsafe-inline'"],
    imgSrc: ["'self'", 'data:'],
    fontSrc: ["'self'", 'data:'],
    connectSrc: ["'self'", 'ws:', 'wss:'],
    workerSrc: ["'self'", 'blob:'],
  },
};

/** Serves /graphiql with these tabs, each with its own token. */
export function addGraphiQL(http: FastifyInstance, tabs: readonly Tab[]): void {
  http.get('/graphiql', { helmet: { contentSecurityPolicy } }, (_, reply) => reply.type('text/html').send(page(tabs)));
  for (const [name, asset] of Object.entries(assets)) {
    http.get(`/graphiql/${name}`, async (_, reply) => reply.type(asset.type).send(await readFile(pathOf(asset))));
  }
}

const page = (tabs: readonly Tab[]) => `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<title>Reservation server</title>
<link rel="stylesheet" href="/graphiql/graphiql.css">
<style>html, body, #graphiql { height: 100%; margin: 0; }</style>
</head>
<body>
<div id="graphiql">Loading…</div>
<script src="/graphiql/react.js"></script>
<script src="/graphiql/react-dom.js"></script>
<script src="/graphiql/graphiql.js"></script>
<script>
const tabs = ${JSON.stringify(
  tabs.map(({ query, variables, token }) => ({
    query,
    variables,
    headers: JSON.stringify({ authorization: `Bearer ${token}` }, null, 2),
  })),
).replaceAll('<', '\\u003c')};
const memory = new Map();
const storage = {
  getItem: (key) => memory.get(key) ?? null,
  setItem: (key, value) => memory.set(key, value),
  removeItem: (key) => memory.delete(key),
  clear: () => memory.clear(),
  get length() { return memory.size; },
};
// A subscription's connection_init carries the tab's headers; GraphiQL requests the schema before a tab has any.
const fetcher = (params, options) => {
  const headers = { ...JSON.parse(tabs[0].headers), ...options?.headers };
  return GraphiQL.createFetcher({
    url: '/graphql',
    subscriptionUrl: location.origin.replace(/^http/, 'ws') + '/graphql',
    wsConnectionParams: headers,
  })(params, { ...options, headers });
};
ReactDOM.createRoot(document.getElementById('graphiql')).render(
  React.createElement(GraphiQL, { fetcher, storage, defaultTabs: tabs, shouldPersistHeaders: false, isHeadersEditorEnabled: true }),
);
</script>
</body>
</html>
`;
