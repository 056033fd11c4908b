import { mkdirSync } from 'node:fs'
import { join, resolve } from 'node:path'
import { prepare, runWithOwnMounts, say } from '../dev/host.ts'
import { buildPackages } from '../dev/packages.ts'
import { messageOf, SetupError } from '../errors.ts'

const FOLDERS = ['api', 'files', 'init', 'jail', 'toolcall', 'worker', 'test']
const TEST_TIMEOUT_MS = 120_000

/**
 * All tests, on a machine that may have nothing yet: prepares it, builds the complete runtime packages, runs `bun test` in a mount
 * namespace of its own, and closes with a line of counts. Further arguments go to `bun test`.
 */
const main = async (): Promise<number> => {
  const dataDir = resolve(Bun.env.CODEAPI_DATA_DIR ?? './.data')
  const packages = resolve(Bun.env.CODEAPI_PACKAGES_DIRECTORY ?? join(dataDir, 'packages'))
  const tools = await prepare(dataDir, ['build', 'run', 'test'])
  await buildPackages('complete', { ...Bun.env, CODEAPI_DATA_DIR: dataDir })

  mkdirSync(dataDir, { recursive: true })
  const report = join(dataDir, 'test-report.xml')
  const [, , ...given] = Bun.argv
  const folders = given.length > 0 ? given : FOLDERS.map((folder) => `./${folder}/`)
  const command = [process.execPath, 'test', `--timeout=${TEST_TIMEOUT_MS}`, '--reporter=junit', `--reporter-outfile=${report}`, ...folders]
  const code = await runWithOwnMounts(command, {
    ...Bun.env,
    ...tools,
    CODEAPI_TEST_PACKAGES: packages,
    CODEAPI_PACKAGE_CACHE_DIRECTORY: join(dataDir, 'worker'),
    LOG_LEVEL: Bun.env.LOG_LEVEL ?? 'silent',
  })
  const { passed, failed, skipped } = countsOf(await Bun.file(report).text())
  say(`${passed} passed, ${failed} failed${skipped > 0 ? `, ${skipped} skipped` : ''}`)
  return code === 0 && failed === 0 ? 0 : 1
}

/** The sums on the root of a JUnit report */
const countsOf = (report: string): { passed: number; failed: number; skipped: number } => {
  const root = /<testsuites [^>]*>/.exec(report)?.[0] ?? ''
  const count = (name: string) => Number(new RegExp(`\\b${name}="(\\d+)"`).exec(root)?.[1] ?? 0)
  const [failed, skipped] = [count('failures') + count('errors'), count('skipped')]
  return { passed: count('tests') - failed - skipped, failed, skipped }
}

try {
  process.exitCode = await main()
} catch (error) {
  if (!(error instanceof SetupError)) throw error
  process.stderr.write(`${messageOf(error)}\n`)
  process.exitCode = 1
}
