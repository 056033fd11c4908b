/** Has the kernel send a signal to a child when this process dies, however it dies: setpriv(1) */
export const dyingWithUs = (signal: 'TERM' | 'KILL', command: readonly string[]): string[] => ['setpriv', '--pdeathsig', signal, ...command]

/** A command in a process and mount namespace of its own: when it ends, or is killed, nothing of what it started or mounted is left */
export const enclosed = (command: readonly string[]): string[] => [
  'unshare',
  '--pid',
  '--fork',
  '--kill-child',
  '--mount',
  '--mount-proc',
  '--propagation',
  'private',
  ...command,
]

/** A command in a mount namespace of its own: its mounts go with its last process */
export const withOwnMounts = (command: readonly string[]): string[] => ['unshare', '--mount', '--propagation', 'private', ...command]
