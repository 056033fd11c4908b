import { afterEach, describe, expect, test } from 'bun:test'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { startApi } from '../api/main.ts'
import { MountFlag, mount, unmount } from '../jail/syscalls.ts'
import { livingWorkers } from '../worker/scripts.ts'
import { processesWith, until } from './machine.ts'
import { startProxy } from './proxy.ts'
import { startRedis } from './redis.ts'
import {
  type Answer,
  download,
  exec,
  jailsMissing,
  reference,
  type Services,
  startServices,
  startWorkerProcess,
  upload,
} from './services.ts'

let cleanUp = new AsyncDisposableStack()
afterEach(async () => {
  const now = cleanUp
  cleanUp = new AsyncDisposableStack()
  await now.disposeAsync()
})

let serial = 0
const newMarker = (): string => `8${process.pid}.${Date.now()}${serial++}`

const takesJobs = ({ redis }: Pick<Services, 'redis'>) =>
  until('a worker takes jobs', async () => (await livingWorkers(redis.redis)).size > 0)

const ready = async (url: string): Promise<Answer> => {
  const response = await fetch(`${url}/ready`)
  return { status: response.status, body: await response.json() }
}

/** Runs until it works again; any other answer on the way must be a clear one */
const recovers = async (url: string) => {
  await until('programs run again', async () => {
    const { status, body } = await exec(url, { lang: 'bash', code: 'echo on' })
    if (status === 200) return body.stdout === 'on\n'
    expect(status).toBe(503)
    expect(body).toEqual({ error: expect.stringMatching(/^[a-z_]+$/), message: expect.any(String) })
    return false
  })
}

describe.skipIf(jailsMissing() !== null)('Redis', () => {
  test('may be down when the services start: each says so, and goes on when it comes', async () => {
    const redis = cleanUp.use(await startRedis())
    await redis.stop()
    const services = cleanUp.use(await startServices({ worker: false, env: { REDIS_URL: redis.url } }))
    const worker = cleanUp.use(await startWorkerProcess(services.env))
    expect((await fetch(`${services.url}/v1/health`)).status).toBe(503)
    expect(await ready(services.env.FILE_SERVER_URL ?? '')).toMatchObject({
      status: 503,
      body: { reasons: [expect.stringContaining('redis')] },
    })
    expect(await ready(worker.url)).toMatchObject({ status: 503, body: { ready: false, problem: expect.stringContaining('Redis') } })
    expect(await exec(services.url, { lang: 'bash', code: 'echo' })).toMatchObject({
      status: 503,
      body: { error: 'queue_unavailable', message: expect.stringContaining('Redis') },
    })
    await redis.restart()
    await recovers(services.url)
    expect((await fetch(`${services.url}/v1/health`)).status).toBe(200)
    await until('the worker is ready', async () => (await ready(worker.url)).status === 200)
  })

  test('may be restarted while programs wait and run: all are answered', async () => {
    const services = cleanUp.use(await startServices({ worker: false }))
    cleanUp.use(await startWorkerProcess({ ...services.env, SANDBOX_MAX_CONCURRENT_JOBS: '2' }))
    await takesJobs(services)
    const markers = Array.from({ length: 4 }, newMarker)
    const answers = markers.map((marker) =>
      exec(services.url, { lang: 'bash', code: `timeout 2 sleep ${marker}; echo ${marker} | tee out.txt` }),
    )
    await until('two run', () => markers.filter((marker) => processesWith(marker).length > 0).length === 2)
    await services.redis.restart()
    const ended = await Promise.all(answers)
    expect(ended.map(({ status }) => status)).toEqual([200, 200, 200, 200])
    expect(ended.map(({ body }) => body.stdout)).toEqual(markers.map((marker) => `${marker}\n`))
    for (const { body } of ended) expect((await download(services.url, body.files[0])).status).toBe(200)
    await recovers(services.url)
  })

  test('may be away while a program ends: its answer is kept until Redis is back', async () => {
    const services = cleanUp.use(await startServices())
    const marker = newMarker()
    const answer = exec(services.url, { lang: 'bash', code: `timeout 1 sleep ${marker}; echo done` })
    await until('it runs', () => processesWith(marker).length > 0)
    await services.redis.stop()
    await until('it has ended', () => processesWith(marker).length === 0)
    await services.redis.restart()
    expect(await answer).toMatchObject({ status: 200, body: { stdout: 'done\n' } })
    await recovers(services.url)
  })

  test('that does not come back is not waited for; the program ends when it can be told', async () => {
    const services = cleanUp.use(await startServices({ env: { SANDBOX_MAX_CONCURRENT_JOBS: '1' } }))
    const marker = newMarker()
    const answer = exec(services.url, { lang: 'bash', code: `exec sleep ${marker}` })
    await until('it runs', () => processesWith(marker).length > 0)
    await services.redis.stop()
    expect(await answer).toMatchObject({
      status: 503,
      body: { error: 'queue_unavailable', message: expect.stringContaining('may have run') },
    })
    expect(processesWith(marker)).toHaveLength(1)
    await services.redis.restart()
    await recovers(services.url)
    expect(processesWith(marker)).toEqual([])
  })

  test('that is away keeps nobody from stopping', async () => {
    const redis = cleanUp.use(await startRedis())
    const services = await startServices({ worker: false, env: { REDIS_URL: redis.url } })
    await using worker = await startWorkerProcess(services.env)
    await until('a worker takes jobs', async () => (await livingWorkers(redis.redis)).size > 0)
    await redis.stop()
    await until('the worker notices', async () => (await ready(worker.url)).status === 503)
    worker.child.kill('SIGTERM')
    await until('the worker has ended', () => worker.child.exitCode !== null, 20_000)
    expect(worker.child.exitCode).toBe(0)
    const stopped = services[Symbol.asyncDispose]().then(() => true)
    expect(await Promise.race([stopped, Bun.sleep(20_000)])).toBe(true)
  })

  test('may lose its data: who runs is answered, who waited is told', async () => {
    const services = cleanUp.use(await startServices({ env: { SANDBOX_MAX_CONCURRENT_JOBS: '1' } }))
    const marker = newMarker()
    const running = exec(services.url, { lang: 'bash', code: `timeout 4 sleep ${marker}; echo done` })
    await until('it runs', () => processesWith(marker).length > 0)
    const waits = exec(services.url, { lang: 'bash', code: 'echo' })
    await until('the other waits', async () => (await services.redis.redis.xlen('run:jobs')) === 2)
    await services.redis.redis.flushall()
    expect(await waits).toMatchObject({ status: 503, body: { error: 'job_lost' } })
    expect(await running).toMatchObject({ status: 200, body: { stdout: 'done\n' } })
    await recovers(services.url)
  })
})

describe.skipIf(jailsMissing() !== null)('the file service', () => {
  /** All services, with a proxy before `files` through which `api` and the worker reach it */
  const startBehindProxy = async () => {
    const services = cleanUp.use(await startServices({ worker: false }))
    const proxy = cleanUp.use(await startProxy(Number(new URL(services.env.FILE_SERVER_URL ?? '').port)))
    const env = { ...services.env, FILE_SERVER_URL: `http://127.0.0.1:${proxy.port}` }
    cleanUp.use(await startWorkerProcess(env))
    const api = cleanUp.use(await startApi(env))
    await takesJobs(services)
    return { services, proxy, url: api.url }
  }

  test('that is down fails what needs it, and nothing else', async () => {
    const { services, proxy, url } = await startBehindProxy()
    const { body: sent } = await upload(services.url, [{ name: 'a.txt', content: 'x' }])
    const files = [reference(sent.files[0], sent.storage_session_id)]
    proxy.set('down')
    expect(await exec(url, { lang: 'bash', code: 'cat a.txt', files })).toMatchObject({ status: 503, body: { error: 'files_unavailable' } })
    expect(await exec(url, { lang: 'bash', code: 'echo 1' })).toMatchObject({ status: 200, body: { stdout: '1\n', stderr: '' } })
    const lost = await exec(url, { lang: 'bash', code: 'echo 1 | tee out.txt' })
    expect(lost).toMatchObject({
      status: 200,
      body: {
        stdout: '1\n',
        files: [],
        artifact_delivery: { code: 'artifact_delivery_failed', status: 'failed', attempted: 1, delivered: 0, failed: 1 },
      },
    })
    expect(lost.body.stderr).toContain('[sandbox] 1 file was not kept: out.txt (it could not be stored)')
    proxy.set('clear')
    expect((await exec(url, { lang: 'bash', code: 'cat a.txt', files })).body.stdout).toBe('x')
  })

  test('that goes away between the check and the delivery of an input fails the run before it starts', async () => {
    const { services, proxy } = await startBehindProxy()
    const marker = newMarker()
    const { body: sent } = await upload(services.url, [{ name: 'big.bin', content: new Uint8Array(2_000_000) }])
    const files = [reference(sent.files[0], sent.storage_session_id)]
    // this api asks files itself; the worker asks through the proxy
    const run = () => exec(services.url, { lang: 'bash', code: `echo ${marker}`, files })
    for (const weather of ['down', { cutAfter: 500_000 }] as const) {
      proxy.set(weather)
      const { status, body } = await run()
      expect(status).toBeGreaterThanOrEqual(502)
      expect(body).toEqual({
        error: expect.stringMatching(/^(files_unavailable|session_input_source_failed)$/),
        message: expect.any(String),
      })
    }
    proxy.set('clear')
    expect((await run()).body.stdout).toBe(`${marker}\n`)
  })

  test('that goes away while a program runs: what it printed is answered, what it made is named as lost', async () => {
    const { proxy, url } = await startBehindProxy()
    const marker = newMarker()
    const answer = exec(url, { lang: 'bash', code: `timeout 1 sleep ${marker}; echo x > a.txt; echo y > b.txt; echo done` })
    await until('it runs', () => processesWith(marker).length > 0)
    proxy.set('down')
    const { status, body } = await answer
    expect({ status, stdout: body.stdout, files: body.files }).toEqual({ status: 200, stdout: 'done\n', files: [] })
    expect(body.artifact_delivery).toMatchObject({ status: 'failed', attempted: 2, failed: 2 })
    expect(body.stderr).toContain('[sandbox] 2 files were not kept: a.txt (it could not be stored), b.txt (it could not be stored)')
  })

  test('whose disk is full keeps what fits and names the rest', async () => {
    const dataDir = mkdtempSync(join(tmpdir(), 'codeapi-full-'))
    cleanUp.defer(() => rmSync(dataDir, { recursive: true }))
    mount('full', dataDir, 'tmpfs', MountFlag.noSuid, 'size=4m')
    cleanUp.defer(() => unmount(dataDir))
    const services = cleanUp.use(await startServices({ worker: false, env: { CODEAPI_DATA_DIR: dataDir } }))
    cleanUp.use(await startWorkerProcess(services.env))
    await takesJobs(services)
    const { status, body } = await exec(services.url, { lang: 'bash', code: 'head -c 9000000 /dev/zero > big.bin; echo x > small.txt' })
    expect(status).toBe(200)
    expect(body.files.map(({ name }: { name: string }) => name)).toEqual(['small.txt'])
    expect(body.artifact_delivery).toMatchObject({ status: 'partial', attempted: 2, delivered: 1, failed: 1 })
    expect(body.stderr).toContain('[sandbox] 1 file was not kept: big.bin (')
  })
})
