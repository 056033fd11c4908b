import { closeSync, existsSync, openSync, renameSync, rmSync } from 'node:fs'
import { MountFlag, mount, SyscallError, unmount } from './syscalls.ts'

// no more flags: the base brings /dev/null and its like, and nsjail could not remount with fewer flags than were set here
const FLAGS = MountFlag.readOnly

/** An image that this machine cannot show */
export class ImageError extends Error {
  override readonly name = 'ImageError'
}

/** How an erofs image can be shown as a directory, the cheapest first */
export type ImageAccess = 'file' | 'loop' | 'unpacked'

/** Shows an image at an existing directory; where the kernel has no erofs it is unpacked beside itself first */
export const showImage = async (image: string, at: string, ways: readonly ImageAccess[] = ['file', 'loop', 'unpacked']): Promise<void> => {
  const reasons: string[] = []
  for (const way of ways) {
    const failure = await attempts[way](image, at)
    if (failure === null) return
    reasons.push(`${way}: ${failure}`)
  }
  throw new ImageError(`Cannot mount ${image}: ${reasons.join('; ')}`)
}

export const hideImage = (at: string): void => unmount(at)

/** Each resolves with `null`, or with why it failed */
const attempts: Readonly<Record<ImageAccess, (image: string, at: string) => Promise<string | null>>> = {
  // since Linux 6.12
  file: async (image, at) => {
    const descriptor = openSync(image, 'r')
    try {
      // programs see a mount's source in /proc/self/mountinfo: this one tells nothing of the host
      return mountFailure(() => mount(`/proc/self/fd/${descriptor}`, at, 'erofs', FLAGS))
    } finally {
      closeSync(descriptor)
    }
  },
  loop: (image, at) => failureOf(['mount', '-t', 'erofs', '-o', 'loop,ro', image, at]),
  unpacked: async (image, at) => {
    const tree = `${image}.tree`
    if (!existsSync(tree)) {
      const part = `${tree}.part`
      rmSync(part, { recursive: true, force: true })
      const failure = await failureOf(['fsck.erofs', `--extract=${part}`, image])
      if (failure) return failure
      renameSync(part, tree)
    }
    return mountFailure(() => {
      mount(tree, at, 'none', MountFlag.bind | MountFlag.recursive)
      mount('none', at, 'none', MountFlag.bind | MountFlag.remount | FLAGS)
    })
  },
}

const mountFailure = (attempt: () => void): string | null => {
  try {
    attempt()
    return null
  } catch (error) {
    if (error instanceof SyscallError) return error.message
    throw error
  }
}

const failureOf = async (command: readonly string[]): Promise<string | null> => {
  const name = command[0] ?? ''
  if (!Bun.which(name)) return `${name} is not installed`
  const child = Bun.spawn([...command], { stdout: 'ignore', stderr: 'pipe' })
  const message = await new Response(child.stderr).text()
  return (await child.exited) === 0 ? null : message.trim() || `${name} failed`
}
