import { afterEach, describe, expect, test } from 'bun:test'
import { existsSync, mkdtempSync, readFileSync, rmSync, symlinkSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join, resolve } from 'node:path'
import { cgroupsOf, processes, until } from './machine.ts'
import { jailsMissing } from './services.ts'

const MAIN = resolve(import.meta.dir, '../dev/main.ts')
const READY_MS = 90_000
const GONE_MS = 20_000

/** Each child that a test started, with its data directory, so that a failed test leaves nothing either */
let started: { readonly directory: string; readonly child: Bun.Subprocess }[] = []
afterEach(async () => {
  for (const { directory, child } of started) {
    for (const { pid } of processesOf(directory)) tryKill(pid)
    await child.exited
    rmSync(directory, { recursive: true, force: true })
  }
  started = []
})

const tryKill = (pid: number): void => {
  try {
    process.kill(pid, 'SIGKILL')
  } catch {
    // it was faster
  }
}

const readProc = (path: string): string => {
  try {
    return readFileSync(path, 'utf8')
  } catch {
    return ''
  }
}

/** Every process that was started with this data directory, and whatever it started: the environment is inherited, by jails it is not */
const processesOf = (directory: string) =>
  processes().filter(
    ({ pid, command, ended }) =>
      !ended && (command.includes(directory) || readProc(`/proc/${pid}/environ`).includes(`CODEAPI_DATA_DIR=${directory}`)),
  )

/** Mounts of the host's own namespace that lie in a directory: what this process sees, its mount namespace was made before */
const mountsIn = (text: string, directory: string) => text.split('\n').filter((line) => line.includes(directory))

type Options = {
  readonly directory?: string
  readonly env?: Record<string, string>
  readonly volume?: string | null
  readonly detached?: boolean
}

/** nsjail and our own programs, which a first start would fetch and compile */
const TOOLS = resolve(dirname(Bun.env.NSJAIL_PATH ?? ''), '../../..')

const startDev = ({ directory = mkdtempSync(join(tmpdir(), 'codeapi-dev-')), env = {}, volume, detached = true }: Options = {}) => {
  if (!existsSync(join(directory, 'tools'))) symlinkSync(TOOLS, join(directory, 'tools'))
  const { CODEAPI_PACKAGE_CACHE_DIRECTORY, CODEAPI_TEST_PACKAGES, LOG_LEVEL: _, ...inherited } = Bun.env
  const child = Bun.spawn([process.execPath, MAIN], {
    cwd: directory,
    env: {
      ...inherited,
      CODEAPI_DATA_DIR: directory,
      CODEAPI_PACKAGES_PROFILE: 'complete',
      ...(volume === null ? {} : { CODEAPI_PACKAGES_DIRECTORY: volume ?? CODEAPI_TEST_PACKAGES, CODEAPI_PACKAGE_CACHE_DIRECTORY }),
      ...Object.fromEntries(['SERVICE_PORT', 'FILE_SERVER_PORT', 'WORKER_HEALTH_PORT', 'TOOL_CALL_SERVER_PORT'].map((name) => [name, '0'])),
      ...env,
    },
    stdin: 'ignore',
    stdout: 'pipe',
    stderr: 'pipe',
    detached,
  })
  started.push({ directory, child })
  let said = ''
  const listen = async (stream: ReadableStream<Uint8Array>) => {
    for await (const chunk of stream) said += Buffer.from(chunk).toString()
  }
  void listen(child.stdout)
  void listen(child.stderr)
  const says = (what: RegExp, ms = READY_MS) =>
    until(`it says ${what}`, () => what.exec(said) ?? (child.exitCode === null ? null : Promise.reject(new Error(said))), ms).catch(
      (cause) => {
        throw new Error(`${cause.message}\n${said}`)
      },
    )
  return {
    child,
    directory,
    said: () => said,
    says,
    url: async () => (await says(/codeapi is ready on (\S+)/))[1] ?? '',
    instance: async () => (await says(/"instance":"([^"]+)"/))[1] ?? '',
    /** To the whole group, as a terminal does it */
    ctrlC: () => process.kill(-child.pid, 'SIGINT'),
  }
}
type Dev = ReturnType<typeof startDev>

/** Nothing of it runs any more, nothing is mounted */
const isGone = async ({ directory, child }: Dev) => {
  await until('all its processes are gone', () => processesOf(directory).length === 0, GONE_MS).catch((cause) => {
    throw new Error(
      `${cause.message}: ${processesOf(directory)
        .map(({ pid, command }) => `${pid} ${command}`)
        .join('; ')}`,
    )
  })
  await child.exited
  expect(mountsIn(readFileSync('/proc/self/mountinfo', 'utf8'), directory)).toEqual([])
}

const post = (url: string, body: unknown) =>
  fetch(`${url}/v1/exec`, { method: 'POST', headers: { 'content-type': 'application/json' }, body: JSON.stringify(body) })

describe.skipIf(jailsMissing() !== null)('dev', () => {
  test('says how to try it, in words that work; starts quickly the second time; ends with Ctrl-C', async () => {
    const first = startDev()
    const url = await first.url()
    const [command] = (await first.says(/^ {2}(curl .+)$/m)).slice(1)
    const answer = Bun.spawnSync(['sh', '-c', command ?? ''])
    expect(JSON.parse(answer.stdout.toString())).toMatchObject({ stdout: '42\n', code: 0 })
    expect(await (await fetch(`${url}/v1/health`)).text()).toBe('OK')
    const instance = await first.instance()
    first.ctrlC()
    expect(await first.child.exited).toBe(0)
    await isGone(first)
    expect(cgroupsOf(instance)).toEqual([])

    const startedAt = performance.now()
    const second = startDev({ directory: first.directory })
    await second.url()
    expect(performance.now() - startedAt).toBeLessThan(10_000)
    second.child.kill('SIGTERM')
    expect(await second.child.exited).toBe(0)
    await isGone(second)
  })

  test.each([
    ['Ctrl-C', (dev: Dev) => dev.ctrlC()],
    ['SIGINT to the parent alone', (dev: Dev) => dev.child.kill('SIGINT')],
    ['SIGTERM to the parent alone', (dev: Dev) => dev.child.kill('SIGTERM')],
    ['SIGKILL of the parent', (dev: Dev) => dev.child.kill('SIGKILL')],
  ])('%s while a program runs: its caller is answered, nothing is left', async (_what, stop) => {
    const dev = startDev()
    const url = await dev.url()
    const instance = await dev.instance()
    const marker = `3${process.pid}.${Date.now()}`
    const answer = post(url, { lang: 'bash', code: `timeout 2 sleep ${marker}; echo done` })
    await until('it runs', () => processes().some(({ command }) => command.includes(marker)))
    stop(dev)
    const response = await answer
    expect({ status: response.status, body: await response.json() }).toMatchObject({ status: 200, body: { stdout: 'done\n' } })
    await isGone(dev)
    expect(processes().filter(({ command }) => command.includes(marker))).toEqual([])
    await until('no cgroup is left', () => cgroupsOf(instance).length === 0)
  })

  test('killed as a whole, it leaves no process; the next start sweeps up what is left', async () => {
    const dev = startDev()
    const url = await dev.url()
    const instance = await dev.instance()
    const marker = `2${process.pid}.${Date.now()}`
    void post(url, { lang: 'bash', code: `sleep ${marker}` }).catch(() => {})
    await until('it runs', () => processes().some(({ command }) => command.includes(marker)))
    for (const { pid } of processesOf(dev.directory)) tryKill(pid)
    await isGone(dev)
    await until('the program is dead', () => !processes().some(({ command }) => command.includes(marker)))
    const next = startDev({ directory: dev.directory })
    await next.url()
    expect(await next.instance()).toBe(instance)
    next.ctrlC()
    await isGone(next)
    expect(cgroupsOf(instance)).toEqual([])
  })

  const signals = {
    'Ctrl-C': (dev: Dev) => dev.ctrlC(),
    SIGTERM: (dev: Dev) => dev.child.kill('SIGTERM'),
    SIGKILL: (dev: Dev) => dev.child.kill('SIGKILL'),
  }
  const moments = [0, 50, 150, 300, 600, 1_000]
  test.each(Object.entries(signals))('%s at any moment of the start leaves nothing', async (_what, stop) => {
    for (const ms of moments) {
      const dev = startDev()
      await Bun.sleep(ms)
      stop(dev)
      await isGone(dev)
      rmSync(dev.directory, { recursive: true, force: true })
    }
  })

  test.each(Object.entries(signals))('%s while packages are built leaves nothing', async (_what, stop) => {
    const dev = startDev({ volume: null, env: { CODEAPI_PACKAGES_PROFILE: 'minimal' } })
    await dev.says(/packages: building the minimal profile/)
    await dev.says(/extracting archives/)
    stop(dev)
    await isGone(dev)
  })

  test('Ctrl-C while the first packages are built does not begin the complete ones', async () => {
    const dev = startDev({ volume: null })
    await dev.says(/packages: building the minimal profile/)
    dev.ctrlC()
    await isGone(dev)
    expect(dev.said()).not.toContain('building the complete profile')
  })

  test('one Ctrl-C that comes twice, as through `bun run`, lets a program finish', async () => {
    const dev = startDev()
    const url = await dev.url()
    const marker = `4${process.pid}.${Date.now()}`
    const answer = post(url, { lang: 'bash', code: `timeout 2 sleep ${marker}; echo done` })
    await until('it runs', () => processes().some(({ command }) => command.includes(marker)))
    dev.ctrlC()
    await Bun.sleep(5)
    dev.ctrlC()
    expect(await (await answer).json()).toMatchObject({ stdout: 'done\n' })
    expect(await dev.child.exited).toBe(0)
    await isGone(dev)
  })

  test('does not share its data directory', async () => {
    const first = startDev()
    await first.url()
    const second = Bun.spawn([process.execPath, MAIN], {
      env: { ...Bun.env, CODEAPI_DATA_DIR: first.directory },
      stdout: 'ignore',
      stderr: 'pipe',
    })
    expect(await new Response(second.stderr).text()).toStartWith(`Cannot start: another codeapi has its data in ${first.directory}.`)
    expect(await second.exited).toBe(1)
    first.ctrlC()
    await isGone(first)
  })

  test('names a port that is taken, and its variable', async () => {
    using taken = Bun.serve({ port: 0, hostname: '127.0.0.1', fetch: () => new Response() })
    for (const variable of ['SERVICE_PORT', 'FILE_SERVER_PORT', 'WORKER_HEALTH_PORT', 'TOOL_CALL_SERVER_PORT']) {
      const dev = startDev({ env: { [variable]: String(taken.port) } })
      expect(await dev.child.exited).toBe(1)
      expect(dev.said()).toContain(`127.0.0.1:${taken.port}`)
      expect(dev.said()).toContain(variable)
      expect(dev.said()).not.toContain('    at ')
      await isGone(dev)
    }
  })

  test('without root says what is wrong and what to do', async () => {
    const child = Bun.spawn(['setpriv', '--reuid', '65534', '--regid', '65534', '--clear-groups', process.execPath, MAIN], {
      cwd: '/',
      env: { PATH: Bun.env.PATH },
      stdin: 'ignore',
      stdout: 'pipe',
      stderr: 'pipe',
    })
    expect(await new Response(child.stderr).text()).toBe(
      'Cannot open jails as this user: root makes their cgroups, mounts and users. Put sudo before the command\n',
    )
    expect(await child.exited).toBe(1)
  })
})
