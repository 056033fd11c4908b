import { join } from 'node:path'
import { type Environment, read } from '../config.ts'
import { SetupError } from '../errors.ts'
import { listen } from '../listen.ts'
import { log } from '../log.ts'
import { importVerifyingKey } from '../order.ts'
import { connectRedis } from '../redis.ts'
import { runService } from '../service.ts'
import { createFiles } from './app.ts'
import { FilesConfig } from './config.ts'
import { diskStore } from './disk.ts'
import type { Store } from './store.ts'
import { sweeping } from './sweeper.ts'

/** Listens at once: until Redis and the store answer, `/ready` says 503 */
export const startFiles = async (env: Environment) => {
  const config = read(FilesConfig, env)
  const orderKey = await importVerifyingKey(config.CODEAPI_WORK_ORDER_PUBLIC_KEY).catch((cause) => {
    throw new SetupError('Cannot start: CODEAPI_WORK_ORDER_PUBLIC_KEY is not an Ed25519 public key (SPKI, PEM)', { cause })
  })
  const store = await openStore(config)
  const redis = connectRedis(config.REDIS_URL)
  const ttlMs = config.SESSION_CACHE_TTL * 1_000
  const app = createFiles({ redis, store, internalToken: config.CODEAPI_INTERNAL_SERVICE_TOKEN, orderKey, ttlMs })
  await using undo = new AsyncDisposableStack()
  undo.defer(() => redis.disconnect())
  undo.use(sweeping({ redis, store, ttlMs, everyMs: config.CODEAPI_FILES_SWEEP_MS }))
  const { url } = undo.use(
    listen(app, {
      port: config.FILE_SERVER_PORT,
      hostname: config.FILE_SERVER_HOST ?? config.CODEAPI_HOST,
      variable: 'FILE_SERVER_PORT',
    }),
  )
  log.info({ url, store: config.CODEAPI_FILE_STORE }, 'files is listening')
  const owned = undo.move()
  return { url, [Symbol.asyncDispose]: () => owned.disposeAsync() }
}

const openStore = async (config: FilesConfig): Promise<Store> => {
  if (config.CODEAPI_FILE_STORE === 'disk') return diskStore(join(config.CODEAPI_DATA_DIR, 'files'))
  // the AWS client takes a tenth of a second to load
  const { s3Store } = await import('./s3.ts')
  return s3Store(config)
}

if (import.meta.main) await runService(startFiles)
