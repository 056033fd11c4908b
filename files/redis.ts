import { type ChainableCommander, Redis } from 'ioredis'
import { AppError } from '../errors.ts'
import { log } from '../log.ts'

/** A connection for requests: it comes back by itself for ever, while a request that finds Redis gone fails after the second try to reach it */
export const connectRedis = (url: string) => {
  const redis = new Redis(url, {
    maxRetriesPerRequest: 1,
    retryStrategy: () => 200,
    connectTimeout: 3_000,
    commandTimeout: 3_000,
    // a replica answers so after a failover: the name now leads to another node
    reconnectOnError: (error) => error.message.startsWith('READONLY'),
  })
  let lost = false
  redis.on('error', (error: Error) => {
    if (!lost) log.warn({ error: error.message }, 'Redis is not reachable')
    lost = true
  })
  redis.on('ready', () => {
    if (lost) log.info('Redis is reachable again')
    lost = false
  })
  return redis
}

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
