import { Elysia } from 'elysia'
import { log } from '../log.ts'
import type { FilesParts } from './app.ts'
import { blame } from './blame.ts'

/** How long each part has to show that it works, in `ms` */
const DEADLINE_MS = 4_000

/** `GET /ready`: whether Redis and the store really answer now */
export const readiness = ({ catalog, store }: Pick<FilesParts, 'catalog' | 'store'>) =>
  new Elysia().get('/ready', async ({ status }) => {
    const signal = AbortSignal.timeout(DEADLINE_MS)
    const checks = [probe('redis', catalog.ping(), signal), probe('store', store.check(signal), signal)]
    const reasons = (await Promise.all(checks)).filter((reason) => reason !== null)
    return reasons.length === 0 ? { status: 'ready' } : status(503, { status: 'not ready', reasons })
  })

/** Null, or which part does not answer. Why is in the log: the reason may name hosts */
const probe = async (name: string, work: Promise<unknown>, signal: AbortSignal): Promise<string | null> => {
  try {
    await Promise.race([work, aborted(signal)])
    return null
  } catch (error) {
    log.warn({ part: name, error: blame(error) }, 'Not ready')
    return signal.aborted ? `${name} does not answer within ${DEADLINE_MS} ms` : `${name} does not answer`
  }
}

const aborted = (signal: AbortSignal) =>
  new Promise<never>((_, reject) => signal.addEventListener('abort', () => reject(signal.reason), { once: true }))
