/**
 * Which system calls a jailed program is refused, and why. Default: allowed. A refused call fails with EPERM, so that a runtime
 * that only probes goes on; `ENOSYS` where a runtime then takes an older call that can be checked.
 */
type Rule = { readonly why: string; readonly calls: readonly string[]; readonly errno?: 'ENOSYS' }

/** A call that Kafel's table does not know by name, by its number: from 424 on that of every architecture, below (166, 317) of x86-64 only */
const numbered = (number: number): string => `SYSCALL[${number}]`

const refused: readonly Rule[] = [
  {
    why: 'memory of other processes',
    calls: [
      'ptrace',
      'process_vm_readv',
      'process_vm_writev',
      'kcmp',
      numbered(438) /* pidfd_getfd */,
      numbered(434) /* pidfd_open */,
      numbered(424) /* pidfd_send_signal */,
    ],
  },
  { why: 'turns address randomisation off', calls: ['personality'] },
  {
    why: 'the kernel itself',
    calls: [
      'kexec_load',
      'kexec_file_load',
      'reboot',
      'init_module',
      'finit_module',
      'delete_module',
      'lookup_dcookie',
      'nfsservctl',
      'uselib',
      'ustat',
      'sysfs',
      'vhangup',
      'syslog',
    ],
  },
  {
    why: 'kernel exploit primitives',
    calls: [
      'bpf',
      'perf_event_open',
      'userfaultfd',
      'add_key',
      'request_key',
      'keyctl',
      numbered(447) /* memfd_secret */,
      'vmsplice',
      numbered(425),
      numbered(426),
      numbered(427) /* io_uring */,
      'io_setup',
      'io_submit',
      'io_destroy',
      'io_getevents',
      'io_cancel',
    ],
  },
  {
    why: 'the mount tree',
    calls: [
      'mount',
      numbered(166) /* umount2 */,
      'pivot_root',
      'chroot',
      numbered(428),
      numbered(429),
      numbered(430),
      numbered(431),
      numbered(432),
      numbered(433),
      numbered(442),
      numbered(467) /* open_tree_attr */,
    ],
  },
  { why: 'disks and accounting of the host', calls: ['swapon', 'swapoff', 'acct', 'quotactl', numbered(443) /* quotactl_fd */] },
  {
    why: 'the packages are the same files for all: these tell which of them other runs open, and when',
    calls: ['inotify_init', 'inotify_init1', 'inotify_add_watch', numbered(451) /* cachestat */],
  },
  { why: 'new namespaces', calls: ['unshare', 'setns'] },
  { why: 'filters under our own', calls: [numbered(317) /* seccomp */] },
  { why: 'the clock', calls: ['settimeofday', 'clock_settime', 'adjtimex', 'clock_adjtime'] },
  { why: 'hardware', calls: ['ioperm', 'iopl', 'modify_ldt'] },
  { why: 'files by handle, past the mount tree', calls: ['name_to_handle_at', 'open_by_handle_at', 'fanotify_init'] },
  { why: 'runs code that is in no file', calls: ['memfd_create'] },
  { why: 'placement of other work in memory', calls: ['migrate_pages', 'move_pages', 'set_mempolicy', 'mbind'] },
  {
    why: 'its flags lie behind a pointer, where a filter cannot look; the C library then calls clone',
    calls: [numbered(435) /* clone3 */],
    errno: 'ENOSYS',
  },
]

/** Refused for some arguments. The kernel reads 32 bits of each of these, so the upper half must not matter */
const conditional: readonly { readonly why: string; readonly rule: string }[] = [
  { why: 'any CLONE_NEW* flag', rule: 'clone(flags) { (flags & 0x7E020080) != 0 }' },
  {
    why: 'only AF_UNIX (1) is left: asyncio and multiprocessing use it between their own processes',
    rule: 'socket(domain) { domain != 1 }, socketpair(domain) { domain != 1 }',
  },
  { why: 'filters under our own (PR_SET_SECCOMP)', rule: 'prctl(option) { (option & 0xFFFFFFFF) == 22 }' },
  {
    why: 'KVM (0xAExx), and typing into a terminal (TIOCSTI, TIOCLINUX)',
    rule: 'ioctl(fd, request) { (request & 0xFF00) == 0xAE00 || (request & 0xFFFFFFFF) == 0x5412 || (request & 0xFFFFFFFF) == 0x541C }',
  },
]

const ERRNO = { EPERM: 1, ENOSYS: 38 } as const

/** The policy in Kafel, the language that nsjail compiles to a filter */
export const kafelPolicy = (): string => {
  const listed = (errno: 'EPERM' | 'ENOSYS') => refused.filter((rule) => (rule.errno ?? 'EPERM') === errno).flatMap((rule) => rule.calls)
  return [
    'POLICY jail {',
    `  ERRNO(${ERRNO.EPERM}) { ${listed('EPERM').join(', ')} },`,
    `  ERRNO(${ERRNO.ENOSYS}) { ${listed('ENOSYS').join(', ')} },`,
    `  ERRNO(${ERRNO.EPERM}) { ${conditional.map(({ rule }) => rule).join(', ')} }`,
    '}',
    'USE jail DEFAULT ALLOW',
  ].join('\n')
}
