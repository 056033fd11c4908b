import { dlopen, FFIType } from 'bun:ffi'
import { closeSync, mkdirSync, openSync } from 'node:fs'
import { dirname } from 'node:path'
import { messageOf, SetupError } from '../errors.ts'

const LOCK_EX = 2
const LOCK_NB = 4
const POLL_MS = 200

/**
 * Waits until this process alone holds the lock. It is the kernel's (flock(2)), so it goes with the process, however that dies;
 * on a network volume it needs NFSv4, SMB or CephFS, which forward it.
 */
export const holdLock = async (path: string, onWait: () => void, signal?: AbortSignal): Promise<Disposable> => {
  const fd = openLock(path)
  const { symbols, close } = dlopen('libc.so.6', { flock: { args: [FFIType.i32, FFIType.i32], returns: FFIType.i32 } })
  try {
    for (let tries = 0; symbols.flock(fd, LOCK_EX | LOCK_NB) !== 0; tries++) {
      if (tries === 0) onWait()
      await Bun.sleep(POLL_MS)
      signal?.throwIfAborted()
    }
  } catch (error) {
    closeSync(fd)
    throw error
  } finally {
    close()
  }
  return { [Symbol.dispose]: () => closeSync(fd) }
}

const openLock = (path: string): number => {
  try {
    mkdirSync(dirname(path), { recursive: true })
    return openSync(path, 'a') // closed on exec, so no child keeps the lock
  } catch (cause) {
    throw new SetupError(`Cannot write ${path}: ${messageOf(cause)}. Make the directory writable, or name another one`, { cause })
  }
}
