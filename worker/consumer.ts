import { Value } from '@sinclair/typebox/value'
import type { Redis } from 'ioredis'
import { AppError, messageOf } from '../errors.ts'
import { log } from '../log.ts'
import { blockingConnection } from '../redis.ts'
import { Job, keys, type RunEvent, type RunFailure, type RunResult, WORKER_DEAD_MS } from './contract.ts'
import { pause } from './pause.ts'
import { keepReaping } from './reaper.ts'
import { answerAndSettle, reply } from './replies.ts'
import { beat, dismiss, takeOut } from './scripts.ts'

/** A run's result. Disposing of it takes its jail apart, for which nobody need wait */
export type Ran = AsyncDisposable & { readonly result: RunResult }

export type ConsumerOptions = {
  /** Name of this worker, unlike any other's */
  readonly worker: string
  /** Programs at once */
  readonly slots: number
  run(job: Job, signal: AbortSignal): Promise<Ran>
  /** Why it may take no job now */
  problem(): AppError | null
}

export type Consumer = AsyncDisposable & {
  readonly running: number
  /** Why no job can reach it; `null` where Redis answers */
  readonly problem: string | null
}

const POLL_MS = 1_000
const RETRY_MS = 200
const BEAT_MS = 1_000
/** A job's id is remembered this long, so that no second delivery of it starts, in `s` */
const TAKEN_TTL_S = 3_600

/** How long a worker that stops offers answers to a Redis that is away, in `ms` */
const STOP_PATIENCE_MS = 10_000

/** `fields` is `null` for an entry that was removed after it was given to us */
type StreamEntry = [id: string, fields: string[] | null]
const entriesOf = (batch: unknown): StreamEntry[] => (batch as [stream: string, entries: StreamEntry[]][] | null)?.[0]?.[1] ?? []

/** The worker's half of the queue: takes jobs for its free slots, answers each once. Disposing of it lets running ones finish */
export const consume = (redis: Redis, { worker, slots, run, problem }: ConsumerOptions): Consumer => {
  const running = new Map<string, { entryId: string; controller: AbortController; ended: Promise<void> }>()
  /** Entries of ours that are dealt with, but that Redis could not be told of */
  const settled = new Set<string>()
  const stopped = new AbortController()
  const reader = blockingConnection(redis)
  const listener = blockingConnection(redis)
  let unreachable: string | null = 'Redis has not answered yet'
  /** Whether api counts on this worker */
  let isKnown = false
  let readerId: number | null = null
  reader.on('close', () => (readerId = null))
  let slotFreed = Promise.withResolvers<void>()

  listener.on('message', (_channel, jobId) => running.get(jobId)?.controller.abort())
  void listener.subscribe(keys.cancels).catch((error) => log.warn({ error: messageOf(error) }, 'cannot listen for cancelled jobs'))

  const take = async (): Promise<void> => {
    const free = slots - running.size
    if (free <= 0) return slotFreed.promise
    if (problem()) {
      isKnown = false
      return pause(RETRY_MS, stopped.signal)
    }
    // whoever is told that it is ready may ask at once
    if (!isKnown) await beat(redis, worker)
    isKnown = true
    readerId ??= await reader.client('ID')
    if (stopped.signal.aborted) return
    const batch = await reader.xreadgroup('GROUP', keys.group, worker, 'COUNT', free, 'BLOCK', POLL_MS, 'STREAMS', keys.jobs, '>')
    start(entriesOf(batch))
  }
  /** Redis may have given us entries and then lost the connection: they are ours, and nobody runs them */
  const takeLost = async (): Promise<void> => {
    const ours = entriesOf(await reader.xreadgroup('GROUP', keys.group, worker, 'STREAMS', keys.jobs, '0'))
    const known = new Set([...running.values()].map(({ entryId }) => entryId))
    start(ours.filter(([entryId]) => !known.has(entryId) && !settled.has(entryId)))
    for (const entryId of settled) {
      await takeOut(redis, entryId)
      settled.delete(entryId)
    }
  }

  const start = (entries: readonly StreamEntry[]): void => {
    for (const [entryId, fields] of entries) {
      const job = parse(fields?.[1] ?? '')
      if (!job) log.error({ entryId }, 'dropped a job of another shape')
      // or a second delivery, while the first still runs
      if (!job || running.has(job.id)) {
        void takeOut(redis, entryId).catch(() => settled.add(entryId))
        continue
      }
      const controller = new AbortController()
      const ended = handle(entryId, job, controller.signal).finally(() => {
        running.delete(job.id)
        slotFreed.resolve()
        slotFreed = Promise.withResolvers()
      })
      running.set(job.id, { entryId, controller, ended })
    }
  }

  const handle = async (entryId: string, job: Job, signal: AbortSignal): Promise<void> => {
    try {
      await using ran = new AsyncDisposableStack()
      const event = await answer(entryId, job, signal, ran)
      if (event && !signal.aborted) await persistently(() => answerAndSettle(redis, job.replyTo, event, entryId), job)
      else await persistently(() => takeOut(redis, entryId), job)
    } catch (error) {
      settled.add(entryId)
      log.error({ job: job.id, error: messageOf(error) }, 'cannot wind a job up')
    }
  }

  /** The job's one answer; `null` where nobody is to be answered: the caller hung up, or another delivery of the job answers */
  const answer = async (entryId: string, job: Job, signal: AbortSignal, owned: AsyncDisposableStack): Promise<RunEvent | null> => {
    if (job.expiresAt < Date.now()) return failed(job, { status: 504, code: 'execution_timeout', message: 'Execution timed out' })
    const isOurs = await persistently(() => claim(redis, job, `${worker} ${entryId}`), job)
    if (!isOurs || (await persistently(() => redis.exists(keys.cancelled(job.id)), job))) return null
    await persistently(() => reply(redis, job.replyTo, { type: 'started', job: job.id, worker }), job)
    return runToEvent(job, signal, owned)
  }

  const runToEvent = async (job: Job, signal: AbortSignal, owned: AsyncDisposableStack): Promise<RunEvent> => {
    try {
      return { type: 'done', job: job.id, result: owned.use(await run(job, signal)).result }
    } catch (error) {
      if (!signal.aborted)
        log.error({ job: job.id, error: messageOf(error), cause: messageOf((error as Error).cause ?? '') }, 'a run failed')
      return failed(job, failureOf(error))
    }
  }

  /** A Redis that is away is asked again for as long as somebody may wait for the job */
  const persistently = async <T>(attempt: () => Promise<T>, { expiresAt }: Job): Promise<T> => {
    let stopAt: number | null = null
    for (;;) {
      try {
        return await attempt()
      } catch (error) {
        if (stopped.signal.aborted) stopAt ??= Date.now() + STOP_PATIENCE_MS
        if (Date.now() > Math.min(expiresAt, stopAt ?? expiresAt)) throw error
        await Bun.sleep(RETRY_MS)
      }
    }
  }

  const loop = async (): Promise<void> => {
    let isSure = true
    while (!stopped.signal.aborted) {
      try {
        if (!isSure) await takeLost()
        isSure = true
        await take()
      } catch (error) {
        if (stopped.signal.aborted) return
        isSure = false
        if (messageOf(error).startsWith('NOGROUP')) await createGroup(redis).catch(() => {})
        else log.warn({ error: messageOf(error) }, 'cannot take jobs; trying again')
        await pause(RETRY_MS, stopped.signal)
      }
    }
  }
  const heartbeat = async (): Promise<void> => {
    while (!stopped.signal.aborted || running.size > 0) {
      unreachable = await signOfLife().then(
        () => null,
        (error) => `Redis does not answer: ${messageOf(error)}`,
      )
      if (unreachable) log.warn({ error: unreachable }, 'cannot give a sign of life')
      await (stopped.signal.aborted ? Bun.sleep(RETRY_MS) : pause(BEAT_MS, stopped.signal))
    }
  }
  const signOfLife = async (): Promise<void> => {
    const why = problem()
    if (why) await redis.set(keys.problem, JSON.stringify(failureOf(why)), 'PX', WORKER_DEAD_MS)
    if (!why || running.size > 0) await beat(redis, worker)
    // a message on the channel reaches only who listens at that moment
    const jobs = [...running.keys()]
    const cancelled = jobs.length > 0 ? await redis.mget(jobs.map(keys.cancelled)) : []
    for (const [index, job] of jobs.entries()) if (cancelled[index]) running.get(job)?.controller.abort()
  }
  const looping = createGroup(redis)
    .catch(() => {})
    .then(loop)
  const beating = heartbeat()
  const reaping = keepReaping(redis, stopped.signal)
  /** Ends a read that waits, at once; what it was given before that is run */
  const stopReading = async (): Promise<void> => {
    if (readerId !== null) await redis.client('UNBLOCK', readerId).catch(() => 0)
    await Promise.race([looping, Bun.sleep(2 * POLL_MS)])
    reader.disconnect()
    // while Redis is away its command never ends, and takes no job
    await Promise.race([looping, Bun.sleep(RETRY_MS)])
  }

  return {
    get running() {
      return running.size
    },
    get problem() {
      return unreachable ?? (isKnown ? null : 'no package serves yet, or Redis has not been told')
    },
    [Symbol.asyncDispose]: async () => {
      stopped.abort()
      slotFreed.resolve()
      await stopReading()
      await Promise.all([...running.values()].map(({ ended }) => ended))
      await Promise.all([beating, reaping])
      // without Redis the entry goes stale by itself
      await dismiss(redis, worker).catch(() => {})
      listener.disconnect()
      redis.disconnect()
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

/** Whether this delivery may start the job: the first one of all. Asked again, it says the same */
const claim = async (redis: Redis, { id }: Job, delivery: string): Promise<boolean> =>
  (await redis.set(keys.taken(id), delivery, 'EX', TAKEN_TTL_S, 'NX')) !== null || (await redis.get(keys.taken(id))) === delivery
