import { Elysia } from 'elysia'
import type { Redis } from 'ioredis'
import { AppError, messageOf } from '../errors.ts'
import { log } from '../log.ts'
import { type ExecDeps, exec } from './exec.ts'
import { type FilesDeps, files } from './files.ts'
import { type UploadDeps, upload } from './upload.ts'

export type ApiDeps = ExecDeps & FilesDeps & UploadDeps & { readonly redis: Pick<Redis, 'ping'> }

/** Largest body that is let in; the routes have limits of their own and stream what is larger than memory should hold */
const MAX_BODY_BYTES = 2 ** 40

/** LibreChat's door as a value: `main.ts` listens, tests call `handle` */
export const createApi = (deps: ApiDeps) =>
  // without a limit on idle time: a client waits in silence while its program runs
  new Elysia({ serve: { idleTimeout: 0, maxRequestBodySize: MAX_BODY_BYTES } })
    .onError(({ code, error: thrown, set, status }) => {
      // what a parser throws comes wrapped
      const error = code === 'PARSE' && thrown.cause instanceof AppError ? thrown.cause : thrown
      if (error instanceof AppError) {
        if (error.status >= 500) log.error({ code: error.code, cause: messageOf(error.cause ?? '') }, error.message)
        const wait = error.details.retry_after_seconds
        if (typeof wait === 'number') set.headers['retry-after'] = String(wait)
        return status(error.status, { error: error.code, message: error.message, ...error.details })
      }
      // its own message would hold the caller's whole body
      if (code === 'VALIDATION' && thrown.type === 'body') {
        return status(400, { error: thrown.customError ?? 'bad_request', message: 'Cannot run: send a JSON object with lang and code' })
      }
      if (code === 'NOT_FOUND') return status(404, { error: 'Not found', message: 'Cannot find that route' })
      log.error({ code, error: code === 'VALIDATION' ? 'a response has another shape' : messageOf(error) }, 'a request failed')
      return status(500, { error: 'Internal server error', message: 'Cannot answer: the service failed, see its log' })
    })
    .group('/v1', (app) =>
      app
        .get('/health', async ({ set }) => {
          const isUp = await deps.redis.ping().then(
            () => true,
            () => false,
          )
          set.headers['content-type'] = 'text/plain'
          set.status = isUp ? 200 : 503
          return isUp ? 'OK' : 'Service Unavailable'
        })
        .use(exec(deps))
        .use(upload(deps))
        .use(files(deps)),
    )
