import { Elysia } from 'elysia'
import type { Redis } from 'ioredis'
import type { CryptoKey } from 'jose'
import { AppError, messageOf } from '../errors.ts'
import { log } from '../log.ts'
import { type Authentication, createAuthentication } from './auth.ts'
import { type Budget, createBudget } from './budget.ts'
import { type Catalog, createCatalog } from './catalog.ts'
import { download } from './download.ts'
import { readiness } from './ready.ts'
import { records } from './records.ts'
import type { Store } from './store.ts'
import { upload } from './upload.ts'

export type FilesDeps = {
  redis: Redis
  store: Store
  internalToken: string
  /** Work orders are verified with it */
  orderKey: CryptoKey
  /** How long a file is kept after its last use, in `ms` */
  ttlMs: number
}

/** What the routes are made of */
export type FilesParts = { authenticate: Authentication; catalog: Catalog; budget: Budget; store: Store }

/** Bun cuts a connection on which no byte moves for this long, in `s` (255 at most): a reader or sender that has gone without a word */
const IDLE_S = 240

/** The whole service as a value: `main.ts` listens, tests call `handle` */
export const createFiles = ({ redis, store, internalToken, orderKey, ttlMs }: FilesDeps) => {
  const parts: FilesParts = {
    authenticate: createAuthentication({ internalToken, orderKey }),
    catalog: createCatalog(redis, { ttlMs }),
    budget: createBudget(redis),
    store,
  }
  return new Elysia({ serve: { idleTimeout: IDLE_S, maxRequestBodySize: Number.MAX_SAFE_INTEGER } })
    .onError(({ code, error, request, status }) => {
      if (error instanceof AppError) {
        if (error.status >= 500) log.error({ code: error.code, cause: messageOf(error.cause) }, error.message)
        return status(error.status, { error: error.code, message: error.message, ...error.details })
      }
      // not error.message: it holds the caller's whole body
      if (code === 'VALIDATION' && error.type !== 'response')
        return status(400, { error: 'invalid_request', message: error.customError ?? error.all[0]?.summary ?? 'Cannot read the request' })
      if (code === 'PARSE') return status(400, { error: 'invalid_request', message: 'Cannot read the body: send JSON' })
      if (code === 'NOT_FOUND') return status(404, { error: 'not_found', message: 'Cannot find that route' })
      // nobody hears this, the log of an operator should not either
      if (request.signal.aborted) return status(400, { error: 'aborted', message: 'Cannot finish: the caller has gone' })
      log.error({ error: messageOf(error), stack: error instanceof Error ? error.stack : undefined }, 'A request failed')
      return status(500, { error: 'internal', message: 'Cannot answer: the file service failed, see its log' })
    })
    .get('/health', () => ({ status: 'ok' }))
    .use(readiness(parts))
    .use(upload(parts))
    .use(download(parts))
    .use(records(parts))
}
export type Files = ReturnType<typeof createFiles>
