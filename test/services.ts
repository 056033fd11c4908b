import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { startApi } from '../api/main.ts'
import type { Environment } from '../config.ts'
import { dyingWithUs } from '../dev/children.ts'
import { openSecrets } from '../dev/secrets.ts'
import { startFiles } from '../files/main.ts'
import { startWorker } from '../worker/main.ts'
import { livingWorkers } from '../worker/scripts.ts'
import { startRedis } from './redis.ts'

/** Why no jail can be opened here, or null. Throws instead where a skipped test counts as a failed one */
export const jailsMissing = (): string | null => {
  const why =
    Bun.env.CODEAPI_TEST_PACKAGES && Bun.env.NSJAIL_PATH
      ? null
      : 'Cannot test jails: start the tests with `bun run test`, which prepares them'
  if (why && Bun.env.REQUIRE_JAILS) throw new Error(why)
  if (why) process.stderr.write(`${why}\n`)
  return why
}

export type ServicesOptions = {
  /** Variables on top of the usual ones */
  readonly env?: Environment
  /** `false`: the test starts workers itself, see `startWorkerProcess` */
  readonly worker?: boolean
}

/** Every service but the tool calls, in this process, on ports that the system chose, with a real Redis and an empty data directory */
export const startServices = async ({ env: given = {}, worker = true }: ServicesOptions = {}) => {
  await using undo = new AsyncDisposableStack()
  const dataDir = mkdtempSync(join(tmpdir(), 'codeapi-test-'))
  undo.defer(() => rmSync(dataDir, { recursive: true, force: true }))
  const redis = undo.use(await startRedis())
  const secrets = await openSecrets(dataDir)
  const base: Environment = {
    ...Bun.env,
    CODEAPI_DATA_DIR: dataDir,
    CODEAPI_PACKAGES_DIRECTORY: Bun.env.CODEAPI_TEST_PACKAGES,
    LOCAL_MODE: 'true',
    REDIS_URL: redis.url,
    CODEAPI_INTERNAL_SERVICE_TOKEN: secrets.internalToken,
    CODEAPI_WORK_ORDER_PRIVATE_KEY: secrets.orderPrivateKey,
    CODEAPI_WORK_ORDER_PUBLIC_KEY: secrets.orderPublicKey,
    SERVICE_PORT: '0',
    FILE_SERVER_PORT: '0',
    WORKER_HEALTH_PORT: '0',
    ...given,
  }
  const files = undo.use(await startFiles(base))
  const env: Environment = { FILE_SERVER_URL: files.url, ...base }
  const inside = worker ? undo.use(await startWorker(env)) : null
  // its first sign of life is on the way: a job that came before it would be refused
  while (inside && (await livingWorkers(redis.redis)).size === 0) await Bun.sleep(5)
  const api = undo.use(await startApi(env))
  const owned = undo.move()
  return {
    url: api.url,
    workerUrl: inside?.url ?? '',
    instance: inside?.instance ?? '',
    env,
    dataDir,
    redis,
    [Symbol.asyncDispose]: () => owned.disposeAsync(),
  }
}
export type Services = Awaited<ReturnType<typeof startServices>>

const READY_DEADLINE_MS = 30_000

/** A worker as a process of its own, ready to take jobs */
export const startWorkerProcess = async (env: Environment) => {
  // a test that is cut off leaves no worker
  const child = Bun.spawn(dyingWithUs('KILL', [process.execPath, join(import.meta.dir, '../worker/main.ts')]), {
    env: { ...env, LOG_LEVEL: 'info' },
    stdin: 'ignore',
    stdout: 'ignore',
    stderr: 'pipe',
  })
  let said = ''
  const ready = Promise.withResolvers<string>()
  void (async () => {
    for await (const chunk of child.stderr) {
      said += Buffer.from(chunk).toString()
      const url = /"url":"([^"]+)".*"worker is listening"/.exec(said)?.[1]
      if (url) ready.resolve(url)
    }
    ready.reject(new Error(`The worker ended: ${said}`))
  })()
  const timer = setTimeout(() => ready.reject(new Error(`The worker does not start: ${said}`)), READY_DEADLINE_MS)
  const url = await ready.promise.finally(() => clearTimeout(timer))
  return {
    url,
    instance: /"instance":"([^"]+)"/.exec(said)?.[1] ?? '',
    child,
    /** What it logged so far */
    log: () => said,
    async [Symbol.asyncDispose]() {
      child.kill('SIGTERM')
      await child.exited
    },
  }
}

/** What `POST /v1/exec` answers */
export type Answer = {
  readonly status: number
  // biome-ignore lint/suspicious/noExplicitAny: a test reads whatever fields it is about
  readonly body: any
}

export const exec = async (url: string, body: unknown, signal?: AbortSignal): Promise<Answer> => {
  const response = await fetch(`${url}/v1/exec`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: typeof body === 'string' ? body : JSON.stringify(body),
    ...(signal && { signal }),
  })
  return { status: response.status, body: await response.json() }
}

/** Uploads files as LibreChat does; `name` may have directories */
export const upload = async (
  url: string,
  files: readonly { name: string; content: string | Uint8Array }[],
  fields: Record<string, string> = { kind: 'user' },
): Promise<Answer> => {
  const form = new FormData()
  for (const [name, value] of Object.entries(fields)) form.set(name, value)
  for (const { name, content } of files) form.append('file', new Blob([content as BlobPart]), name)
  const response = await fetch(`${url}/v1/upload`, { method: 'POST', body: form })
  return { status: response.status, body: await response.json() }
}

/** A reference to a file of an answer, as a client sends it back */
export const reference = (
  file: { id?: string; fileId?: string; name?: string; filename?: string; storage_session_id?: string },
  session?: string,
) => ({
  id: file.id ?? file.fileId,
  resource_id: 'local-test-user',
  storage_session_id: file.storage_session_id ?? session,
  name: file.name ?? file.filename,
  kind: 'user',
})

export const download = (url: string, file: { id: string; storage_session_id: string }): Promise<Response> =>
  fetch(`${url}/v1/download/${file.storage_session_id}/${file.id}?kind=user&id=local-test-user`)
