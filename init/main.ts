import { join, resolve } from 'node:path'
import { messageOf, SetupError } from '../errors.ts'
import { build, findCurrent } from './build.ts'
import { readInitConfig } from './config.ts'
import { installHostPackages, missingHostPackages } from './host.ts'
import { recipesOf } from './recipes/all.ts'
import { fetchTool, type Say } from './tools.ts'
import { openVolume } from './volume.ts'

const say: Say = (line) => console.log(line)

const main = async (signal: AbortSignal): Promise<void> => {
  const startedAt = performance.now()
  const config = readInitConfig(Bun.env)
  const dataDir = resolve(config.CODEAPI_DATA_DIR)
  const volume = openVolume(resolve(config.CODEAPI_PACKAGES_DIRECTORY ?? join(dataDir, 'packages')))
  const profile = config.CODEAPI_PACKAGES_PROFILE
  const mirrors = { debian: config.CODEAPI_DEBIAN_MIRROR, security: config.CODEAPI_DEBIAN_SECURITY_MIRROR }
  const recipes = await recipesOf(profile, mirrors, () => fetchTool('uv', join(dataDir, 'tools'), say, signal))

  if (await findCurrent({ volume, profile, recipes })) return say(`packages: the ${profile} profile is complete in ${volume.root}`)
  if (process.getuid?.() !== 0) throw new SetupError('Cannot build packages without root: a base system needs owners, devices and mounts')
  await installHostPackages(await missingHostPackages(['build']), join(dataDir, 'logs'), say)
  say(`packages: building the ${profile} profile in ${volume.root}`)
  const { packages } = await build({ volume, profile, recipes, say, signal })
  const megabytes = packages.reduce((sum, { size }) => sum + size, 0) / 1_000_000
  say(`packages: ${packages.length} packages, ${megabytes.toFixed(0)} MB, in ${((performance.now() - startedAt) / 1_000).toFixed(0)} s`)
}

const stop = new AbortController()
for (const name of ['SIGINT', 'SIGTERM'] as const)
  process.once(name, () => stop.abort(new SetupError(`Stopped by ${name}: the next run goes on from here`)))
try {
  await main(stop.signal)
  process.exit(0)
} catch (error) {
  console.error(error instanceof SetupError ? messageOf(error) : error)
  process.exit(1)
}
