import { readdirSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { type CgroupParent, openCgroups } from '../cgroup.ts'
import { type Instance, leaseInstance, MAX_JAILS } from '../identity.ts'
import type { Jail } from '../jail.ts'
import { unmount } from '../syscalls.ts'
import { type Binaries, JailError, openCell } from './cell.ts'

export type NsjailOptions = {
  readonly binaries: Binaries
  /** For everything that lives as long as a jail. Its parents must be open to all (mode 0755): nsjail mounts as the job's user */
  readonly runDirectory: string
}

/** Prepares this process to open jails: takes an instance of the machine, removes what dead ones left */
export const openNsjail = async ({ binaries, runDirectory }: NsjailOptions): Promise<Jail> => {
  await using undo = new AsyncDisposableStack()
  const instance = undo.use(await leaseInstance(runDirectory, sweep))
  undo.defer(() => rmSync(instance.directory, { recursive: true, force: true }))
  const cgroups = openCgroups(instance.name)
  const parent: CgroupParent | null = 'missing' in cgroups ? null : cgroups
  if (parent) undo.defer(() => parent.remove())

  const free = Array.from({ length: MAX_JAILS }, (_, index) => index)
  const owned = undo.move()
  let serial = 0
  return {
    name: 'nsjail',
    weaknesses:
      'missing' in cgroups ? [`memory, processes and CPU are limited only for each process, not for the job: ${cgroups.missing}`] : [],
    open: async (root, limits) => {
      const slot = free.shift()
      if (slot === undefined) throw new JailError(`Cannot open a jail: ${MAX_JAILS} are open already`)
      const name = `jail-${slot}-${serial++}`
      return openCell({
        binaries,
        root,
        uid: instance.uid(slot),
        place: join(instance.directory, name),
        cgroup: parent?.create(name) ?? null,
        limits,
        onClose: () => free.push(slot),
      })
    },
    [Symbol.asyncDispose]: () => owned.disposeAsync(),
  }
}

/** Removes what a dead worker left under its name; its jails died with it */
const sweep = async (left: Instance): Promise<void> => {
  const cgroups = openCgroups(left.name)
  if (!('missing' in cgroups)) await cgroups.remove()
  for (const entry of readdirSync(left.directory)) unmount(join(left.directory, entry))
  rmSync(left.directory, { recursive: true, force: true })
}
