import { expect, test } from 'bun:test'
import { mkdtemp, readdir, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { errnoOf } from '../errors.ts'
import { filesClient } from '../files/client.ts'
import { newId } from '../ids.ts'
import { startRedis } from './redis.ts'
import { s3Missing, startS3 } from './s3.ts'

const TOKEN = 'a token for these tests'
const MIB = 1024 * 1024
const MAIN = join(import.meta.dir, '../files/main.ts')
const noS3 = s3Missing()

const { publicKey } = (await crypto.subtle.generateKey('Ed25519', true, ['sign', 'verify'])) as CryptoKeyPair
const spki = Buffer.from(await crypto.subtle.exportKey('spki', publicKey)).toString('base64')

/** The service in a process of its own */
const startProcess = async (given: Record<string, string>) => {
  const directory = await mkdtemp(join(tmpdir(), 'codeapi-files-'))
  const env = {
    ...Bun.env,
    CODEAPI_DATA_DIR: directory,
    CODEAPI_INTERNAL_SERVICE_TOKEN: TOKEN,
    CODEAPI_WORK_ORDER_PUBLIC_KEY: `-----BEGIN PUBLIC KEY-----\\n${spki}\\n-----END PUBLIC KEY-----`,
    FILE_SERVER_PORT: '0',
    LOG_LEVEL: 'info',
    ...given,
  }
  const child = Bun.spawn([process.execPath, MAIN], { env, stdout: 'ignore', stderr: 'pipe' })
  const reader = child.stderr.getReader()
  const said = new TextDecoder().decode((await reader.read()).value)
  return {
    child,
    said,
    client: () => filesClient({ url: JSON.parse(said).url, token: TOKEN }),
    incoming: () => readdir(join(directory, 'files/.incoming')).catch(unlessMissing),
    /** The most memory it has had so far, in bytes */
    peak: async () => Number(/VmHWM:\s+(\d+) kB/.exec(await Bun.file(`/proc/${child.pid}/status`).text())?.[1]) * 1024,
    async [Symbol.asyncDispose]() {
      child.kill('SIGKILL')
      await child.exited
      await rm(directory, { recursive: true, force: true })
    },
  }
}

const unlessMissing = (error: unknown): string[] => {
  if (errnoOf(error) !== 'ENOENT') throw error
  return []
}

/** `size` zero bytes, the last of them after `gate` */
const streamOf = (size: number, gate?: Promise<void>) =>
  new ReadableStream<Uint8Array>({
    async pull(controller) {
      if (size <= 65_536) await gate
      controller.enqueue(new Uint8Array(Math.min(size, 65_536)))
      size -= 65_536
      if (size <= 0) controller.close()
    },
  })

test('the service does not start without its secrets, and names them all', async () => {
  await using service = await startProcess({
    CODEAPI_INTERNAL_SERVICE_TOKEN: '',
    CODEAPI_WORK_ORDER_PUBLIC_KEY: '',
    SESSION_CACHE_TTL: 'soon',
  })
  expect(await service.child.exited).toBe(1)
  for (const name of ['CODEAPI_INTERNAL_SERVICE_TOKEN', 'CODEAPI_WORK_ORDER_PUBLIC_KEY', 'SESSION_CACHE_TTL'])
    expect(service.said).toContain(name)
})

test('the service listens before Redis is there', async () => {
  await using service = await startProcess({ REDIS_URL: '/nowhere/redis.sock' })
  const url = JSON.parse(service.said.split('\n')[0] ?? '').url
  expect((await fetch(`${url}/health`)).status).toBe(200)
  const ready = await fetch(`${url}/ready`)
  expect([ready.status, await ready.json()]).toEqual([503, { status: 'not ready', reasons: ['redis does not answer'] }])
})

test('SIGTERM lets an upload finish', async () => {
  await using redis = await startRedis()
  await using service = await startProcess({ REDIS_URL: redis.url })
  const gate = Promise.withResolvers<void>()
  const body = streamOf(3 * MIB, gate.promise)
  const upload = service.client().put('owner', newId(), newId(), { name: 'x', contentType: 'a/b', body })
  while ((await service.incoming()).length === 0) await Bun.sleep(10)
  service.child.kill('SIGTERM')
  gate.resolve()
  expect((await upload).size).toBe(3 * MIB)
  expect(await service.child.exited).toBe(0)
})

test.each([
  ['disk', 128 * MIB],
  ['s3', 224 * MIB],
])(
  '300 MiB pass through %s with little memory',
  async (store, most) => {
    if (store === 's3' && noS3) return
    await using redis = await startRedis()
    await using s3 = store === 's3' ? await startS3() : null
    await using service = await startProcess({ REDIS_URL: redis.url, ...s3?.env() })
    const client = service.client()
    const before = await service.peak()
    const [session, file, size] = [newId(), newId(), 300 * MIB]
    await client.put('owner', session, file, { name: 'x', contentType: 'a/b', body: streamOf(size), size })
    let read = 0
    for await (const chunk of (await client.get('owner', session, file)).body ?? []) read += chunk.length
    expect(read).toBe(size)
    expect((await service.peak()) - before).toBeLessThan(most)
  },
  120_000,
)
