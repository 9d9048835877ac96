// Our server as a child of a benchmark: what `npm start` runs, plus an answer with its CPU and memory usage.
import { readConfig } from '../../src/app/config.ts';
import { startApp } from '../../src/app/start.ts';

const app = await startApp(readConfig());
process.on('message', () => {
  global.gc?.(); // Only with --expose-gc: memory is compared after a garbage collection.
  process.send?.({ cpu: process.cpuUsage(), rss: process.memoryUsage.rss() });
});
process.send?.({ port: app.port, ocppPort: app.ocppPort });
process.on('disconnect', () => void app.stop().then(() => process.exit(0)));
