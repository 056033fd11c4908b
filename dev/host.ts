import { resolve } from 'node:path'
import type { Environment } from '../config.ts'
import { SetupError } from '../errors.ts'
import { type Need, prepareHost } from '../init/host.ts'
import { compileStatic } from '../init/tools.ts'
import { dyingWithUs, withOwnMounts } from './children.ts'

export const say = (line: string): void => void process.stdout.write(`${line}\n`)

/** Installs what this machine lacks, builds our own small programs; returns where a worker finds them. Throws {@link SetupError} with the remedy */
export const prepare = async (dataDir: string, forWhat: readonly Need[] = ['build', 'run']): Promise<Environment> => {
  if (process.platform !== 'linux') throw new SetupError('Cannot run here: jails need Linux')
  if (process.getuid?.() !== 0) {
    throw new SetupError('Cannot open jails as this user: root makes their cgroups, mounts and users. Put sudo before the command')
  }
  const { nsjail } = await prepareHost(dataDir, forWhat, say)
  const tools = resolve(dataDir, 'tools')
  const compile = (name: string) => compileStatic(resolve(import.meta.dir, `../jail/nsjail/${name}.c`), tools)
  const [launch, stub] = await Promise.all([compile('launch'), compile('stub')])
  return { NSJAIL_PATH: nsjail, SANDBOX_LAUNCH_PATH: launch, SANDBOX_STUB_PATH: stub }
}

/** Runs a command in a mount namespace of its own until it ends; it is told to end when we are, and ends with us in any case */
export const runWithOwnMounts = async (command: readonly string[], env: Environment): Promise<number> => {
  const child = Bun.spawn(dyingWithUs('TERM', withOwnMounts(command)), {
    env: { ...env },
    stdin: 'ignore',
    stdout: 'inherit',
    stderr: 'inherit',
    // a terminal's Ctrl-C reaches us alone, so that the child is told once, whoever the signal was meant for
    detached: true,
  })
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.on(signal, () => child.kill(signal))
  return child.exited
}
