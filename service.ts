import type { Environment } from './config.ts'
import { messageOf, SetupError } from './errors.ts'

/** Starts one service from the environment; stops it on SIGTERM or SIGINT, on the second one at once */
export const runService = async (start: (env: Environment) => Promise<AsyncDisposable>): Promise<void> => {
  try {
    const service = await start(Bun.env)
    const stop = () => {
      process.once('SIGTERM', () => process.exit(1)).once('SIGINT', () => process.exit(1))
      void service[Symbol.asyncDispose]().then(() => process.exit(0))
    }
    process.once('SIGTERM', stop).once('SIGINT', stop)
  } catch (error) {
    if (!(error instanceof SetupError)) throw error
    process.stderr.write(`${messageOf(error)}\n`)
    process.exit(1)
  }
}
