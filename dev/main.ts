import { closeSync, mkdirSync, openSync } from 'node:fs'
import { join, resolve } from 'node:path'
import { Type as t } from '@sinclair/typebox'
import { startApi } from '../api/main.ts'
import { type Environment, read, shared } from '../config.ts'
import { messageOf, SetupError } from '../errors.ts'
import { startFiles } from '../files/main.ts'
import { Profile } from '../init/contract.ts'
import { tryLock } from '../jail/syscalls.ts'
import { startToolcall } from '../toolcall/main.ts'
import { startWorker } from '../worker/main.ts'
import { prepare, runWithOwnMounts, say } from './host.ts'
import { buildPackagesInSteps } from './packages.ts'
import { startRedis } from './redis.ts'
import { openSecrets } from './secrets.ts'

const DevConfig = t.Object({
  CODEAPI_DATA_DIR: shared.CODEAPI_DATA_DIR,
  CODEAPI_PACKAGES_DIRECTORY: t.Optional(
    t.String({ description: 'Volume with the runtime packages, instead of CODEAPI_DATA_DIR/packages' }),
  ),
  CODEAPI_PACKAGES_PROFILE: t.Union(Profile.anyOf, { default: 'complete', description: 'Which runtime packages to build' }),
  CODEAPI_RUN_DIRECTORY: t.String({ default: '/run/codeapi', description: 'Directory for what lives as long as a process' }),
})

const SERVE = 'serve'
const SIGNALS = ['SIGINT', 'SIGTERM', 'SIGHUP'] as const
const READY_POLL_MS = 100
/** A second Ctrl-C within this time is the first one, in `ms` */
const SAME_CTRL_C_MS = 500

/** Everything on one machine: prepares the host, then starts all services in a process whose mounts go with it */
const main = async (): Promise<number> => {
  const { CODEAPI_DATA_DIR: dataDir } = read(DevConfig, Bun.env)
  const tools = await prepare(dataDir)
  return runWithOwnMounts([process.execPath, import.meta.path, SERVE], { ...Bun.env, ...tools })
}

/** Serves until it is told to stop, or cannot go on. Resolves with the exit code */
const serve = async (): Promise<number> => {
  const config = read(DevConfig, Bun.env)
  const stopped = new AbortController()
  const { promise: ended, resolve: end } = Promise.withResolvers<{ why: string; code: number }>()
  let stoppingAt: number | null = null
  const stop = (signal: NodeJS.Signals) => {
    // one Ctrl-C may come twice, from the terminal and from `bun run`; so may SIGTERM, from the kernel
    if (stoppingAt !== null && signal === 'SIGINT' && performance.now() - stoppingAt > SAME_CTRL_C_MS) process.exit(1)
    stoppingAt ??= performance.now()
    end({ why: 'stopping, once the programs that run have ended; a second Ctrl-C does not wait for them', code: 0 })
  }
  for (const signal of SIGNALS) process.on(signal, stop)

  await using services = new AsyncDisposableStack()
  // two Redis servers on one directory would lose each other's data
  services.use(takeDirectory(config.CODEAPI_DATA_DIR))
  const secrets = await openSecrets(config.CODEAPI_DATA_DIR)
  const redis = services.use(await startRedis(resolve(config.CODEAPI_DATA_DIR, 'redis'), config.CODEAPI_RUN_DIRECTORY))
  const own: Environment = {
    LOCAL_MODE: 'true',
    REDIS_URL: redis.url,
    CODEAPI_INTERNAL_SERVICE_TOKEN: secrets.internalToken,
    CODEAPI_WORK_ORDER_PRIVATE_KEY: secrets.orderPrivateKey,
    CODEAPI_WORK_ORDER_PUBLIC_KEY: secrets.orderPublicKey,
  }
  const base = { ...own, ...Bun.env }
  const files = services.use(await startFiles(base))
  const env = { ...base, FILE_SERVER_URL: files.url }
  services.use(await startToolcall(env))
  const worker = services.use(await startWorker(env))
  const api = services.use(await startApi(env))

  const volume = config.CODEAPI_PACKAGES_DIRECTORY ?? resolve(config.CODEAPI_DATA_DIR, 'packages')
  const building = buildPackagesInSteps(volume, config.CODEAPI_PACKAGES_PROFILE, env, stopped.signal).catch((error) => {
    // a set that serves already goes on serving
    if (worker.packages.status().serving) say(messageOf(error))
    else end({ why: messageOf(error), code: 1 })
  })
  services.defer(() => building)
  services.defer(() => stopped.abort())
  void announce(worker.problem, api.url, stopped.signal)
  void redis.exited.then((code) => end({ why: `redis-server ended with code ${code}; stopping`, code: 1 }))
  const { why, code } = await ended
  say(why)
  return code
}

/** The data directory, for this process alone; the lock goes with it */
const takeDirectory = (directory: string): Disposable => {
  mkdirSync(directory, { recursive: true })
  const descriptor = openSync(join(directory, 'dev.lock'), 'w')
  if (tryLock(descriptor)) return { [Symbol.dispose]: () => closeSync(descriptor) }
  closeSync(descriptor)
  throw new SetupError(
    `Cannot start: another codeapi has its data in ${resolve(directory)}. Stop it, or set CODEAPI_DATA_DIR to another directory`,
  )
}

/** Waits for a program to run, then says how to run one */
const announce = async (problem: () => Promise<string | null>, url: string, signal: AbortSignal): Promise<void> => {
  while ((await problem()) !== null) {
    if (signal.aborted) return
    await Bun.sleep(READY_POLL_MS)
  }
  say(`
codeapi is ready on ${url} (local mode: whoever reaches this address may run programs)
LibreChat: LIBRECHAT_CODE_BASEURL=${url}/v1
Try it:

  curl -s ${url}/v1/exec -H 'content-type: application/json' -d '{"lang":"py","code":"print(6 * 7)"}'
`)
}

try {
  // connections, to Redis or of clients that went away, may linger
  process.exit(Bun.argv[2] === SERVE ? await serve() : await main())
} catch (error) {
  if (!(error instanceof SetupError)) throw error
  process.stderr.write(`${messageOf(error)}\n`)
  process.exit(1)
}
