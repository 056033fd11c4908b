import { Value } from '@sinclair/typebox/value'
import type { Redis } from 'ioredis'
import { AppError, messageOf } from '../errors.ts'
import { log } from '../log.ts'
import { keys, RunFailure } from './contract.ts'
import { pause } from './pause.ts'
import { workerLost } from './reaper.ts'
import { livingWorkers, takeOut } from './scripts.ts'

/** A caller's job while it waits for its answer */
export type Waiting = {
  /** Its place in the stream; `null` until Redis has said it */
  entryId: string | null
  /** Who runs it; `null` until that is known */
  worker: string | null
  readonly expiresAt: number
  /** Consecutive checks in which nobody had the job */
  orphaned: number
  reject(error: AppError): void
  /** Takes it out of the queue, or has its worker end it */
  cancel(): Promise<void>
}

const CHECK_MS = 1_000
/** A job in the queue waits this long for a first worker to come, in `ms`: one that restarts is back by then */
const NO_WORKER_MS = 10_000
/** A Redis that is away for so long is not waited for, in `ms` */
const REDIS_AWAY_MS = 10_000

/** Looks after callers whose answer may never come, until `signal`: nobody waits for what nobody will say */
export const keepFindingLost = async (redis: Redis, waiting: ReadonlyMap<string, Waiting>, signal: AbortSignal): Promise<void> => {
  let redisAt = performance.now()
  let workerAt = performance.now()
  while (!signal.aborted) {
    const now = performance.now()
    if (waiting.size === 0) redisAt = workerAt = now
    else {
      try {
        const living = await livingWorkers(redis)
        redisAt = now
        if (living.size > 0) workerAt = now
        await check(redis, [...waiting.values()], living, now - workerAt > NO_WORKER_MS)
      } catch (error) {
        log.warn({ error: messageOf(error) }, 'cannot see whether jobs are lost')
        if (now - redisAt > REDIS_AWAY_MS) for (const job of waiting.values()) giveUp(job)
      }
    }
    await pause(CHECK_MS, signal)
  }
}

const check = async (redis: Redis, jobs: readonly Waiting[], living: ReadonlySet<string>, noWorkerForLong: boolean): Promise<void> => {
  for (const job of jobs) {
    if (job.entryId === null) continue
    const isRunning = job.worker !== null && living.has(job.worker)
    const isInStream = (await redis.xrange(keys.jobs, job.entryId, job.entryId)).length > 0
    job.orphaned = isRunning || isInStream ? 0 : job.orphaned + 1
    if (job.orphaned > 2) job.reject(job.worker === null ? jobLost : new AppError(workerLost.status, workerLost.code, workerLost.message))
    else if (job.worker === null && job.expiresAt < Date.now()) await expire(job)
    else if (job.worker === null && noWorkerForLong) await refuseUnlessTaken(redis, job)
  }
}

const giveUp = (job: Waiting): void => {
  job.reject(redisAway)
  void job.cancel()
}

const expire = async (job: Waiting): Promise<void> => {
  job.reject(new AppError(504, 'execution_timeout', 'Execution timed out: no worker was free in time'))
  await job.cancel()
}

/** With no worker in sight a caller is not kept waiting */
export const refuseUnlessTaken = async (redis: Redis, { entryId, reject }: Pick<Waiting, 'entryId' | 'reject'>): Promise<void> => {
  const why = await redis.get(keys.problem)
  if (entryId && (await takeOut(redis, entryId))) reject(noWorker(why))
}

/** What a worker that is not ready said, or that there is none */
const noWorker = (text: string | null): AppError => {
  const problem: unknown = text && JSON.parse(text)
  return Value.Check(RunFailure, problem)
    ? new AppError(problem.status, problem.code, problem.message)
    : new AppError(503, 'no_worker', 'Service is starting up: no worker is ready to run programs; see GET /ready of the worker')
}

const jobLost = new AppError(
  503,
  'job_lost',
  'The program was lost before a worker reported that it runs: Redis lost its data. Run it again',
)

const redisAway = new AppError(
  503,
  'queue_unavailable',
  'Redis does not answer any more. The program may have run; what it printed and made is lost',
)
