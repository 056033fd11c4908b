import { Redis } from 'ioredis'
import { log } from './log.ts'

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

/** A connection of its own for commands that block: they wait until Redis is back */
export const blockingConnection = (redis: Redis): Redis => {
  const own = redis.duplicate({ maxRetriesPerRequest: null, commandTimeout: undefined })
  // `redis` tells of an outage for both
  own.on('error', () => {})
  return own
}
