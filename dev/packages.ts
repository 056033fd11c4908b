import { existsSync } from 'node:fs'
import { join } from 'node:path'
import type { Environment } from '../config.ts'
import { SetupError } from '../errors.ts'
import { CATALOG_FILE, type Profile } from '../init/contract.ts'
import { dyingWithUs, enclosed } from './children.ts'

/** Builds packages in a child, which says how far it is on our stdout. Throws a {@link SetupError} where it fails */
export const buildPackages = async (profile: Profile, env: Environment, signal?: AbortSignal, isInBackground = false): Promise<void> => {
  const command = [process.execPath, join(import.meta.dir, '../init/main.ts')]
  const child = Bun.spawn(dyingWithUs('KILL', enclosed(isInBackground ? ['nice', '-n', '10', ...command] : command)), {
    env: { ...env, CODEAPI_PACKAGES_PROFILE: profile },
    stdin: 'ignore',
    stdout: 'inherit',
    stderr: 'inherit',
  })
  const kill = () => child.kill('SIGKILL')
  signal?.addEventListener('abort', kill)
  const code = await child.exited
  signal?.removeEventListener('abort', kill)
  if (code !== 0 && !signal?.aborted) {
    throw new SetupError(`Cannot build the ${profile} packages: the lines above say why. Start again to go on where it stopped`)
  }
}

/** Builds the small profile first where nothing serves yet, so that the first answer comes early, then the one that was asked for */
export const buildPackagesInSteps = async (volume: string, profile: Profile, env: Environment, signal: AbortSignal): Promise<void> => {
  const isFirst = !existsSync(join(volume, CATALOG_FILE))
  if (isFirst) await buildPackages('minimal', env, signal)
  if (signal.aborted) return
  if (profile !== 'minimal' || !isFirst) await buildPackages(profile, env, signal, true)
}
