import { dlopen, ptr, read } from 'bun:ffi'
import { getSystemErrorName } from 'node:util'

// System calls that neither Bun nor node:fs offers, and that would cost a process each (2 ms of CPU for mount(8)).
// Each takes integers, and C strings or a pair of integers that outlive the call, so no memory of ours can be misread.
const { symbols: libc } = dlopen('libc.so.6', {
  mount: { args: ['cstring', 'cstring', 'cstring', 'u64', 'cstring'], returns: 'i32' },
  umount2: { args: ['cstring', 'i32'], returns: 'i32' },
  flock: { args: ['i32', 'i32'], returns: 'i32' },
  pipe2: { args: ['ptr', 'i32'], returns: 'i32' },
  socketpair: { args: ['i32', 'i32', 'i32', 'ptr'], returns: 'i32' },
  fcntl: { args: ['i32', 'i32', 'i32'], returns: 'i32' },
  __errno_location: { args: [], returns: 'ptr' },
})

/** A failed system call; `code` as in Node, such as `EPERM` */
export class SyscallError extends Error {
  readonly code: string
  constructor(call: string, code: string) {
    super(`${call}: ${code}`)
    this.name = 'SyscallError'
    this.code = code
  }
}

const errno = (): string => {
  const location = libc.__errno_location()
  return location ? getSystemErrorName(-read.i32(location)) : 'unknown error'
}

const c = (text: string): Buffer => Buffer.from(`${text}\0`)

export const MountFlag = { readOnly: 1n, noSuid: 2n, noDev: 4n, noExec: 8n, remount: 32n, bind: 4096n, recursive: 16_384n } as const
const DETACH = 2

/** mount(2) */
export const mount = (source: string, target: string, type: string, flags: bigint, options = ''): void => {
  if (libc.mount(c(source), c(target), c(type), flags, c(options)) !== 0) throw new SyscallError(`mount ${type} on ${target}`, errno())
}

/** umount2(2) with MNT_DETACH: gone from the tree at once, freed with its last user. What is no mount is left alone */
export const unmount = (target: string): void => {
  if (libc.umount2(c(target), DETACH) === 0) return
  const code = errno()
  if (code !== 'EINVAL' && code !== 'ENOENT') throw new SyscallError(`umount ${target}`, code)
}

const LOCK = { exclusive: 2, nonBlocking: 4 } as const

/** flock(2) without waiting: the lock lives as long as the descriptor, so the kernel frees a dead process's locks */
export const tryLock = (descriptor: number): boolean => {
  if (libc.flock(descriptor, LOCK.exclusive | LOCK.nonBlocking) === 0) return true
  const code = errno()
  if (code === 'EAGAIN' || code === 'EWOULDBLOCK') return false
  throw new SyscallError('flock', code)
}

const CLOSE_ON_EXEC = 0o2000000
const NON_BLOCKING = 0o4000
const F_SETFL = 4
const AF_UNIX = 1
const SOCK_STREAM = 1

const pairOf = (call: string, fill: (pair: Int32Array) => number): { ours: number; theirs: number } => {
  const pair = new Int32Array(2)
  if (fill(pair) !== 0) throw new SyscallError(call, errno())
  const [ours, theirs] = pair as unknown as [number, number]
  // ours is read by Bun's event loop
  libc.fcntl(ours, F_SETFL, NON_BLOCKING)
  return { ours, theirs }
}

/** pipe2(2): `ours` reads what is written to `theirs`. Bun's own pipes are sockets, on which a program cannot open `/dev/stdout` */
export const openPipe = () => pairOf('pipe2', (pair) => libc.pipe2(ptr(pair), CLOSE_ON_EXEC))

/** socketpair(2), a stream in both directions */
export const openSocketPair = () => pairOf('socketpair', (pair) => libc.socketpair(AF_UNIX, SOCK_STREAM | CLOSE_ON_EXEC, 0, ptr(pair)))
