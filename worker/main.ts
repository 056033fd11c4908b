import { hostname } from 'node:os'
import { join } from 'node:path'
import { type Environment, read } from '../config.ts'
import { SetupError } from '../errors.ts'
import { newId } from '../ids.ts'
import { leaseInstance } from '../jail/instance.ts'
import { openNsjail } from '../jail/nsjail/nsjail.ts'
import { listen } from '../listen.ts'
import { log } from '../log.ts'
import { importVerifyingKey } from '../order.ts'
import { connectRedis } from '../redis.ts'
import { runService } from '../service.ts'
import { createWorkerApp } from './app.ts'
import { canary } from './canary.ts'
import { WorkerConfig } from './config.ts'
import { consume } from './consumer.ts'
import { openPackages } from './packages.ts'
import { runJob } from './run.ts'

/** Takes jobs as soon as a program runs here. Disposing of it lets running ones finish */
export const startWorker = async (env: Environment) => {
  const config = read(WorkerConfig, env)
  const orderKey = await importVerifyingKey(config.CODEAPI_WORK_ORDER_PUBLIC_KEY).catch((cause) => {
    throw new SetupError('Cannot start: CODEAPI_WORK_ORDER_PUBLIC_KEY is not an Ed25519 public key (SPKI, PEM)', { cause })
  })
  await using undo = new AsyncDisposableStack()
  const instance = undo.use(await leaseInstance(config.CODEAPI_RUN_DIRECTORY))
  const binaries = { nsjail: config.NSJAIL_PATH, launch: config.SANDBOX_LAUNCH_PATH, stub: config.SANDBOX_STUB_PATH }
  const jail = undo.use(openNsjail({ binaries, instance }))
  checkWeaknesses(jail.weaknesses, config.CODEAPI_HARDENED_SANDBOX_MODE)
  const packages = undo.use(
    await openPackages({
      volume: config.CODEAPI_PACKAGES_DIRECTORY ?? join(config.CODEAPI_DATA_DIR, 'packages'),
      directory: config.CODEAPI_PACKAGE_CACHE_DIRECTORY ?? join(config.CODEAPI_DATA_DIR, 'worker'),
      budgetBytes: config.CODEAPI_PACKAGE_CACHE_BYTES,
      runDirectory: instance.directory,
    }),
  )
  const runs = canary(jail, packages)
  const deps = { jail, packages, orderKey, filesUrl: config.FILE_SERVER_URL }
  const consumer = undo.use(
    consume(connectRedis(config.REDIS_URL), {
      worker: `${hostname()}-${newId()}`,
      slots: config.SANDBOX_MAX_CONCURRENT_JOBS,
      run: (job, signal) => runJob(deps, job, signal),
      problem: packages.unavailable,
    }),
  )
  const problem = async () => packages.unavailable()?.message ?? consumer.problem ?? (await runs())
  const app = createWorkerApp({ packages, problem, running: () => consumer.running, slots: config.SANDBOX_MAX_CONCURRENT_JOBS })
  const { url } = undo.use(listen(app, { port: config.WORKER_HEALTH_PORT, hostname: config.CODEAPI_HOST, variable: 'WORKER_HEALTH_PORT' }))
  log.info({ url, isolation: jail.name, instance: instance.name }, 'worker is listening')
  const owned = undo.move()
  return { url, instance: instance.name, problem, packages, [Symbol.asyncDispose]: () => owned.disposeAsync() }
}

const checkWeaknesses = (weaknesses: readonly string[], hardened: boolean): void => {
  if (weaknesses.length === 0) return
  const list = weaknesses.join('; ')
  if (hardened)
    throw new SetupError(
      `Cannot start in hardened mode: ${list}. Mount the cgroup controllers and run as root, or set CODEAPI_HARDENED_SANDBOX_MODE=false to accept weaker limits`,
    )
  log.warn({ weaknesses }, 'HARDENED MODE IS OFF: programs can take more of this machine than their limits say')
}

if (import.meta.main) await runService(startWorker)
