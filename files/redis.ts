import type { ChainableCommander } from 'ioredis'
import { AppError } from '../errors.ts'

/** The answer to a command, or a 503 */
export const answer = async <T>(command: Promise<T>): Promise<T> => {
  try {
    return await command
  } catch (cause) {
    throw unavailable(cause)
  }
}

/** The answers to a pipeline, in order, or a 503 */
export const answers = async (pipeline: ChainableCommander): Promise<unknown[]> =>
  ((await answer(pipeline.exec())) ?? []).map(([error, value]) => {
    if (error) throw unavailable(error)
    return value
  })

const unavailable = (cause: unknown) =>
  new AppError(503, 'files_unavailable', 'Cannot look up files: their index in Redis does not answer, try again', { cause })
