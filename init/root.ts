import { type Command, run } from './command.ts'

export type Bind = { from: string; to: string; writable?: boolean }

/**
 * Runs a command with `root` as its root, with private /proc, /dev/shm and /tmp, as the program will one day run in a jail. The root itself is
 * read-only unless `writable`. All mounts are the command's own and end with it.
 */
export const runInRoot = async (
  {
    root,
    binds = [],
    writable = false,
    argv,
    env = {},
  }: { root: string; binds?: readonly Bind[]; writable?: boolean; argv: readonly string[]; env?: Record<string, string> },
  how: Omit<Command, 'argv' | 'contained' | 'env' | 'cwd'>,
): Promise<void> => {
  const lines = [
    'set -e',
    'root=$1; shift',
    'mount --rbind "$root" "$root"', // with the packages that may be mounted in it
    ...(writable ? [] : ['mount -o remount,bind,ro "$root"']),
    'mount -t proc proc "$root/proc"',
    'mount -t tmpfs -o mode=1777 tmpfs "$root/tmp"',
    'mount -t tmpfs -o mode=1777 tmpfs "$root/dev/shm"', // multiprocessing's semaphores
    'mkdir -p "$root/tmp/home"',
  ]
  for (const { from, to, writable: mayWrite } of binds) {
    // a place under /tmp is made here; everywhere else the root must have it
    if (to.startsWith('/tmp/'))
      lines.push(`if [ -d ${quote(from)} ]; then mkdir -p "$root"${quote(to)}; else touch "$root"${quote(to)}; fi`)
    lines.push(`mount --bind ${quote(from)} "$root"${quote(to)}`)
    if (!mayWrite) lines.push(`mount -o remount,bind,ro "$root"${quote(to)}`)
  }
  lines.push(`exec chroot "$root" /usr/bin/env PATH=/usr/local/bin:/usr/bin:/bin HOME=${quote(env.HOME ?? '/tmp/home')} "$@"`)
  await run({
    ...how,
    contained: true,
    argv: ['sh', '-c', lines.join('\n'), 'in-root', root, ...argv],
    env,
  })
}

const quote = (text: string): string => `'${text.replaceAll("'", `'\\''`)}'`
