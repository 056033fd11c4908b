import type { Redis } from 'ioredis'
import { messageOf } from '../errors.ts'
import { log } from '../log.ts'
import { type Job, keys, WORKER_DEAD_MS } from './contract.ts'
import { pause } from './pause.ts'
import { reply } from './replies.ts'
import { dismiss, signsOfLife, takeOut } from './scripts.ts'

const PAGE = 1_000
const REAP_MS = 1_000

type Pending = [entryId: string, worker: string, idleMs: number, deliveries: number][]

export const workerLost = {
  status: 502,
  code: 'worker_lost',
  message: 'The worker that ran the program died. The program may have run in part and was not started again',
} as const

/**
 * Answers the jobs of dead workers until `signal`: a program runs at most once, since it may have had effects, so its job is never
 * given to another. Any number of processes may do this at once: each entry is taken out once.
 */
export const keepReaping = async (redis: Redis, signal: AbortSignal): Promise<void> => {
  let findSilent = silenceWatch()
  while (!signal.aborted) {
    try {
      await reap(redis, findSilent)
    } catch (error) {
      // while Redis is away no worker can give a sign: what was seen before counts for nothing
      findSilent = silenceWatch()
      // without the stream's group no job was ever taken
      if (!signal.aborted && !messageOf(error).startsWith('NOGROUP')) log.warn({ error: messageOf(error) }, 'cannot look for dead workers')
    }
    await pause(REAP_MS, signal)
  }
}

const reap = async (redis: Redis, findSilent: SilenceWatch): Promise<void> => {
  const pending = (await redis.xpending(keys.jobs, keys.group, '-', '+', PAGE)) as Pending
  const signs = await signsOfLife(redis)
  const dead = findSilent(new Set([...signs.keys(), ...pending.map(([, worker]) => worker)]), signs)
  for (const [entryId, worker] of pending) {
    const text = dead.has(worker) ? await takeOut(redis, entryId) : null
    const job = text && parse(text)
    if (!job) continue
    log.warn({ job: job.id, worker }, 'answering for a dead worker')
    await reply(redis, job.replyTo, { type: 'failed', job: job.id, failure: workerLost })
  }
  for (const worker of dead) await dismiss(redis, worker)
}

type SilenceWatch = (workers: ReadonlySet<string>, signs: ReadonlyMap<string, string>) => ReadonlySet<string>

/**
 * Finds the workers that gave no new sign for longer than a living one needs, by what this process saw itself: the times in Redis
 * would call all of them dead right after Redis was away.
 */
const silenceWatch = (): SilenceWatch => {
  let seen = new Map<string, { sign: string | undefined; at: number }>()
  return (workers, signs) => {
    const now = performance.now()
    const before = seen
    seen = new Map(
      [...workers].map((worker) => {
        const sign = signs.get(worker)
        const last = before.get(worker)
        return [worker, last && last.sign === sign ? last : { sign, at: now }]
      }),
    )
    return new Set([...seen].filter(([, { at }]) => now - at > WORKER_DEAD_MS).map(([worker]) => worker))
  }
}

const parse = (text: string): Pick<Job, 'id' | 'replyTo'> | null => {
  try {
    return JSON.parse(text)
  } catch {
    return null
  }
}
