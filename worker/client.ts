import type { Redis } from 'ioredis'
import { AppError, messageOf } from '../errors.ts'
import { log } from '../log.ts'
import { blockingConnection } from '../redis.ts'
import { type Job, keys, type RunEvent, type RunFailure, type RunResult } from './contract.ts'
import { keepFindingLost, refuseUnlessTaken, type Waiting } from './lost.ts'
import { pause } from './pause.ts'
import { keepReaping } from './reaper.ts'
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

const CANCEL_MEMORY_S = 60
/** A cancellation that Redis could not take is offered again, so often and so far apart in `ms` */
const CANCEL_ATTEMPTS = 60
const CANCEL_RETRY_MS = 500

type Entry = Waiting & { resolve(result: RunResult): void }

/** The caller's half of the queue: sends jobs, waits for their one answer each. Takes over `redis` and closes it */
export const queueClient = (redis: Redis, { instance, maxWaiting, graceMs }: QueueOptions): QueueClient => {
  const waiting = new Map<string, Entry>()
  const reader = blockingConnection(redis)
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
  const tasks = [
    readReplies(reader, instance, onEvent, onError, stopped.signal),
    keepReaping(redis, stopped.signal),
    keepFindingLost(redis, waiting, stopped.signal),
  ]

  /** Puts a job on the stream. Resolves with the number of workers that live */
  const send = async (job: Job, entry: Entry): Promise<number> => {
    const [living, entryId] = await Promise.all([livingWorkers(redis), enqueue(redis, JSON.stringify(job), maxWaiting)]).catch((cause) => {
      // Redis may have taken it and lost the connection before it said so
      void entry.cancel()
      throw queueUnavailable(cause)
    })
    if (entryId === null) throw capacityExceeded(maxWaiting)
    entry.entryId = entryId
    return living.size
  }

  return {
    run: async (job, signal) => {
      if (signal.aborted) throw cancelledError()
      const { promise, resolve, reject } = Promise.withResolvers<RunResult>()
      // where sending fails nobody waits for it
      promise.catch(() => 'told by what failed first')
      // before it is sent: the answer may overtake Redis' word that it was
      const entry: Entry = {
        entryId: null,
        worker: null,
        expiresAt: job.expiresAt,
        orphaned: 0,
        resolve,
        reject,
        cancel: () => cancel(redis, job.id, entry.entryId, stopped.signal),
      }
      waiting.set(job.id, entry)
      const abort = () => {
        reject(cancelledError())
        void entry.cancel()
      }
      const timeOut = () => {
        reject(new AppError(504, 'execution_timeout', 'Execution timed out'))
        void entry.cancel()
      }
      const timer = setTimeout(timeOut, job.expiresAt - Date.now() + graceMs)
      signal.addEventListener('abort', abort)
      try {
        const living = await send({ ...job, replyTo: keys.replies(instance) }, entry)
        if (living === 0) await refuseUnlessTaken(redis, entry).catch((error) => reject(queueUnavailable(error)))
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
      for (const { reject } of waiting.values()) reject(new AppError(503, 'service_stopping', 'Service is shutting down'))
      reader.disconnect()
      redis.disconnect()
      await Promise.all(tasks)
    },
  }
}

/** Takes the job out of the queue, or has its worker end it */
const cancel = async (redis: Redis, jobId: string, entryId: string | null, signal: AbortSignal): Promise<void> => {
  for (let attempt = 1; ; attempt++) {
    try {
      await redis.multi().set(keys.cancelled(jobId), 1, 'EX', CANCEL_MEMORY_S).publish(keys.cancels, jobId).exec()
      const isTaken = await redis.exists(keys.taken(jobId))
      if (!isTaken && entryId) await takeOut(redis, entryId)
      return
    } catch (error) {
      if (signal.aborted || attempt === CANCEL_ATTEMPTS) {
        log.warn({ job: jobId, error: messageOf(error) }, 'cannot cancel a job; it ends at its limits')
        return
      }
      await pause(CANCEL_RETRY_MS, signal)
    }
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
