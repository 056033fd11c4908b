import { existsSync, readFileSync } from 'node:fs'
import { join, resolve } from 'node:path'
import { Type as t } from '@sinclair/typebox'
import { read, shared } from '../config.ts'
import { prepare, runWithOwnMounts } from '../dev/host.ts'
import { messageOf, SetupError } from '../errors.ts'
import { CATALOG_FILE, type Catalog } from '../init/contract.ts'
import type { Language } from '../worker/contract.ts'
import { commandFor } from '../worker/languages.ts'
import { placeProgram } from '../worker/workspace.ts'
import { leaseInstance } from './instance.ts'
import type { Limits } from './limits.ts'
import { openNsjail } from './nsjail/nsjail.ts'
import { composeRoot } from './root.ts'

const USAGE = `usage: bun jail/cli.ts LANGUAGE PROGRAM [ARGUMENT...]

Runs one program in a jail, with no service at all; for trying out a policy or a package.
LANGUAGE: py, js, ts, node or bash.   Example: bun jail/cli.ts py 'print(1)'`

const LANGUAGES: Readonly<Record<string, Language>> = { py: 'python', js: 'javascript', ts: 'typescript', node: 'node', bash: 'bash' }

const CliConfig = t.Object({
  CODEAPI_DATA_DIR: shared.CODEAPI_DATA_DIR,
  CODEAPI_PACKAGES_DIRECTORY: shared.CODEAPI_PACKAGES_DIRECTORY,
  CODEAPI_RUN_DIRECTORY: shared.CODEAPI_RUN_DIRECTORY,
  NSJAIL_PATH: t.String({ default: '', description: 'nsjail' }),
  SANDBOX_LAUNCH_PATH: t.String({ default: '', description: 'Compiled jail/nsjail/launch.c' }),
  SANDBOX_STUB_PATH: t.String({ default: '', description: 'Compiled jail/nsjail/stub.c' }),
})

const MIB = 1024 * 1024
const LIMITS: Limits = {
  wallMs: 60_000,
  cpuMs: 60_000,
  cpus: 2,
  memoryBytes: 1024 * MIB,
  diskBytes: 256 * MIB,
  outputChars: MIB,
  pids: 128,
  openFiles: 2048,
}

const INSIDE = '--inside'

const main = async (given: readonly string[]): Promise<number> => {
  const config = read(CliConfig, Bun.env)
  if (given[0] === INSIDE) return run(config, given.slice(1))
  const [name = '', program] = given
  if (!LANGUAGES[name] || program === undefined) throw new SetupError(USAGE)
  const tools = await prepare(config.CODEAPI_DATA_DIR)
  return runWithOwnMounts([process.execPath, import.meta.path, INSIDE, ...given], { ...Bun.env, ...tools })
}

const run = async (config: Readonly<(typeof CliConfig)['static']>, [name = '', code = '', ...args]: readonly string[]): Promise<number> => {
  const volume = resolve(config.CODEAPI_PACKAGES_DIRECTORY ?? join(config.CODEAPI_DATA_DIR, 'packages'))
  const catalogPath = join(volume, CATALOG_FILE)
  if (!existsSync(catalogPath)) throw new SetupError(`Cannot run: there are no packages in ${volume}; \`bun init/main.ts\` builds them`)
  const catalog: Catalog = JSON.parse(readFileSync(catalogPath, 'utf8'))

  using instance = await leaseInstance(config.CODEAPI_RUN_DIRECTORY)
  const binaries = { nsjail: config.NSJAIL_PATH, launch: config.SANDBOX_LAUNCH_PATH, stub: config.SANDBOX_STUB_PATH }
  await using jail = openNsjail({ binaries, instance })
  for (const weakness of jail.weaknesses) process.stderr.write(`weakness: ${weakness}\n`)
  const parts = catalog.packages.map(({ artifact, mountPoint }) => ({ image: join(volume, artifact), mountPoint }))
  using root = await composeRoot(parts, join(instance.directory, 'root'))
  const command = commandFor(LANGUAGES[name] ?? 'bash', catalog.packages, args, new Set())
  if ('missing' in command) throw new SetupError(`Cannot run: no package in ${volume} provides ${command.missing}`)
  await using cell = await jail.open(root.path, LIMITS)
  placeProgram(cell, command.entry, code)
  const stop = new AbortController()
  for (const signal of ['SIGINT', 'SIGTERM'] as const) process.on(signal, () => stop.abort())
  const { stdout, stderr, ...outcome } = await cell.run({ argv: command.argv, env: command.env, limits: LIMITS, signal: stop.signal })
  process.stdout.write(stdout.text)
  process.stderr.write(stderr.text)
  process.stderr.write(`${JSON.stringify(outcome)}\n`)
  return outcome.exitCode
}

try {
  process.exitCode = await main(Bun.argv.slice(2))
} catch (error) {
  if (!(error instanceof SetupError)) throw error
  process.stderr.write(`${messageOf(error)}\n`)
  process.exitCode = 2
}
