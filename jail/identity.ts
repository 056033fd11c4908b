import { closeSync, existsSync, mkdirSync, openSync } from 'node:fs'
import { join } from 'node:path'
import { tryLock } from './syscalls.ts'

const FIRST_UID = 200_000
const MAX_INSTANCES = 64
/** Jails that one instance may have open at once */
export const MAX_JAILS = 256

/** What a worker process owns on its machine while it lives: a directory, a name for its cgroups, a range of user ids */
export type Instance = Disposable & {
  readonly name: string
  readonly directory: string
  /** The user id of the jail in this place, the same for its group */
  uid(slot: number): number
}

const nameOf = (index: number): string => `worker-${index}`

const lock = (path: string): number | null => {
  const descriptor = openSync(path, 'w', 0o600)
  if (tryLock(descriptor)) return descriptor
  closeSync(descriptor)
  return null
}

const instanceOf = (runDirectory: string, index: number, descriptor: number): Instance => {
  const name = nameOf(index)
  return {
    name,
    directory: join(runDirectory, name),
    uid: (slot) => FIRST_UID + index * MAX_JAILS + slot,
    [Symbol.dispose]: () => closeSync(descriptor),
  }
}

/**
 * Takes the first instance that no living process of this machine has. The lock goes with its process, so a directory whose lock is
 * free is left from a dead one: `sweep` is called for it, with the lock held.
 */
export const leaseInstance = async (runDirectory: string, sweep: (left: Instance) => Promise<void>): Promise<Instance> => {
  mkdirSync(runDirectory, { recursive: true, mode: 0o755 })
  let leased: Instance | null = null
  for (let index = 0; index < MAX_INSTANCES; index++) {
    const isLeft = existsSync(join(runDirectory, nameOf(index)))
    if (leased && !isLeft) continue
    const descriptor = lock(join(runDirectory, `${nameOf(index)}.lock`))
    if (descriptor === null) continue
    const free = instanceOf(runDirectory, index, descriptor)
    if (isLeft) await sweep(free)
    if (leased) free[Symbol.dispose]()
    else leased = free
  }
  if (!leased) throw new Error(`Cannot start: ${MAX_INSTANCES} workers already run on this machine, found by the locks in ${runDirectory}`)
  mkdirSync(leased.directory, { mode: 0o755 })
  return leased
}
