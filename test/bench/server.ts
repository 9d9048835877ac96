// Our server as a child of the benchmark: what `npm start` runs, and an answer to "how much CPU?".

import { readConfig } from '../../src/app/config.ts';
import { startApp } from '../../src/app/start.ts';

const app = await startApp(readConfig());
process.on('message', () => {
  global.gc?.(); // Where it is exposed: memory is compared.
  process.send?.({ cpu: process.cpuUsage(), rss: process.memoryUsage.rss() });
});
process.send?.({ port: app.port, ocppPort: app.ocppPort });
process.on('disconnect', () => void app.stop().then(() => process.exit(0)));
