// Creates the structured log: one JSON object per line. Secrets must not get here: pass no token or password to a
// logger.
import { type Logger, pino } from 'pino';

export type Log = Logger;

export const createLog = (level: string): Log =>
  pino({
    level,
    base: null,
    timestamp: pino.stdTimeFunctions.isoTime,
    serializers: { error: pino.stdSerializers.err },
  });
