import { existsSync, readdirSync, readFileSync, rmdirSync, writeFileSync } from 'node:fs'
import { rmdir } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { errnoOf } from '../../errors.ts'

// A cgroup as a directory: its files, its processes, its end

/** A dying process may need this long to let go of its cgroup, in `ms` */
const EMPTY_DEADLINE_MS = 10_000

export const write = (directory: string, file: string, value: string | number) => writeFileSync(join(directory, file), String(value))
export const readText = (directory: string, file: string) => readFileSync(join(directory, file), 'utf8')
export const readNumber = (directory: string, file: string) => Number(readText(directory, file))

/** The number after `name` in a flat keyed file, such as `memory.events` */
export const readField = (directory: string, file: string, name: string): number =>
  Number(new RegExp(`^${name} (\\d+)$`, 'm').exec(readText(directory, file))?.[1] ?? 0)

export const processesIn = (directory: string): number[] =>
  existsSync(directory) ? readText(directory, 'cgroup.procs').split('\n').filter(Boolean).map(Number) : []

export const kill = (pid: number): void => {
  try {
    process.kill(pid, 'SIGKILL')
  } catch (error) {
    if (errnoOf(error) !== 'ESRCH') throw error
  }
}

export const killUntilEmpty = async (directory: string, killAll: () => void): Promise<void> => {
  const deadline = performance.now() + EMPTY_DEADLINE_MS
  while (processesIn(directory).length > 0) {
    killAll()
    if (performance.now() > deadline) throw new Error(`Cannot empty ${directory}: a process in it does not die`)
    await Bun.sleep(1)
  }
}

export const removeDirectory = async (directory: string): Promise<void> => {
  const deadline = performance.now() + EMPTY_DEADLINE_MS
  for (;;) {
    try {
      // the kernel may wait for its other CPUs here: not on our thread
      await rmdir(directory)
      return
    } catch (error) {
      if (errnoOf(error) === 'ENOENT') return
      // busy: the last process is dead but not yet reaped
      if (errnoOf(error) !== 'EBUSY' || performance.now() > deadline) throw error
      await Bun.sleep(1)
    }
  }
}

/** The directory that all workers share goes with the last of them */
const removeIfUnused = (directory: string): void => {
  try {
    rmdirSync(directory)
  } catch (error) {
    if (!['ENOENT', 'EBUSY', 'ENOTEMPTY'].includes(errnoOf(error) ?? '')) throw error
  }
}

/** The cgroups below a directory, deepest first */
const below = (directory: string): string[] =>
  existsSync(directory)
    ? readdirSync(directory, { withFileTypes: true })
        .filter((entry) => entry.isDirectory())
        .flatMap((entry) => [...below(join(directory, entry.name)), join(directory, entry.name)])
    : []

export const removeTree = async (directory: string, killAll: (directory: string) => void): Promise<void> => {
  for (const cgroup of [...below(directory), directory]) {
    await killUntilEmpty(cgroup, () => killAll(cgroup))
    await removeDirectory(cgroup)
  }
  removeIfUnused(dirname(directory))
}
