// Reads the configuration, starts the app, stops it on SIGTERM and SIGINT.
import { type Config, readConfig } from './app/config.ts';
import { type App, startApp } from './app/start.ts';
import { createLog } from './common/log.ts';

function configOrExit(): Config {
  try {
    return readConfig();
  } catch (error) {
    process.stderr.write(`${(error as Error).message}\n`);
    return process.exit(1);
  }
}

const config = configOrExit();
const log = createLog(config.logLevel);
let app: App | undefined;
let isStopping = false;

async function stop(signal: string): Promise<void> {
  if (isStopping) return;
  isStopping = true;
  log.info({ signal }, 'received a signal to stop');
  try {
    await app?.stop();
    process.exit(0);
  } catch (error) {
    log.error({ error }, 'the shutdown failed');
    process.exit(1);
  }
}
for (const signal of ['SIGTERM', 'SIGINT'] as const) process.on(signal, () => void stop(signal));

try {
  app = await startApp(config, { log });
} catch (error) {
  log.fatal({ error }, 'the server could not start');
  process.exit(1);
}
