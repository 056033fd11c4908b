import { readFileSync, writeFileSync } from 'node:fs'
import { join, resolve } from 'node:path'
import { prepare, runWithOwnMounts, say } from '../dev/host.ts'
import { buildPackages } from '../dev/packages.ts'
import { SetupError } from '../errors.ts'
import { CATALOG_FILE, type Catalog } from '../init/contract.ts'
import { leaseInstance } from '../jail/instance.ts'
import type { Limits } from '../jail/limits.ts'
import { nsjailConfig } from '../jail/nsjail/config.ts'
import { openNsjail } from '../jail/nsjail/nsjail.ts'
import { composeRoot } from '../jail/root.ts'
import { openUnmounter } from '../jail/unmount.ts'
import { openWorkspace } from '../jail/workspace.ts'
import { exec, startServices } from '../test/services.ts'
import { commandFor } from '../worker/languages.ts'
import { placeProgram } from '../worker/workspace.ts'
import { openCpuMeter } from './cpu.ts'
import { rowsOf, type Series, table } from './stats.ts'

const PLOT = `import pandas as pd, matplotlib.pyplot as plt
frame = pd.DataFrame({'x': range(100)})
frame.plot()
plt.savefig('plot.png')`

const PROGRAMS: readonly { name: string; code: string; runs: number }[] = [
  { name: 'hello', code: 'print(1)', runs: 100 },
  { name: 'import pandas', code: 'import pandas', runs: 15 },
  { name: 'pandas and a plot', code: PLOT, runs: 10 },
]
const IN_FLIGHT = 8
const THROUGHPUT_RUNS = 400
const INSIDE = '--inside'
const MIB = 1024 * 1024
const LIMITS: Limits = {
  wallMs: 60_000,
  cpuMs: 60_000,
  cpus: 2,
  memoryBytes: 512 * MIB,
  diskBytes: 256 * MIB,
  outputChars: 65_536,
  pids: 128,
  openFiles: 2048,
}

type Way = (code: string) => Promise<void>

const main = async (): Promise<void> => {
  const dataDir = resolve(Bun.env.CODEAPI_DATA_DIR ?? './.data')
  const packages = join(dataDir, 'packages')
  const tools = await prepare(dataDir)
  await buildPackages('complete', { ...Bun.env, CODEAPI_DATA_DIR: dataDir })
  process.exitCode = await runWithOwnMounts([process.execPath, import.meta.path, INSIDE], {
    ...Bun.env,
    ...tools,
    CODEAPI_TEST_PACKAGES: packages,
    CODEAPI_PACKAGE_CACHE_DIRECTORY: join(dataDir, 'worker'),
    LOG_LEVEL: 'error',
  })
}

/** The same program, by turns, in bare nsjail, through the jail library, and through the service */
const measure = async (): Promise<void> => {
  const binaries = { nsjail: Bun.env.NSJAIL_PATH ?? '', launch: Bun.env.SANDBOX_LAUNCH_PATH ?? '', stub: Bun.env.SANDBOX_STUB_PATH ?? '' }
  const volume = Bun.env.CODEAPI_TEST_PACKAGES ?? ''
  const catalog: Catalog = JSON.parse(readFileSync(join(volume, CATALOG_FILE), 'utf8'))
  await using services = await startServices()
  using instance = await leaseInstance('/run/codeapi')
  await using jail = openNsjail({ binaries, instance })
  using root = await composeRoot(
    catalog.packages.map(({ artifact, mountPoint }) => ({ image: join(volume, artifact), mountPoint })),
    join(instance.directory, 'root'),
  )
  using meter = openCpuMeter(services.redis.pid)

  const command = commandFor('python', catalog.packages, [], new Set())
  if ('missing' in command) throw new SetupError('Cannot measure: no package provides python3')

  const uid = instance.uid(200)
  using unmounter = openUnmounter()
  await using workspace = openWorkspace(join(instance.directory, 'bare'), uid, LIMITS.diskBytes, unmounter)
  const config = join(instance.directory, 'bare.cfg')
  const base = nsjailConfig({
    root: root.path,
    workspace: workspace.path,
    stub: '',
    uid,
    pids: 200,
    openFiles: 2048,
    fileBytes: 512 * MIB,
    scratchBytes: 64 * MIB,
  })
  const env = Object.entries(command.env).map(([name, value]) => `envar: ${JSON.stringify(`${name}=${value}`)}`)
  writeFileSync(config, [base.replace(/^(exec_bin|pass_fd).*$/gm, ''), ...env].join('\n'))

  const ways: Readonly<Record<string, Way>> = {
    'bare nsjail': async (code) => {
      const argv = [binaries.launch, meter.joinFile, '--', binaries.nsjail, '--config', config, '--', command.argv[0], '-c', code]
      const child = Bun.spawn(argv, { stdio: ['ignore', 'pipe', 'pipe'], env: {} })
      await Promise.all([new Response(child.stdout).text(), new Response(child.stderr).text()])
      if ((await child.exited) !== 0) throw new Error('bare nsjail failed')
    },
    'jail/': async (code) => {
      await using cell = await jail.open(root.path, LIMITS)
      placeProgram(cell, command.entry, code)
      const outcome = await cell.run({ argv: command.argv, env: command.env, limits: LIMITS })
      if (outcome.exitCode !== 0) throw new Error(`jail: ${outcome.stderr.text}`)
    },
    'POST /v1/exec': async (code) => {
      const { status, body } = await exec(services.url, { lang: 'py', code })
      if (status !== 200 || body.code !== 0) throw new Error(`exec: ${JSON.stringify(body)}`)
    },
  }

  const rows: string[][] = []
  for (const { name, code, runs } of PROGRAMS) {
    const series = Object.fromEntries(Object.keys(ways).map((way) => [way, { wallMs: [], cpuMs: 0 }])) as Record<string, Series>
    for (let run = -2; run < runs; run++) {
      for (const [way, go] of Object.entries(ways)) {
        const [cpu, start] = [meter.now(), performance.now()]
        await go(code)
        const into = series[way]
        // the first two warm the page cache up
        if (run < 0 || !into) continue
        into.wallMs.push(performance.now() - start)
        into.cpuMs += (meter.now() - cpu) / runs
      }
    }
    rows.push(...rowsOf(name, series))
  }
  say(table(['program', 'way', 'p50 ms', 'p99 ms', 'CPU ms', 'p50 ratio', 'CPU ratio', 'p50 added ms'], rows))

  const rates: [way: string, perSecond: number, cpuMs: number][] = []
  for (const [way, go] of Object.entries(ways)) {
    const [cpu, start] = [meter.now(), performance.now()]
    let left = THROUGHPUT_RUNS
    const lane = async () => {
      while (left-- > 0) await go('print(1)')
    }
    await Promise.all(Array.from({ length: IN_FLIGHT }, lane))
    rates.push([way, (THROUGHPUT_RUNS / (performance.now() - start)) * 1000, (meter.now() - cpu) / THROUGHPUT_RUNS])
  }
  const bare = rates[0]?.[1] ?? Number.NaN
  const cells = rates.map(([way, rate, cpu]) => [way, rate.toFixed(1), cpu.toFixed(1), `${((rate / bare) * 100).toFixed(0)}%`])
  say(`\nhello, ${IN_FLIGHT} in flight, ${THROUGHPUT_RUNS} runs\n\n${table(['way', 'runs/s', 'CPU ms', 'of bare'], cells)}`)
}

if (Bun.argv[2] === INSIDE) await measure()
else await main()
