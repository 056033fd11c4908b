import { existsSync, mkdirSync, rmdirSync } from 'node:fs'
import { join } from 'node:path'
import type { CgroupParent } from './cgroup.ts'
import { kill, killUntilEmpty, processesIn, readField, readNumber, removeDirectory, removeTree, write } from './directory.ts'
import type { Controller } from './locate.ts'

const CPU_PERIOD_US = 100_000

/** cgroups(7) version 1: one hierarchy for each controller */
export const versionOne = (parents: Readonly<Record<Controller, string>>): CgroupParent => ({
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
