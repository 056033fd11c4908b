import { messageOf, SetupError } from '../errors.ts'

const DISK_FULL = /ENOSPC|EDQUOT|no space left|disk quota|enough free space/i
export const isDiskFull = (error: unknown): boolean => DISK_FULL.test(messageOf(error))

const FIXES: readonly [sign: RegExp, fix: (root: string) => string][] = [
  [
    DISK_FULL,
    (root) => `no space left in ${root}: free some, or let CODEAPI_PACKAGES_DIRECTORY name a larger disk (5 GB while building, 4 GB later)`,
  ],
  [
    /temporary failure resolving|could not resolve|dns error|ENOTFOUND|ECONNREFUSED|network is unreachable|ConnectionRefused/i,
    () => 'the network does not answer: check it, and HTTPS_PROXY if there is a proxy',
  ],
  [/EROFS|read-only file system/i, (root) => `${root} is read-only: mount it writable for init`],
  [
    /unshare failed|must be superuser|EPERM/i,
    () => 'building needs root and CAP_SYS_ADMIN, for mounts: run it as root, in a container with --privileged',
  ],
]

/** The same failure, beginning with what a person can do about it */
export const explain = (error: unknown, root: string): unknown => {
  const text = messageOf(error)
  const fix = FIXES.find(([sign]) => sign.test(text))?.[1]
  return fix
    ? new SetupError(`Cannot build the packages: ${fix(root)}. Packages that are done are kept.\n${text}`, { cause: error })
    : error
}
