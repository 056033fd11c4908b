import { Value } from '@sinclair/typebox/value'
import type { Redis } from 'ioredis'
import { keys, RunEvent } from './contract.ts'
import { orAborted } from './pause.ts'

/** Answers kept for an api instance that does not read; it reads within milliseconds */
const MAX_REPLIES = 10_000
const REPLIES_TTL_S = 3_600

/** Says something about a job to whoever sent it */
export const reply = async (redis: Redis, replyTo: string, event: RunEvent): Promise<void> => {
  const results = await redis
    .pipeline()
    .xadd(replyTo, 'MAXLEN', '~', MAX_REPLIES, '*', 'event', JSON.stringify(event))
    .expire(replyTo, REPLIES_TTL_S)
    .exec()
  throwFirst(results)
}

/** A job's one answer, and the end of its entry in the stream, in one step */
export const answerAndSettle = async (redis: Redis, replyTo: string, event: RunEvent, entryId: string): Promise<void> => {
  const results = await redis
    .multi()
    .xadd(replyTo, 'MAXLEN', '~', MAX_REPLIES, '*', 'event', JSON.stringify(event))
    .expire(replyTo, REPLIES_TTL_S)
    .xack(keys.jobs, keys.group, entryId)
    .xdel(keys.jobs, entryId)
    .exec()
  throwFirst(results)
}

const throwFirst = (results: [error: Error | null, result: unknown][] | null): void => {
  for (const [error] of results ?? []) if (error) throw error
}

type Batch = [stream: string, entries: [id: string, fields: string[]][]][] | null

/** Reads the replies for one api instance until `signal`; survives Redis going away */
export const readReplies = async (
  redis: Redis,
  instance: string,
  onEvent: (event: RunEvent) => void,
  onError: (error: unknown) => void,
  signal: AbortSignal,
): Promise<void> => {
  const stream = keys.replies(instance)
  let last = '0'
  while (!signal.aborted) {
    try {
      const batch = (await orAborted(redis.xread('COUNT', 100, 'BLOCK', 1_000, 'STREAMS', stream, last), signal)) as Batch
      for (const [id, [, text]] of batch?.[0]?.[1] ?? []) {
        last = id
        const event = parse(text)
        if (event) onEvent(event)
        else onError(new Error(`Cannot read a reply: it has another shape, entry ${id}`))
      }
      if (batch) await redis.xtrim(stream, 'MINID', last)
    } catch (error) {
      if (signal.aborted) return
      onError(error)
      // a Redis that lost its data begins to count anew
      last = '0'
      await Bun.sleep(200)
    }
  }
}

const parse = (text: string | undefined): RunEvent | null => {
  try {
    const event: unknown = JSON.parse(text ?? 'null')
    return Value.Check(RunEvent, event) ? event : null
  } catch {
    return null
  }
}
