import { mkdir, rm, symlink } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { run } from '../command.ts'
import type { Profile } from '../contract.ts'
import { FILE_TIME_S } from '../image.ts'
import debian from '../lock/debian.json'
import type { Recipe, Workshop } from '../recipe.ts'
import { runInRoot } from '../root.ts'
import { debootstrap, type Mirrors, removeFrom, removeScriptsOf } from './debian.ts'
import { PYTHON_LIBRARIES } from './python.ts'
import { sourceText } from './source.ts'

/** The root of every jail: Debian with the tools and fonts that programs expect, and nothing that manages a system */
export const base = async (profile: Profile, mirrors: Mirrors): Promise<Recipe> => ({
  name: 'base',
  inputs: [
    debian.suite,
    ...debian[profile],
    await sourceText(import.meta.dir, 'base.ts'),
    await sourceText(import.meta.dir, 'debian.ts'),
    await sourceText(import.meta.dir, '../image.ts'),
  ],
  steps: [
    {
      name: 'debian',
      title: `installing Debian ${debian.suite} with ${debian[profile].length} packages and what they need`,
      run: (at) => debootstrap(at, debian.suite, debian[profile], mirrors),
    },
    { name: 'caches', title: 'locale, bytecode and font cache', run: makeCaches },
    { name: 'finish', title: 'removing what manages a system', run: finish },
  ],
  describe: async ({ scratch, tree }) => ({
    version: `${debian.suite}-${(await Bun.file(join(tree, 'etc/debian_version')).text()).trim()}`,
    mountPoint: '/',
    languages: ['bash'],
    commands: { bash: '/bin/bash' },
    environment: { LANG: 'en_US.UTF-8' },
    libraries: await Bun.file(join(scratch, 'packages.json')).json(),
  }),
})

/** What would otherwise be computed in every run, or could not be, since a jail's root is read-only */
const makeCaches = async (at: Workshop): Promise<void> => {
  const inRoot = (...argv: string[]) =>
    runInRoot({ root: at.tree, writable: true, argv, env: { LC_ALL: 'C.UTF-8' } }, { log: at.log, signal: at.signal })
  await inRoot('localedef', '-i', 'en_US', '-f', 'UTF-8', 'en_US.UTF-8')
  // Debian's would hide ours; and "externally managed" would answer a program's `pip install` of what is there already
  await removeFrom(at.tree, [
    `/usr/lib/python${debian.python}/sitecustomize.py`,
    `/usr/lib/python${debian.python}/EXTERNALLY-MANAGED`,
    `/etc/python${debian.python}`,
  ])
  await inRoot('python3', '-m', 'compileall', '-q', '-f', '-j0', '--invalidation-mode=unchecked-hash', `/usr/lib/python${debian.python}`)
  // fontconfig trusts its cache while the directories have the time they had: the one they get in the image
  await inRoot('find', '/usr/share/fonts', '/etc/fonts', '-exec', 'touch', '--no-dereference', `--date=@${FILE_TIME_S}`, '{}', '+')
  await inRoot('fc-cache', '--system-only', '--force')
}

const REMOVED = [
  // package management, and Perl, which Debian needs only for that
  '/usr/bin/apt*',
  '/usr/bin/dpkg*',
  '/usr/bin/deb*',
  '/usr/bin/perl*',
  '/usr/bin/update-alternatives',
  '/usr/bin/ucf*',
  '/usr/bin/deb-systemd*',
  '/usr/lib/apt',
  '/usr/lib/dpkg',
  '/usr/lib/*/perl*',
  '/usr/libexec/dpkg',
  '/usr/share/perl*',
  '/usr/share/debconf',
  '/usr/share/dpkg',
  '/usr/share/keyrings',
  '/etc/apt',
  '/etc/dpkg',
  '/etc/debconf.conf',
  '/var/lib/apt',
  '/var/lib/dpkg',
  '/var/cache/apt',
  '/var/cache/debconf',
  '/var/log',
  '/var/backups',
  // what changes users, namespaces, mounts or roots: of no use without privilege, of some to an attacker who gained any
  ...['chage', 'chfn', 'chsh', 'expiry', 'gpasswd', 'login', 'newgrp', 'newgidmap', 'newuidmap', 'passwd', 'runuser', 'sg', 'su'].map(
    (name) => `/usr/bin/${name}`,
  ),
  ...['chroot', 'fusermount*', 'mount', 'mountpoint', 'nsenter', 'setpriv', 'umount', 'unshare', 'wall', 'mesg', 'lsns'].map(
    (name) => `/usr/bin/${name}`,
  ),
  // the sources of the locale that was compiled, and translations
  '/usr/share/i18n',
  '/usr/share/locale/*',
  '/usr/share/doc',
  '/usr/share/man',
  '/usr/share/info',
  '/usr/share/lintian',
  '/usr/share/bug',
  // the parts of a system that is booted
  ...[
    'alternatives',
    'cron.daily',
    'default',
    'fstab',
    'init.d',
    'issue*',
    'kernel',
    'logrotate.d',
    'machine-id',
    'motd',
    'pam*',
    'rc*.d',
    'security',
    'selinux',
  ]
    .filter((name) => name !== 'alternatives') // links in /usr/bin go through it
    .map((name) => `/etc/${name}`),
  ...['shadow*', 'gshadow*', 'passwd-', 'group-', 'subgid*', 'subuid*', 'systemd', 'sysctl.d', 'update-motd.d'].map(
    (name) => `/etc/${name}`,
  ),
  '/usr/lib/systemd',
  '/usr/lib/init',
  '/usr/lib/udev',
  '/boot',
  '/home/*',
  '/media',
  '/srv',
  '/run/*',
  '/tmp/*',
]

const FILES: Record<string, string> = {
  '/etc/passwd': [
    'root:x:0:0:root:/root:/usr/sbin/nologin',
    'sandbox:x:1000:1000:sandbox:/mnt/data:/bin/bash',
    'nobody:x:65534:65534:nobody:/nonexistent:/usr/sbin/nologin',
    '',
  ].join('\n'),
  '/etc/group': 'root:x:0:\nsandbox:x:1000:\nnogroup:x:65534:\n',
  '/etc/hosts': '127.0.0.1 localhost sandbox\n::1 localhost sandbox\n',
  '/etc/hostname': 'sandbox\n',
  '/etc/resolv.conf': '',
  // without this glibc would ask DNS, and wait for it
  '/etc/nsswitch.conf': ['passwd', 'group', 'shadow', 'hosts', 'networks', 'protocols', 'services', 'ethers', 'rpc']
    .map((what) => `${what}: files\n`)
    .join(''),
  '/etc/timezone': 'Etc/UTC\n',
  // `pip install numpy` then says that it is there, instead of "command not found"
  '/usr/local/bin/pip': '#!/bin/sh\nexec python3 -m pip "$@"\n',
  // chdb writes a stack trace on stderr when it finds neither kind of cgroup
  '/sys/fs/cgroup/memory/memory.stat': 'cache 0\nrss 0\n',
}

/** Other packages, and the jail's own mounts, come here */
const MOUNT_POINTS = ['/proc', '/dev/shm', '/mnt/data', '/run', '/opt/node', '/opt/bun', '/opt/js', PYTHON_LIBRARIES]

const LINKS: Record<string, string> = {
  '/usr/local/bin/node': '/opt/node/bin/node',
  '/usr/local/bin/bun': '/opt/bun/bin/bun',
  '/usr/local/bin/bunx': '/opt/bun/bin/bun',
  '/usr/local/bin/python': '/usr/bin/python3',
  '/usr/local/bin/pip3': 'pip',
  // `import 'lodash'` looks for node_modules from /mnt/data upwards, and does not look at NODE_PATH
  '/node_modules': '/opt/js/node_modules',
  '/etc/localtime': '/usr/share/zoneinfo/Etc/UTC',
  '/var/tmp': '/tmp',
  '/dev/fd': '/proc/self/fd',
  '/dev/stdin': '/proc/self/fd/0',
  '/dev/stdout': '/proc/self/fd/1',
  '/dev/stderr': '/proc/self/fd/2',
}

/** Character devices, by major and minor number */
const DEVICES: Record<string, readonly [string, string]> = {
  null: ['1', '3'],
  zero: ['1', '5'],
  full: ['1', '7'],
  random: ['1', '8'],
  urandom: ['1', '9'],
}

/** Can run again over a tree that it left half done */
const finish = async ({ tree, log, signal }: Workshop): Promise<void> => {
  await removeScriptsOf('perl', join(tree, 'usr/bin'))
  await removeFrom(tree, REMOVED)
  // of /usr/sbin only ldconfig is for programs: Python's ctypes.util.find_library() asks it
  await run({ argv: ['find', join(tree, 'usr/sbin'), '-mindepth', '1', '!', '-name', 'ldconfig', '-delete'], log, signal })
  await removeFrom(tree, ['/dev', '/sys', '/var/tmp', '/var/mail'])
  await run({ argv: ['find', tree, '-xdev', '-perm', '/6000', '-exec', 'chmod', 'a-s', '{}', '+'], log, signal })

  for (const place of MOUNT_POINTS) await mkdir(join(tree, place), { recursive: true })
  await run({ argv: ['chmod', '1777', join(tree, 'tmp'), join(tree, 'dev/shm')], log, signal })
  for (const [path, text] of Object.entries(FILES)) {
    await mkdir(dirname(join(tree, path)), { recursive: true })
    await rm(join(tree, path), { force: true })
    await Bun.write(join(tree, path), text)
  }
  await run({ argv: ['chmod', '755', join(tree, 'usr/local/bin/pip')], log, signal })
  for (const [path, target] of Object.entries(LINKS)) {
    await rm(join(tree, path), { recursive: true, force: true })
    await symlink(target, join(tree, path))
  }
  for (const [name, [major, minor]] of Object.entries(DEVICES)) {
    await rm(join(tree, 'dev', name), { force: true })
    await run({ argv: ['mknod', '--mode=666', join(tree, 'dev', name), 'c', major, minor], log, signal })
  }
}
