import { describe, expect, test } from 'bun:test'
import { existsSync, readdirSync } from 'node:fs'
import { join } from 'node:path'
import { keys } from '../worker/contract.ts'
import { cgroupsOf, leftNothing, mountsUnder, processesWith, tracesOf, until } from './machine.ts'
import { type Answer, exec, jailsMissing, type Services, startServices, startWorkerProcess } from './services.ts'

let serial = 0
/** A duration for sleep(1) that no other process of this machine has in its arguments */
const newMarker = (): string => `9${process.pid}.${Date.now()}${serial++}`

/** A worker as a process of its own that callers already find */
const startWorker = async (services: Services, env: Record<string, string> = {}) => {
  const before = await services.redis.redis.zcard(keys.workers)
  const worker = await startWorkerProcess({ ...services.env, ...env })
  await until('the worker takes jobs', async () => (await services.redis.redis.zcard(keys.workers)) > before)
  return worker
}

const waiting = async ({ redis }: Services): Promise<number> => redis.redis.xlen(keys.jobs)

/** Every pid that had the marker among its arguments while this lives: a program that ran twice has two */
const watchFor = (marker: string) => {
  const seen = new Set<number>()
  const look = () => {
    for (const pid of processesWith(marker)) seen.add(pid)
  }
  const timer = setInterval(look, 20)
  return { seen, [Symbol.dispose]: () => clearInterval(timer) }
}

const storedFiles = (dataDir: string): string[] => {
  const directory = join(dataDir, 'files')
  return existsSync(directory) ? readdirSync(directory).filter((name) => !name.startsWith('.')) : []
}

describe.skipIf(jailsMissing() !== null)('a worker that is killed', () => {
  test('takes its programs along; their callers are told, nothing runs twice, the next worker sweeps up', async () => {
    await using services = await startServices({ worker: false })
    const marker = newMarker()
    using watch = watchFor(marker)
    let before: { mounts: string[]; instance: string }
    let answer: Promise<Answer>
    {
      const first = await startWorker(services)
      before = { mounts: mountsUnder('/run/codeapi'), instance: first.instance }
      answer = exec(services.url, { lang: 'bash', code: `echo x > out.txt; sleep ${marker} & exec sleep ${marker}` })
      await until('the program runs', () => watch.seen.size === 2)
      expect(tracesOf(first.instance)).toMatchObject({ cgroups: expect.arrayContaining(['jail-0-0']), mounts: [expect.any(String)] })
      first.child.kill('SIGKILL')
      await first.child.exited
      await until('the programs of the dead worker are dead', () => processesWith(marker).length === 0, 5_000)
    }
    await using second = await startWorker(services)
    expect(second.instance).toBe(before.instance)
    await leftNothing(second.instance)
    expect(mountsUnder('/run/codeapi')).toEqual(before.mounts)
    expect(await answer).toMatchObject({ status: 502, body: { error: 'worker_lost' } })

    expect((await exec(services.url, { lang: 'py', code: 'print(1)' })).body).toMatchObject({ stdout: '1\n', code: 0 })
    expect(await waiting(services)).toBe(0)
    expect(watch.seen.size).toBe(2)
    expect(storedFiles(services.dataDir)).toEqual([])
    await leftNothing(second.instance)
  })

  test('leaves its neighbour and that one’s programs unharmed', async () => {
    await using services = await startServices({ worker: false })
    const slots = { SANDBOX_MAX_CONCURRENT_JOBS: '2' }
    const doomed = await startWorker(services, slots)
    await using other = await startWorker(services, slots)
    expect(other.instance).not.toBe(doomed.instance)
    const markers = Array.from({ length: 4 }, newMarker)
    const go = newMarker()
    const answers = markers.map((marker) =>
      exec(services.url, { lang: 'bash', code: `timeout 4 sleep ${marker}; echo done ${go}`, timeout: 25_000 }),
    )
    await until('all four run', () => markers.every((marker) => processesWith(marker).length > 0))
    expect(cgroupsOf(doomed.instance)).not.toEqual([])
    doomed.child.kill('SIGKILL')
    await doomed.child.exited
    const ended = await Promise.all(answers)
    expect(ended.map(({ status }) => status).sort()).toEqual([200, 200, 502, 502])
    expect(ended.filter(({ status }) => status === 200).map(({ body }) => body.stdout)).toEqual([`done ${go}\n`, `done ${go}\n`])
    expect((await exec(services.url, { lang: 'bash', code: 'echo on' })).body.stdout).toBe('on\n')
  })

  test('that is told to stop lets its program finish, answers it, and takes no other', async () => {
    await using services = await startServices({ worker: false })
    const worker = await startWorker(services)
    const marker = newMarker()
    const answer = exec(services.url, { lang: 'bash', code: `timeout 3 sleep ${marker}; echo done; echo kept > out.txt` })
    await until('the program runs', () => processesWith(marker).length > 0)
    worker.child.kill('SIGTERM')
    await until('it says so', async () => !(await fetch(`${worker.url}/health`).catch(() => null))?.ok)
    const late = exec(services.url, { lang: 'bash', code: 'echo late' })
    expect(await answer).toMatchObject({ status: 200, body: { stdout: 'done\n', files: [{ name: 'out.txt' }] } })
    expect(await worker.child.exited).toBe(0)
    await leftNothing(worker.instance)
    expect(mountsUnder(`/run/codeapi/${worker.instance}`)).toEqual([])
    expect(await services.redis.redis.zcard(keys.workers)).toBe(0)
    // the other waits for the next worker
    await using _next = await startWorker(services)
    expect(await late).toMatchObject({ status: 200, body: { stdout: 'late\n' } })
  })
})

describe.skipIf(jailsMissing() !== null)('a caller that hangs up', () => {
  test('has its program ended and its slot freed, running or waiting; nothing is stored', async () => {
    await using services = await startServices({ env: { SANDBOX_MAX_CONCURRENT_JOBS: '1' } })
    const [running, queued] = [newMarker(), newMarker()]
    const [first, second] = [new AbortController(), new AbortController()]
    const run = (marker: string, { signal }: AbortController) =>
      exec(services.url, { lang: 'bash', code: `echo x > out.txt; exec sleep ${marker}` }, signal).then(
        () => 'answered',
        () => 'hung up',
      )
    using watch = watchFor(queued)
    const one = run(running, first)
    await until('the first runs', () => processesWith(running).length > 0)
    const two = run(queued, second)
    await until('the second waits', async () => (await waiting(services)) === 2)
    second.abort()
    await until('the second is out of the queue', async () => (await waiting(services)) === 1, 5_000)
    expect(processesWith(running)).toHaveLength(1)
    first.abort()
    await until('the first is dead', () => processesWith(running).length === 0, 5_000)
    expect(await Promise.all([one, two])).toEqual(['hung up', 'hung up'])
    expect((await exec(services.url, { lang: 'bash', code: 'echo free' })).body.stdout).toBe('free\n')
    expect(watch.seen.size).toBe(0)
    expect(storedFiles(services.dataDir)).toEqual([])
    await leftNothing(services.instance)
  })
})

describe.skipIf(jailsMissing() !== null)('the queue', () => {
  test('refuses what does not fit, with a hint when to come back', async () => {
    await using services = await startServices({ env: { SANDBOX_MAX_CONCURRENT_JOBS: '1', CODEAPI_MAX_WAITING_JOBS: '1' } })
    const marker = newMarker()
    const stop = new AbortController()
    const hold = exec(services.url, { lang: 'bash', code: `exec sleep ${marker}` }, stop.signal).catch(() => null)
    await until('the slot is taken', () => processesWith(marker).length > 0)
    const next = exec(services.url, { lang: 'bash', code: 'echo next' })
    await until('one waits', async () => (await waiting(services)) === 2)
    const refused = await fetch(`${services.url}/v1/exec`, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify({ lang: 'bash', code: 'echo no' }),
    })
    expect(refused.status).toBe(503)
    expect(Number(refused.headers.get('retry-after'))).toBeGreaterThan(0)
    expect(await refused.json()).toMatchObject({ error: 'capacity_exceeded', retry_after_seconds: expect.any(Number) })
    stop.abort()
    await hold
    expect((await next).body.stdout).toBe('next\n')
  })

  test('answers a program whose time ran out before its turn, and does not run it', async () => {
    await using services = await startServices({ env: { SANDBOX_MAX_CONCURRENT_JOBS: '1', JOB_TIMEOUT: '1000' } })
    const [holder, late] = [newMarker(), newMarker()]
    using watch = watchFor(late)
    const stop = new AbortController()
    const hold = exec(services.url, { lang: 'bash', code: `exec sleep ${holder}` }, stop.signal).catch(() => null)
    await until('the slot is taken', () => processesWith(holder).length > 0)
    expect(await exec(services.url, { lang: 'bash', code: `exec sleep ${late}` })).toMatchObject({
      status: 504,
      body: { error: 'execution_timeout' },
    })
    expect(processesWith(holder)).toHaveLength(1)
    stop.abort()
    await hold
    expect((await exec(services.url, { lang: 'bash', code: 'echo on' })).body.stdout).toBe('on\n')
    expect(watch.seen.size).toBe(0)
  })

  test('without a worker answers at once', async () => {
    await using services = await startServices({ worker: false })
    expect(await exec(services.url, { lang: 'bash', code: 'echo' })).toMatchObject({ status: 503, body: { error: 'no_worker' } })
    expect(await waiting(services)).toBe(0)
  })

  test('does not keep callers waiting for a worker that never comes back', async () => {
    await using services = await startServices({ worker: false })
    const marker = newMarker()
    const worker = await startWorker(services, { SANDBOX_MAX_CONCURRENT_JOBS: '1' })
    const lost = exec(services.url, { lang: 'bash', code: `exec sleep ${marker}` })
    await until('the slot is taken', () => processesWith(marker).length > 0)
    const queued = exec(services.url, { lang: 'bash', code: 'echo' })
    await until('one waits', async () => (await waiting(services)) === 2)
    worker.child.kill('SIGKILL')
    expect(await lost).toMatchObject({ status: 502, body: { error: 'worker_lost' } })
    expect(await queued).toMatchObject({ status: 503, body: { error: 'no_worker' } })
    expect(await waiting(services)).toBe(0)
  })
})
