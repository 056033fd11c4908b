import type { Redis } from 'ioredis'
import { keys, WORKER_DEAD_MS } from './contract.ts'

// Each is one atomic step on Redis (EVAL). Times come from Redis' clock, so that those of the machines need not agree.
const NOW = `local t = redis.call('TIME'); local now = t[1] * 1000 + math.floor(t[2] / 1000)`

/** KEYS jobs; ARGV group, most that may wait, entry. Returns the entry's id, or nil if the queue is full */
const ENQUEUE = `
local waiting = redis.call('XLEN', KEYS[1])
if waiting >= tonumber(ARGV[2]) then
  local pending = redis.pcall('XPENDING', KEYS[1], ARGV[1])
  if not pending.err then waiting = waiting - pending[1] end
  if waiting >= tonumber(ARGV[2]) then return nil end
end
return redis.call('XADD', KEYS[1], '*', 'job', ARGV[3])`

/** KEYS workers; ARGV worker */
const BEAT = `${NOW}; return redis.call('ZADD', KEYS[1], now, ARGV[1])`

/** KEYS workers; ARGV longest silence. Returns the names of those that live */
const ALIVE = `${NOW}; return redis.call('ZRANGEBYSCORE', KEYS[1], now - ARGV[1], '+inf')`

/** KEYS workers, jobs; ARGV group, worker. A consumer that still has entries stays, or nobody would answer them */
const DISMISS = `
redis.call('ZREM', KEYS[1], ARGV[2])
local left = redis.pcall('XPENDING', KEYS[2], ARGV[1], '-', '+', 1, ARGV[2])
if not left.err and #left == 0 then redis.call('XGROUP', 'DELCONSUMER', KEYS[2], ARGV[1], ARGV[2]) end`

/** KEYS jobs; ARGV group, entry id. Returns the entry if this call removed it */
const TAKE_OUT = `
local found = redis.call('XRANGE', KEYS[1], ARGV[2], ARGV[2])
redis.call('XACK', KEYS[1], ARGV[1], ARGV[2])
if redis.call('XDEL', KEYS[1], ARGV[2]) == 0 then return nil end
return found[1][2][2]`

export const enqueue = async (redis: Redis, entry: string, maxWaiting: number): Promise<string | null> =>
  (await redis.eval(ENQUEUE, 1, keys.jobs, keys.group, maxWaiting, entry)) as string | null

export const beat = async (redis: Redis, worker: string): Promise<void> => {
  await redis.eval(BEAT, 1, keys.workers, worker)
}

export const livingWorkers = async (redis: Redis): Promise<Set<string>> =>
  new Set((await redis.eval(ALIVE, 1, keys.workers, WORKER_DEAD_MS)) as string[])

/** Every worker that is known, with its last sign of life */
export const signsOfLife = async (redis: Redis): Promise<Map<string, string>> => {
  const flat = await redis.zrange(keys.workers, '0', '-1', 'WITHSCORES')
  return new Map(Array.from({ length: flat.length / 2 }, (_, index) => [flat[2 * index] as string, flat[2 * index + 1] as string]))
}

/** Forgets a worker that is gone */
export const dismiss = async (redis: Redis, worker: string): Promise<void> => {
  await redis.eval(DISMISS, 2, keys.workers, keys.jobs, keys.group, worker)
}

/** Removes an entry from the stream; only one caller gets it */
export const takeOut = async (redis: Redis, entryId: string): Promise<string | null> =>
  (await redis.eval(TAKE_OUT, 1, keys.jobs, keys.group, entryId)) as string | null
