import { Value } from '@sinclair/typebox/value'
import type { Redis } from 'ioredis'
import { AppError, messageOf } from '../errors.ts'
import { log } from '../log.ts'
import { Job, keys, type RunEvent, type RunFailure, type RunResult } from './contract.ts'
import { keepReaping } from './reaper.ts'
import { reply } from './replies.ts'
import { beat, takeOut } from './scripts.ts'

export type ConsumerOptions = {
  /** Name of this worker, unlike any other's */
  readonly worker: string
  /** Programs at once */
  readonly slots: number
  run(job: Job, signal: AbortSignal): Promise<RunResult>
  /** Whether it may take jobs now */
  isReady(): boolean
}

export type Consumer = AsyncDisposable & { readonly running: number }

const POLL_MS = 1_000
const RETRY_MS = 200
const BEAT_MS = 1_000
/** A job's id is remembered this long, so that no second delivery of it starts, in `s` */
const TAKEN_TTL_S = 3_600

type Batch = [stream: string, entries: [id: string, fields: string[]][]][] | null

/** The worker's half of the queue: takes jobs for its free slots, answers each once. Disposing of it lets running ones finish */
export const consume = (redis: Redis, { worker, slots, run, isReady }: ConsumerOptions): Consumer => {
  const running = new Map<string, { controller: AbortController; ended: Promise<void> }>()
  const stopped = new AbortController()
  const reader = redis.duplicate({ maxRetriesPerRequest: null, commandTimeout: undefined })
  const listener = redis.duplicate({ maxRetriesPerRequest: null, commandTimeout: undefined })
  let slotFreed = Promise.withResolvers<void>()

  listener.on('message', (_channel, jobId) => running.get(jobId)?.controller.abort())
  void listener.subscribe(keys.cancels).catch((error) => log.warn({ error: messageOf(error) }, 'cannot listen for cancelled jobs'))

  const take = async (): Promise<void> => {
    const free = slots - running.size
    if (free <= 0) return slotFreed.promise
    if (!isReady()) return Bun.sleep(RETRY_MS)
    const batch = (await reader.xreadgroup(
      'GROUP',
      keys.group,
      worker,
      'COUNT',
      free,
      'BLOCK',
      POLL_MS,
      'STREAMS',
      keys.jobs,
      '>',
    )) as Batch
    for (const [entryId, [, text]] of batch?.[0]?.[1] ?? []) start(entryId, text ?? '')
  }

  const start = (entryId: string, text: string): void => {
    const job = parse(text)
    if (!job) {
      log.error({ entryId }, 'dropped a job of another shape')
      void takeOut(redis, entryId)
      return
    }
    // a second delivery, while the first still runs
    if (running.has(job.id)) {
      void takeOut(redis, entryId)
      return
    }
    const controller = new AbortController()
    const ended = handle(entryId, job, controller.signal).finally(() => {
      running.delete(job.id)
      slotFreed.resolve()
      slotFreed = Promise.withResolvers()
    })
    running.set(job.id, { controller, ended })
  }

  const handle = async (entryId: string, job: Job, signal: AbortSignal): Promise<void> => {
    try {
      const event = await answer(job, signal)
      if (event && !signal.aborted) await persistently(() => reply(redis, job.replyTo, event), job.expiresAt)
      await takeOut(redis, entryId)
    } catch (error) {
      log.error({ job: job.id, error: messageOf(error) }, 'cannot answer a job')
    }
  }

  /** The job's one answer; `null` where nobody is to be answered: the caller hung up, or another delivery of the job answers */
  const answer = async (job: Job, signal: AbortSignal): Promise<RunEvent | null> => {
    if (job.expiresAt < Date.now()) return failed(job, { status: 504, code: 'execution_timeout', message: 'Execution timed out' })
    const isFirst = await redis.set(keys.taken(job.id), worker, 'EX', TAKEN_TTL_S, 'NX')
    if (!isFirst || (await redis.exists(keys.cancelled(job.id)))) return null
    await reply(redis, job.replyTo, { type: 'started', job: job.id, worker })
    return runToEvent(job, signal)
  }

  const runToEvent = async (job: Job, signal: AbortSignal): Promise<RunEvent> => {
    try {
      return { type: 'done', job: job.id, result: await run(job, signal) }
    } catch (error) {
      if (!signal.aborted)
        log.error({ job: job.id, error: messageOf(error), cause: messageOf((error as Error).cause ?? '') }, 'a run failed')
      return failed(job, failureOf(error))
    }
  }

  const loop = async (): Promise<void> => {
    while (!stopped.signal.aborted) {
      try {
        await take()
      } catch (error) {
        if (stopped.signal.aborted) return
        if (messageOf(error).startsWith('NOGROUP')) await createGroup(redis)
        else log.warn({ error: messageOf(error) }, 'cannot take jobs; trying again')
        await Bun.sleep(RETRY_MS)
      }
    }
  }
  const heartbeat = async (): Promise<void> => {
    while (!stopped.signal.aborted || running.size > 0) {
      if (isReady() || running.size > 0)
        await beat(redis, worker).catch((error) => log.warn({ error: messageOf(error) }, 'cannot give a sign of life'))
      await Bun.sleep(BEAT_MS)
    }
  }
  const looping = createGroup(redis)
    .catch(() => {})
    .then(loop)
  const beating = heartbeat()
  const reaping = keepReaping(redis, stopped.signal)

  return {
    get running() {
      return running.size
    },
    [Symbol.asyncDispose]: async () => {
      stopped.abort()
      slotFreed.resolve()
      reader.disconnect()
      await looping
      await Promise.all([...running.values()].map(({ ended }) => ended))
      // without Redis the entry goes stale by itself
      await redis.zrem(keys.workers, worker).catch(() => 0)
      listener.disconnect()
      redis.disconnect()
      await Promise.all([beating, reaping])
    },
  }
}

const parse = (text: string): Job | null => {
  try {
    const job: unknown = JSON.parse(text)
    return Value.Check(Job, job) ? job : null
  } catch {
    return null
  }
}

const failed = (job: Job, failure: RunFailure): RunEvent => ({ type: 'failed', job: job.id, failure })

const failureOf = (error: unknown): RunFailure =>
  error instanceof AppError
    ? { status: error.status, code: error.code, message: error.message }
    : { status: 503, code: 'sandbox_setup_failed', message: 'The sandbox could not be prepared; the log of the worker says why' }

const createGroup = async (redis: Redis): Promise<void> => {
  try {
    await redis.xgroup('CREATE', keys.jobs, keys.group, '0', 'MKSTREAM')
  } catch (error) {
    if (!messageOf(error).startsWith('BUSYGROUP')) throw error
  }
}

/** An answer that Redis could not take is offered again for as long as somebody may wait for it */
const persistently = async (attempt: () => Promise<void>, until: number): Promise<void> => {
  for (;;) {
    try {
      return await attempt()
    } catch (error) {
      if (Date.now() > until) throw error
      await Bun.sleep(RETRY_MS)
    }
  }
}
