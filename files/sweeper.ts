import type { Redis } from 'ioredis'
import { log } from '../log.ts'
import { blame } from './blame.ts'
import { lifeOf } from './catalog.ts'
import { isObjectKey, keys } from './contract.ts'
import { answer, answers } from './redis.ts'
import type { Store } from './store.ts'

/** Sessions handled at a time */
const BATCH = 100
/** A session that one instance has taken is left alone by the others for this long, in `ms`; then it is tried again */
const LEASE_MS = 600_000
/** How often the whole store is searched for bytes that no record knows, in `ms` */
const SEARCH_MS = 86_400_000
/** An upload that takes longer was left by a process that died, in `ms` */
const UPLOAD_MS = 86_400_000

export type SweepDeps = { redis: Redis; store: Store; ttlMs: number }

/** Removes the bytes of expired sessions with what is left of their records; any number of instances may do it at once. Tells how many sessions */
export const sweepExpired = async ({ redis, store }: SweepDeps): Promise<number> => {
  let swept = 0
  for (;;) {
    const now = Date.now()
    const due = (await answer(redis.eval(CLAIM, 1, keys.expiry, now, BATCH, now + LEASE_MS))) as string[]
    for (const session of due) {
      const remaining = await answer(redis.pttl(keys.session(session)))
      if (remaining > 0) {
        // used again since
        await answer(redis.zadd(keys.expiry, now + remaining, session))
        continue
      }
      for await (const { key } of store.list(`${session}/`)) await store.remove(key)
      await answer(redis.del(keys.session(session), keys.records(session)))
      await answer(redis.zrem(keys.expiry, session))
      swept += 1
    }
    if (due.length < BATCH) return swept
  }
}

/**
 * Removes bytes that nobody can reach: older than any session that is not used, and of a session that Redis does not know (it lost its
 * data, or a removal failed). Leaves alone whatever in the bucket is not ours. Tells how many objects.
 */
export const sweepLost = async ({ redis, store, ttlMs }: SweepDeps): Promise<number> => {
  const before = new Date(Date.now() - lifeOf(ttlMs))
  await store.removeUnfinished(new Date(Date.now() - UPLOAD_MS))
  let swept = 0
  let page: string[] = []
  const remove = async () => {
    const pipeline = redis.pipeline()
    for (const key of page) pipeline.exists(keys.session(sessionOf(key)))
    const alive = await answers(pipeline)
    for (const key of page.filter((_, i) => alive[i] === 0)) {
      await store.remove(key)
      swept += 1
    }
    page = []
  }
  for await (const { key, lastModified } of store.list('')) {
    if (lastModified >= before || !isObjectKey(key)) continue
    if (page.push(key) === BATCH) await remove()
  }
  if (page.length > 0) await remove()
  return swept
}

/** Sweeps every `everyMs` until it is disposed of; a failure is logged and tried again at the next turn */
export const sweeping = (deps: SweepDeps & { everyMs: number }) => {
  let timer: Timer | undefined
  let turn = Promise.resolve()
  const wait = () => {
    timer = setTimeout(() => {
      turn = sweep(deps).catch(report).finally(wait)
    }, deps.everyMs)
  }
  wait()
  return {
    async [Symbol.asyncDispose]() {
      clearTimeout(timer)
      await turn
      clearTimeout(timer)
    },
  }
}

const sweep = async (deps: SweepDeps) => {
  const expired = await sweepExpired(deps)
  // one instance searches; one that dies of it is followed by another
  const mine = await answer(deps.redis.set(keys.searched, '1', 'PX', LEASE_MS, 'NX'))
  const lost = mine ? await sweepLost(deps) : 0
  if (mine) await answer(deps.redis.pexpire(keys.searched, SEARCH_MS))
  if (expired + lost > 0) log.info({ expired, lost }, 'Expired files are removed')
}

const report = (error: unknown) => log.error({ error: blame(error) }, 'Cannot sweep the files')

const sessionOf = (key: string) => key.slice(0, key.indexOf('/'))

/** KEYS expiry; ARGV now, most, until when they are ours. Answers sessions that have expired */
const CLAIM = `
local due = redis.call('ZRANGE', KEYS[1], '-inf', ARGV[1], 'BYSCORE', 'LIMIT', 0, ARGV[2])
for _, session in ipairs(due) do redis.call('ZADD', KEYS[1], ARGV[3], session) end
return due`
