// Structured logs, one JSON line each. Secrets never get here: tokens and passwords are not passed to a logger.
import { type Logger, pino } from 'pino';

export type Log = Logger;

export const createLog = (level: string): Log =>
  pino({
    level,
    base: null,
    timestamp: pino.stdTimeFunctions.isoTime,
    serializers: { error: pino.stdSerializers.err },
  });
