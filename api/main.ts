import { type Environment, read } from '../config.ts'
import { SetupError } from '../errors.ts'
import { filesClient } from '../files/client.ts'
import { newId } from '../ids.ts'
import { listen } from '../listen.ts'
import { log } from '../log.ts'
import { importSigningKey } from '../order.ts'
import { connectRedis } from '../redis.ts'
import { runService } from '../service.ts'
import { queueClient } from '../worker/client.ts'
import { createApi } from './app.ts'
import { ApiConfig } from './config.ts'
import { localPrincipal } from './principal.ts'

/** Storing the outputs of the longest run, and a worker's death noticed, in `ms` */
const GRACE_MS = 65_000

export const startApi = async (env: Environment) => {
  const config = read(ApiConfig, env)
  checkMode(config)
  const orderKey = await importSigningKey(config.CODEAPI_WORK_ORDER_PRIVATE_KEY).catch((cause) => {
    throw new SetupError('Cannot start: CODEAPI_WORK_ORDER_PRIVATE_KEY is not an Ed25519 private key (PKCS8, PEM)', { cause })
  })
  await using undo = new AsyncDisposableStack()
  const redis = connectRedis(config.REDIS_URL)
  undo.defer(() => redis.disconnect())
  const queue = undo.use(
    queueClient(connectRedis(config.REDIS_URL), {
      instance: newId(),
      maxWaiting: config.CODEAPI_MAX_WAITING_JOBS,
      graceMs: config.SANDBOX_RUN_TIMEOUT + GRACE_MS,
    }),
  )
  const app = createApi({
    principal: async () => localPrincipal,
    redis,
    queue,
    orderKey,
    files: filesClient({ url: config.FILE_SERVER_URL, token: config.CODEAPI_INTERNAL_SERVICE_TOKEN }),
    limits: {
      wallMs: config.SANDBOX_RUN_TIMEOUT,
      cpuMs: config.SANDBOX_RUN_CPU_TIME,
      cpus: config.SANDBOX_RUN_CPUS,
      memoryBytes: config.SANDBOX_RUN_MEMORY_LIMIT,
      diskBytes: config.SANDBOX_DISK_LIMIT,
      outputChars: config.SANDBOX_OUTPUT_MAX_SIZE,
      pids: config.SANDBOX_MAX_PROCESS_COUNT,
      openFiles: config.SANDBOX_MAX_OPEN_FILES,
    },
    outputs: { maxFiles: config.SANDBOX_MAX_OUTPUT_FILES, maxFileBytes: config.SANDBOX_MAX_FILE_SIZE },
    jobTimeoutMs: config.JOB_TIMEOUT,
    jsonLimitBytes: config.CODEAPI_HTTP_JSON_LIMIT,
    maxFileBytes: config.MAX_FILE_SIZE,
  })
  const { url } = undo.use(listen(app, { port: config.SERVICE_PORT, hostname: config.CODEAPI_HOST, variable: 'SERVICE_PORT' }))
  log.info({ url }, 'api is listening')
  const owned = undo.move()
  return { url, [Symbol.asyncDispose]: () => owned.disposeAsync() }
}

const LOOPBACK = ['127.0.0.1', 'localhost', '::1']

const checkMode = (config: ApiConfig): void => {
  if (!config.LOCAL_MODE) throw new SetupError('Cannot start: set LOCAL_MODE=true; other ways to authenticate are not built yet')
  if (LOOPBACK.includes(config.CODEAPI_HOST)) return
  if (!config.CODEAPI_ALLOW_LOCAL_MODE_ON_NETWORK) {
    throw new SetupError(
      `Cannot start: LOCAL_MODE would let everybody who reaches ${config.CODEAPI_HOST} in. Listen on 127.0.0.1, or set CODEAPI_ALLOW_LOCAL_MODE_ON_NETWORK=true on a private network`,
    )
  }
  log.warn({ address: config.CODEAPI_HOST }, 'LOCAL MODE ON A NETWORK: everybody who reaches this address may run programs')
}

if (import.meta.main) await runService(startApi)
