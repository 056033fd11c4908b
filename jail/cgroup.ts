import { existsSync, mkdirSync, readdirSync, readFileSync, rmdirSync, writeFileSync } from 'node:fs'
import { rmdir } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { errnoOf, messageOf } from '../errors.ts'
import type { Limits } from './limits.ts'

/** Memory used so far: the most at once, and how many processes were killed for want of it */
export type MemoryUse = { readonly peakBytes: number; readonly oomKills: number }

/** One jail's cgroup, made before it and read after it, whatever the hierarchy's version */
export type Cgroup = {
  /** Files that a process writes `0` to in order to join */
  readonly joinFiles: readonly string[]
  limit(limits: Pick<Limits, 'memoryBytes' | 'pids' | 'cpus'>): void
  /** CPU time of all that was ever in it */
  cpuMs(): number
  memory(): MemoryUse
  /** Kills what is in it, new children included, and resolves when it is empty */
  kill(): Promise<void>
  remove(): Promise<void>
}

/** Where cgroups of one worker are made */
export type CgroupParent = {
  readonly version: 1 | 2
  create(name: string): Cgroup
  /** Kills and removes all that is in it, and itself */
  remove(): Promise<void>
}

const CPU_PERIOD_US = 100_000
/** A dying process may need this long to let go of its cgroup, in `ms` */
const EMPTY_DEADLINE_MS = 10_000

const write = (directory: string, file: string, value: string | number) => writeFileSync(join(directory, file), String(value))
const readText = (directory: string, file: string) => readFileSync(join(directory, file), 'utf8')
const readNumber = (directory: string, file: string) => Number(readText(directory, file))

/** The number after `name` in a flat keyed file, such as `memory.events` */
const readField = (directory: string, file: string, name: string): number =>
  Number(new RegExp(`^${name} (\\d+)$`, 'm').exec(readText(directory, file))?.[1] ?? 0)

const processesIn = (directory: string): number[] =>
  existsSync(directory) ? readText(directory, 'cgroup.procs').split('\n').filter(Boolean).map(Number) : []

const kill = (pid: number): void => {
  try {
    process.kill(pid, 'SIGKILL')
  } catch (error) {
    if (errnoOf(error) !== 'ESRCH') throw error
  }
}

const killUntilEmpty = async (directory: string, killAll: () => void): Promise<void> => {
  const deadline = performance.now() + EMPTY_DEADLINE_MS
  while (processesIn(directory).length > 0) {
    killAll()
    if (performance.now() > deadline) throw new Error(`Cannot empty ${directory}: a process in it does not die`)
    await Bun.sleep(1)
  }
}

const removeDirectory = async (directory: string): Promise<void> => {
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

const removeTree = async (directory: string, killAll: (directory: string) => void): Promise<void> => {
  for (const cgroup of [...below(directory), directory]) {
    await killUntilEmpty(cgroup, () => killAll(cgroup))
    await removeDirectory(cgroup)
  }
  removeIfUnused(dirname(directory))
}

/** All of them, or none */
const makeAll = (directories: readonly string[]): void => {
  using undo = new DisposableStack()
  for (const directory of directories) {
    mkdirSync(directory)
    undo.defer(() => rmdirSync(directory))
  }
  undo.move()
}

const killEach = (directory: string): void => processesIn(directory).forEach(kill)

/** cgroups(7) version 1: one hierarchy for each controller */
const versionOne = (parents: Readonly<Record<Controller, string>>): CgroupParent => ({
  version: 1,
  create: (name) => {
    const at = Object.fromEntries(Object.entries(parents).map(([controller, parent]) => [controller, join(parent, name)])) as typeof parents
    const directories = [...new Set(Object.values(at))]
    makeAll(directories)
    const swapIsCounted = existsSync(join(at.memory, 'memory.memsw.limit_in_bytes'))
    return {
      joinFiles: directories.map((directory) => join(directory, 'cgroup.procs')),
      limit: ({ memoryBytes, pids, cpus }) => {
        write(at.memory, 'memory.limit_in_bytes', memoryBytes)
        if (swapIsCounted) write(at.memory, 'memory.memsw.limit_in_bytes', memoryBytes)
        write(at.pids, 'pids.max', pids)
        write(at.cpu, 'cpu.cfs_period_us', CPU_PERIOD_US)
        write(at.cpu, 'cpu.cfs_quota_us', Math.round(cpus * CPU_PERIOD_US))
      },
      cpuMs: () => readNumber(at.cpuacct, 'cpuacct.usage') / 1e6,
      memory: () => ({
        peakBytes: readNumber(at.memory, 'memory.max_usage_in_bytes'),
        oomKills: readField(at.memory, 'memory.oom_control', 'oom_kill'),
      }),
      kill: () => killUntilEmpty(at.pids, () => killEach(at.pids)),
      remove: async () => {
        for (const directory of directories) await removeDirectory(directory)
      },
    }
  },
  remove: async () => {
    for (const directory of new Set(Object.values(parents))) await removeTree(directory, killEach)
  },
})

/** cgroups(7) version 2: one hierarchy for all controllers */
export const versionTwo = (parent: string): CgroupParent => {
  const killAll = (directory: string) => write(directory, 'cgroup.kill', 1)
  return {
    version: 2,
    create: (name) => {
      const at = join(parent, name)
      mkdirSync(at)
      return {
        joinFiles: [join(at, 'cgroup.procs')],
        limit: ({ memoryBytes, pids, cpus }) => {
          write(at, 'memory.max', memoryBytes)
          if (existsSync(join(at, 'memory.swap.max'))) write(at, 'memory.swap.max', 0)
          write(at, 'pids.max', pids)
          write(at, 'cpu.max', `${Math.round(cpus * CPU_PERIOD_US)} ${CPU_PERIOD_US}`)
        },
        cpuMs: () => readField(at, 'cpu.stat', 'usage_usec') / 1e3,
        memory: () => ({
          // before Linux 5.19 there is no record of the peak
          peakBytes: readNumber(at, existsSync(join(at, 'memory.peak')) ? 'memory.peak' : 'memory.current'),
          oomKills: readField(at, 'memory.events', 'oom_kill'),
        }),
        kill: () => killUntilEmpty(at, () => killAll(at)),
        remove: () => removeDirectory(at),
      }
    },
    remove: () => removeTree(parent, killAll),
  }
}

const CONTROLLERS = ['memory', 'pids', 'cpu', 'cpuacct'] as const
type Controller = (typeof CONTROLLERS)[number]
const CONTROLLERS_V2 = ['memory', 'pids', 'cpu']

/** The directories under which cgroups may be made: the roots that are mounted here, which in a container are its own cgroup */
export type Hierarchy = { version: 1; roots: Record<Controller, string> } | { version: 2; root: string }

/** Pure: `/proc/self/mountinfo` (proc(5)) → the hierarchy to use, or why there is none */
export const locate = (mountinfo: string, controllersAt: (directory: string) => string[]): Hierarchy | { missing: string } => {
  const mounts = mountinfo.split('\n').flatMap((line) => {
    const [left, right] = line.split(' - ')
    const target = left?.split(' ')[4]
    const [type, , options] = right?.split(' ') ?? []
    return target && type ? [{ target, type, options: options?.split(',') ?? [] }] : []
  })
  const unified = mounts.find(({ type }) => type === 'cgroup2')
  if (unified && CONTROLLERS_V2.every((name) => controllersAt(unified.target).includes(name))) return { version: 2, root: unified.target }
  const roots = Object.fromEntries(
    CONTROLLERS.flatMap((name) => {
      const found = mounts.find(({ type, options }) => type === 'cgroup' && options.includes(name))
      return found ? [[name, found.target]] : []
    }),
  ) as Partial<Record<Controller, string>>
  const absent = CONTROLLERS.filter((name) => !roots[name])
  return absent.length === 0
    ? { version: 1, roots: roots as Record<Controller, string> }
    : { missing: `no cgroup controller for ${absent.join(', ')} is mounted` }
}

const controllersAt = (directory: string): string[] => {
  try {
    return readText(directory, 'cgroup.controllers').trim().split(' ')
  } catch (error) {
    if (errnoOf(error) === 'ENOENT') return []
    throw error
  }
}

const handOn = (directory: string): void => write(directory, 'cgroup.subtree_control', CONTROLLERS_V2.map((name) => `+${name}`).join(' '))

/** In version 2 a cgroup that has processes cannot hand controllers on: a container's own move one level down first */
const handOnFromRoot = (root: string): void => {
  try {
    handOn(root)
  } catch (error) {
    if (errnoOf(error) !== 'EBUSY') throw error
    const service = join(root, 'codeapi-service')
    mkdirSync(service, { recursive: true })
    for (const pid of processesIn(root)) write(service, 'cgroup.procs', pid)
    handOn(root)
  }
}

/** Makes the parent of one worker's cgroups, or says why it cannot be made here */
export const openCgroups = (name: string): CgroupParent | { missing: string } => {
  const hierarchy = locate(readFileSync('/proc/self/mountinfo', 'utf8'), controllersAt)
  if ('missing' in hierarchy) return hierarchy
  try {
    if (hierarchy.version === 1) {
      const parents = Object.fromEntries(
        Object.entries(hierarchy.roots).map(([controller, root]) => [controller, join(root, 'codeapi', name)]),
      ) as Record<Controller, string>
      for (const parent of Object.values(parents)) mkdirSync(parent, { recursive: true })
      return versionOne(parents)
    }
    const parent = join(hierarchy.root, 'codeapi', name)
    handOnFromRoot(hierarchy.root)
    mkdirSync(parent, { recursive: true })
    handOn(join(hierarchy.root, 'codeapi'))
    handOn(parent)
    return versionTwo(parent)
  } catch (error) {
    return { missing: `cannot make cgroups: ${messageOf(error)}` }
  }
}
