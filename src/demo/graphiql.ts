// GraphiQL from the installed packages: works without the internet.
import { readFile } from 'node:fs/promises';
import { createRequire } from 'node:module';
import type { FastifyInstance } from 'fastify';

const require = createRequire(import.meta.url);
const assets: Record<string, { file: string; type: string }> = {
  'react.js': { file: 'react/umd/react.production.min.js', type: 'text/javascript' },
  'react-dom.js': { file: 'react-dom/umd/react-dom.production.min.js', type: 'text/javascript' },
  'graphiql.js': { file: 'graphiql/graphiql.min.js', type: 'text/javascript' },
  'graphiql.css': { file: 'graphiql/graphiql.min.css', type: 'text/css' },
};

export interface Tab {
  readonly title: string;
  readonly query: string;
  readonly variables?: string;
  readonly token: string;
}

/** Serves /graphiql with these tabs, each with its own token. */
export function addGraphiQL(http: FastifyInstance, tabs: readonly Tab[]): void {
  http.get('/graphiql', (_, reply) => reply.type('text/html').send(page(tabs)));
  for (const [name, { file, type }] of Object.entries(assets)) {
    http.get(`/graphiql/${name}`, async (_, reply) => reply.type(type).send(await readFile(require.resolve(file))));
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
// A subscription's connection_init carries the headers of the tab.
const fetcher = (params, options) => {
  const headers = options?.headers ?? {};
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
