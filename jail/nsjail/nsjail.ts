import { join } from 'node:path'
import { openCgroups } from '../cgroup/cgroup.ts'
import { type Instance, MAX_JAILS } from '../instance.ts'
import type { Jail } from '../jail.ts'
import { openUnmounter } from '../unmount.ts'
import { type Binaries, JailError, openCell } from './cell.ts'

export type NsjailOptions = { readonly binaries: Binaries; readonly instance: Instance }

/** Prepares this process to open jails under its instance's name */
export const openNsjail = ({ binaries, instance }: NsjailOptions): Jail => {
  const cgroups = openCgroups(instance.cgroup)
  const parent = 'missing' in cgroups ? null : cgroups
  const unmounter = openUnmounter()
  const free = Array.from({ length: MAX_JAILS }, (_, index) => index)
  let serial = 0
  return {
    name: 'nsjail',
    weaknesses: 'missing' in cgroups ? [`memory, processes and CPU are limited for each process, not for the job: ${cgroups.missing}`] : [],
    open: async (root, limits) => {
      const slot = free.shift()
      if (slot === undefined) throw new JailError(`Cannot open a jail: ${MAX_JAILS} are open already`)
      using undo = new DisposableStack()
      undo.defer(() => free.push(slot))
      const name = `jail-${slot}-${serial++}`
      const cgroup = parent?.create(name) ?? null
      const giveBack = undo.move()
      return openCell({
        binaries,
        root,
        uid: instance.uid(slot),
        place: join(instance.directory, name),
        cgroup,
        unmounter,
        limits,
        onClose: () => giveBack.dispose(),
      })
    },
    [Symbol.asyncDispose]: async () => {
      unmounter[Symbol.dispose]()
      await parent?.remove()
    },
  }
}
