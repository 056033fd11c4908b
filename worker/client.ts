import type { Redis } from 'ioredis'
import { AppError, messageOf } from '../errors.ts'
import { log } from '../log.ts'
import { type Job, keys, type RunEvent, type RunFailure, type RunResult } from './contract.ts'
import { keepReaping, workerLost } from './reaper.ts'
import { readReplies } from './replies.ts'
import { enqueue, livingWorkers, takeOut } from './scripts.ts'

export type QueueOptions = {
  /** Name of this api instance: its replies go to a stream of its own */
  readonly instance: string
  /** Jobs that may wait; one more is refused */
  readonly maxWaiting: number
  /** How long after a job's expiry its answer may still come, in `ms`: the longest run, and its outputs */
  readonly graceMs: number
}

export type QueueClient = AsyncDisposable & {
  /** Has a program run and resolves with its result. Throws an {@link AppError} that can be answered as it is */
  run(job: Omit<Job, 'replyTo'>, signal: AbortSignal): Promise<RunResult>
}

const LOST_CHECK_MS = 1_000
const CANCEL_MEMORY_S = 60

type Waiting = {
  /** Its place in the stream; `null` until Redis has said it */
  entryId: string | null
  worker: string | null
  /** Consecutive checks in which nobody had the job */
  orphaned: number
  resolve(result: RunResult): void
  reject(error: AppError): void
}

/** The caller's half of the queue: sends jobs, waits for their one answer each. Takes over `redis` and closes it */
export const queueClient = (redis: Redis, { instance, maxWaiting, graceMs }: QueueOptions): QueueClient => {
  const waiting = new Map<string, Waiting>()
  // a command that blocks holds its connection
  const reader = redis.duplicate({ maxRetriesPerRequest: null, commandTimeout: undefined })
  const stopped = new AbortController()
  let failing = false
  const onEvent = (event: RunEvent) => {
    failing = false
    const entry = waiting.get(event.job)
    if (!entry) return
    if (event.type === 'started') entry.worker = event.worker
    else if (event.type === 'done') entry.resolve(event.result)
    else entry.reject(failureError(event.failure))
  }
  const onError = (error: unknown) => {
    if (!failing) log.warn({ error: messageOf(error) }, 'cannot read replies; trying again')
    failing = true
  }
  const tasks = [readReplies(reader, instance, onEvent, onError, stopped.signal), keepReaping(redis, stopped.signal)]

  /** Puts a job on the stream. Resolves with the number of workers that live */
  const send = async (job: Job, entry: Waiting): Promise<number> => {
    const [living, entryId] = await Promise.all([livingWorkers(redis), enqueue(redis, JSON.stringify(job), maxWaiting)]).catch((cause) => {
      throw queueUnavailable(cause)
    })
    if (entryId === null) throw capacityExceeded(maxWaiting)
    entry.entryId = entryId
    return living.size
  }
  const lostTimer = setInterval(() => void findLost(redis, waiting), LOST_CHECK_MS)

  return {
    run: async (job, signal) => {
      if (signal.aborted) throw cancelledError()
      const { promise, resolve, reject } = Promise.withResolvers<RunResult>()
      // where sending fails nobody waits for it
      promise.catch(() => 'told by what failed first')
      // before it is sent: the answer may overtake Redis' word that it was
      const entry: Waiting = { entryId: null, worker: null, orphaned: 0, resolve, reject }
      waiting.set(job.id, entry)
      const abort = () => void cancel(redis, job.id, entry.entryId).finally(() => reject(cancelledError()))
      const timeOut = () => {
        reject(new AppError(504, 'execution_timeout', 'Execution timed out'))
        void cancel(redis, job.id, entry.entryId)
      }
      const timer = setTimeout(timeOut, job.expiresAt - Date.now() + graceMs)
      signal.addEventListener('abort', abort)
      try {
        const living = await send({ ...job, replyTo: keys.replies(instance) }, entry)
        if (living === 0) await refuseUnlessTaken(redis, entry)
        if (signal.aborted) abort()
        return await promise
      } finally {
        clearTimeout(timer)
        signal.removeEventListener('abort', abort)
        waiting.delete(job.id)
      }
    },
    [Symbol.asyncDispose]: async () => {
      stopped.abort()
      clearInterval(lostTimer)
      for (const { reject } of waiting.values()) reject(new AppError(503, 'service_stopping', 'Service is shutting down'))
      reader.disconnect()
      redis.disconnect()
      await Promise.all(tasks)
    },
  }
}

/** With no worker in sight a caller is not kept waiting */
const refuseUnlessTaken = async (redis: Redis, { entryId, reject }: Waiting): Promise<void> => {
  if (entryId && (await takeOut(redis, entryId))) {
    reject(new AppError(503, 'no_worker', 'Service is starting up: no worker is ready to run programs; see GET /ready of the worker'))
  }
}

/** Takes the job out of the queue, or has its worker end it */
const cancel = async (redis: Redis, jobId: string, entryId: string | null): Promise<void> => {
  try {
    await redis.pipeline().set(keys.cancelled(jobId), 1, 'EX', CANCEL_MEMORY_S).publish(keys.cancels, jobId).exec()
    const isTaken = await redis.exists(keys.taken(jobId))
    if (!isTaken && entryId) await takeOut(redis, entryId)
  } catch (error) {
    log.warn({ job: jobId, error: messageOf(error) }, 'cannot cancel a job; it ends at its limits')
  }
}

/** Rejects jobs that nobody has any more: a Redis that lost its data, or a worker whose death was answered into the void */
const findLost = async (redis: Redis, waiting: Map<string, Waiting>): Promise<void> => {
  const jobs = [...waiting.values()].flatMap((job) => (job.entryId ? [{ job, entryId: job.entryId }] : []))
  if (jobs.length === 0) return
  try {
    const living = await livingWorkers(redis)
    const found = await Promise.all(jobs.map(({ entryId }) => redis.xrange(keys.jobs, entryId, entryId)))
    for (const [index, { job }] of jobs.entries()) {
      const isHeld = job.worker !== null && living.has(job.worker)
      job.orphaned = isHeld || found[index]?.length ? 0 : job.orphaned + 1
      if (job.orphaned > 2) job.reject(failureError(workerLost))
    }
  } catch (error) {
    log.warn({ error: messageOf(error) }, 'cannot see whether jobs are lost')
  }
}

const failureError = ({ status, code, message }: RunFailure): AppError => new AppError(status, code, message)

const cancelledError = (): AppError => new AppError(499, 'cancelled', 'The caller hung up')

const queueUnavailable = (cause: unknown): AppError =>
  new AppError(503, 'queue_unavailable', 'Cannot queue the program: Redis does not answer', { cause })

const RETRY_AFTER_S = 2

const capacityExceeded = (maxWaiting: number): AppError =>
  new AppError(503, 'capacity_exceeded', `Sandbox capacity is temporarily unavailable: ${maxWaiting} programs are waiting`, {
    details: { retry_after_seconds: RETRY_AFTER_S },
  })
