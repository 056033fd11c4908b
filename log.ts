import { pino } from 'pino'

/** One JSON line per event on stderr; never code, tokens or file contents. `LOG_LEVEL` is read once, here, since the log has no owner */
export const log = pino(
  {
    level: Bun.env.LOG_LEVEL ?? 'info',
    base: null,
    timestamp: pino.stdTimeFunctions.isoTime,
    formatters: { level: (level) => ({ level }) },
  },
  pino.destination({ fd: 2, sync: true }),
)
