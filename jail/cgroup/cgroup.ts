import { mkdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { errnoOf, messageOf } from '../../errors.ts'
import type { Limits } from '../limits.ts'
import { readText } from './directory.ts'
import { type Controller, locate } from './locate.ts'
import { versionOne } from './version1.ts'
import { handOn, handOnFromRoot, versionTwo } from './version2.ts'

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

const controllersAt = (directory: string): string[] => {
  try {
    return readText(directory, 'cgroup.controllers').trim().split(' ')
  } catch (error) {
    if (errnoOf(error) === 'ENOENT') return []
    throw error
  }
}
