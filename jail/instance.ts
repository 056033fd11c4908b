import { closeSync, existsSync, mkdirSync, openSync, readdirSync, rmSync, statSync } from 'node:fs'
import { join } from 'node:path'
import { SetupError } from '../errors.ts'
import { openCgroups } from './cgroup/cgroup.ts'
import { tryLock, unmount } from './syscalls.ts'

export const FIRST_UID = 200_000
const MAX_INSTANCES = 64
/** Jails that one instance may have open at once */
export const MAX_JAILS = 256

/** What a worker process owns on its machine while it lives: a directory, a name for its cgroups, a range of user ids */
export type Instance = Disposable & {
  readonly name: string
  /** Name of its cgroups: unlike that of a worker whose locks lie in another directory, as in another container of this machine */
  readonly cgroup: string
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
  const directory = join(runDirectory, name)
  const { dev, ino } = statSync(runDirectory)
  return {
    name,
    cgroup: `${name}-${dev}-${ino}`,
    directory,
    uid: (slot) => FIRST_UID + index * MAX_JAILS + slot,
    [Symbol.dispose]: () => {
      rmSync(directory, { recursive: true, force: true })
      closeSync(descriptor)
    },
  }
}

/** Takes the first instance that no living process of this machine has, and removes what dead ones left */
export const leaseInstance = async (runDirectory: string): Promise<Instance> => {
  mkdirSync(runDirectory, { recursive: true, mode: 0o755 })
  let leased: Instance | null = null
  for (let index = 0; index < MAX_INSTANCES; index++) {
    const isLeft = existsSync(join(runDirectory, nameOf(index)))
    if (leased && !isLeft) continue
    const descriptor = lock(join(runDirectory, `${nameOf(index)}.lock`))
    if (descriptor === null) continue
    const free = instanceOf(runDirectory, index, descriptor)
    if (isLeft) await sweep(free)
    if (leased) closeSync(descriptor)
    else leased = free
  }
  if (!leased)
    throw new SetupError(`Cannot start: ${MAX_INSTANCES} workers already run on this machine, found by the locks in ${runDirectory}`)
  mkdirSync(leased.directory, { mode: 0o755 })
  return leased
}

/** The lock of a directory goes with its process: where it is free, the process is dead, and its jails died with it */
const sweep = async ({ cgroup, directory }: Instance): Promise<void> => {
  const cgroups = openCgroups(cgroup)
  if (!('missing' in cgroups)) await cgroups.remove()
  for (const entry of readdirSync(directory)) unmount(join(directory, entry))
  rmSync(directory, { recursive: true, force: true })
}
