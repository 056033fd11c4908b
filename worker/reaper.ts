import type { Redis } from 'ioredis'
import { messageOf } from '../errors.ts'
import { log } from '../log.ts'
import { type Job, keys } from './contract.ts'
import { reply } from './replies.ts'
import { livingWorkers, takeOut } from './scripts.ts'

const PAGE = 1_000

type Pending = [entryId: string, worker: string, idleMs: number, deliveries: number][]

/**
 * Answers the jobs of workers that gave no sign of life: a program runs at most once, since it may have had effects, so its job is
 * never given to another. Any number of processes may do this at once: each entry is taken out once.
 */
export const reap = async (redis: Redis): Promise<void> => {
  const pending = (await redis.xpending(keys.jobs, keys.group, '-', '+', PAGE)) as Pending
  if (pending.length === 0) return
  const living = await livingWorkers(redis)
  for (const [entryId, worker] of pending) {
    if (living.has(worker)) continue
    const text = await takeOut(redis, entryId)
    if (!text) continue
    const job = JSON.parse(text) as Pick<Job, 'id' | 'replyTo'>
    log.warn({ job: job.id, worker }, 'answering for a dead worker')
    await reply(redis, job.replyTo, { type: 'failed', job: job.id, failure: workerLost })
  }
}

export const workerLost = {
  status: 502,
  code: 'worker_lost',
  message: 'The worker that ran the program died. The program may have run in part and was not started again',
} as const

const REAP_MS = 1_000

/** Reaps until `signal` */
export const keepReaping = async (redis: Redis, signal: AbortSignal): Promise<void> => {
  while (!signal.aborted) {
    await reap(redis).catch((error) => {
      // without the stream's group no job was ever taken
      if (!signal.aborted && !messageOf(error).startsWith('NOGROUP')) log.warn({ error: messageOf(error) }, 'cannot look for dead workers')
    })
    await Bun.sleep(REAP_MS)
  }
}
