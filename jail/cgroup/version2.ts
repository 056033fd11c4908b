import { existsSync, mkdirSync } from 'node:fs'
import { join } from 'node:path'
import { errnoOf } from '../../errors.ts'
import type { CgroupParent } from './cgroup.ts'
import { killUntilEmpty, processesIn, readField, readNumber, removeDirectory, removeTree, write } from './directory.ts'
import { CONTROLLERS_V2 } from './locate.ts'

const CPU_PERIOD_US = 100_000

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

export const handOn = (directory: string): void =>
  write(directory, 'cgroup.subtree_control', CONTROLLERS_V2.map((name) => `+${name}`).join(' '))

/** In version 2 a cgroup that has processes cannot hand controllers on: a container's own move one level down first */
export const handOnFromRoot = (root: string): void => {
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
