import { Elysia } from 'elysia'
import type { Redis } from 'ioredis'
import type { CryptoKey } from 'jose'
import { AppError } from '../errors.ts'
import { log } from '../log.ts'
import { type Authentication, createAuthentication } from './auth.ts'
import { blame } from './blame.ts'
import { type Budget, createBudget } from './budget.ts'
import { type Catalog, createCatalog } from './catalog.ts'
import { download } from './download.ts'
import { readiness } from './ready.ts'
import { records } from './records.ts'
import { guarded, type Store } from './store.ts'
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

const serve = {
  // a connection on which no byte moves for so long, in s (255 at most), is one whose other side has gone without a word
  idleTimeout: 240,
  // files count themselves, by the caller's limit
  maxRequestBodySize: Number.MAX_SAFE_INTEGER,
  // no pages for people, and no second service that quietly takes half of the connections
  development: false,
  reusePort: false,
}

/** The whole service as a value: `main.ts` listens, tests call `handle` */
export const createFiles = ({ redis, store, internalToken, orderKey, ttlMs }: FilesDeps) => {
  const parts: FilesParts = {
    authenticate: createAuthentication({ internalToken, orderKey }),
    catalog: createCatalog(redis, { ttlMs }),
    budget: createBudget(redis),
    store: guarded(store),
  }
  return new Elysia({ serve })
    .onError(({ code, error: thrown, request, status }) => {
      // Elysia wraps what a parser throws
      const error = code === 'PARSE' && thrown.cause instanceof AppError ? thrown.cause : thrown
      if (error instanceof AppError) {
        // the log of an operator is not for callers who leave
        if (error.status >= 500 && !request.signal.aborted) log.error({ code: error.code, error: blame(error) }, 'A request failed')
        return status(error.status, { error: error.code, message: error.message, ...error.details })
      }
      // not error.message: it holds the caller's whole body
      if (code === 'VALIDATION' && thrown.type !== 'response')
        return status(400, { error: 'invalid_request', message: thrown.customError ?? thrown.all[0]?.summary ?? 'Cannot read the request' })
      if (code === 'PARSE') return status(400, { error: 'invalid_request', message: 'Cannot read the body: send JSON' })
      if (code === 'NOT_FOUND') return status(404, { error: 'not_found', message: 'Cannot find that route' })
      log.error({ error: blame(error), stack: error instanceof Error ? error.stack : undefined }, 'A request failed')
      return status(500, { error: 'internal', message: 'Cannot answer: the file service failed, see its log' })
    })
    .get('/health', () => ({ status: 'ok' }))
    .use(readiness(parts))
    .use(upload(parts))
    .use(download(parts))
    .use(records(parts))
}
export type Files = ReturnType<typeof createFiles>
