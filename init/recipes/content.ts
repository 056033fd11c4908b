import debian from '../lock/debian.json'

/** Where Debian's Python looks for libraries that are not Debian's, without a variable or a .pth file */
export const PYTHON_LIBRARIES = `/usr/local/lib/python${debian.python}/dist-packages`

const within = (directory: string, names: string): string[] =>
  names
    .trim()
    .split(/\s+/)
    .map((name) => `${directory}/${name}`)

/** What Debian brings and a jail must not have, or has no use for; `*` stands for any name */
export const REMOVED = [
  // package management, and Perl, which Debian needs only for that
  ...within('/usr/bin', 'apt* deb* dpkg* perl* ucf* update-alternatives'),
  ...within('/usr/lib', 'apt dpkg */perl*'),
  ...within('/usr/share', 'perl* debconf dpkg keyrings'),
  ...within('/etc', 'apt dpkg debconf.conf'),
  ...within('/var/lib', 'apt dpkg'),
  ...within('/var/cache', 'apt debconf ldconfig'),
  '/usr/libexec/dpkg',

  // a dependency of a dependency: GnuPG
  ...within('/etc/alternatives', 'pinentry*'),
  ...within('/usr/bin', 'addgnupghome applygnupgdefaults dirmngr* gpg* kbxutil migrate-pubring* pinentry* watchgnupg'),

  // what changes users, namespaces, mounts or roots: of no use without privilege, of some to an attacker who gained any
  ...within('/usr/bin', 'chage chfn chsh expiry gpasswd login newgrp newgidmap newuidmap passwd sg su'),
  ...within('/usr/bin', 'fusermount* mount mountpoint nsenter runuser setpriv umount unshare'),

  // how a system is booted and logged in to, and how one terminal writes to another
  ...within(
    '/etc',
    'cron.daily default fstab init.d issue* kernel logrotate.d machine-id motd pam* rc*.d rmt security selinux alternatives/rmt*',
  ),
  ...within('/etc', 'shadow* gshadow* passwd- group- subgid* subuid* systemd sysctl.d update-motd.d'),
  ...within('/usr/bin', 'lslogins mesg pidof wall write*'),
  ...within('/usr/lib', 'init systemd udev'),

  // manuals, translations, and the sources of the locale that was compiled
  ...within('/usr/share', 'bug doc i18n info lintian locale/* man'),

  // Debian's sitecustomize hides ours; and "externally managed" is no answer to a program's `pip install` of what is there already
  ...within(`/usr/lib/python${debian.python}`, 'EXTERNALLY-MANAGED sitecustomize.py __pycache__/sitecustomize.*'),
  `/etc/python${debian.python}`,

  // written while installing; a jail mounts its own
  ...within('', 'boot dev home/* media root/* root/.* run/* srv sys tmp/* var/backups var/lock var/log var/mail var/spool var/tmp'),
]

export const FILES: Readonly<Record<string, string>> = {
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
  '/etc/nsswitch.conf': within('', 'passwd group shadow hosts networks protocols services ethers rpc')
    .map((database) => `${database.slice(1)}: files\n`)
    .join(''),
  '/etc/timezone': 'Etc/UTC\n',
  // there is no network: the answer to `pip install` should not take a minute of retries
  '/etc/pip.conf': '[global]\nretries = 0\ndisable-pip-version-check = true\n',
  // chdb writes a stack trace on stderr when it finds neither kind of cgroup
  '/sys/fs/cgroup/memory/memory.stat': 'cache 0\nrss 0\n',
}

export const SCRIPTS: Readonly<Record<string, string>> = {
  // `pip install numpy` then says that it is there, instead of "command not found"
  '/usr/local/bin/pip': '#!/bin/sh\nexec python3 -m pip "$@"\n',
}

/** Other packages, and the jail's own mounts, come here */
export const MOUNT_POINTS = ['/proc', '/dev/shm', '/mnt/data', '/run', '/opt/node', '/opt/bun', '/opt/js', PYTHON_LIBRARIES]

/** Everyone may write here, once the jail has mounted something over it */
export const SHARED_PLACES = ['/tmp', '/dev/shm']

export const LINKS: Readonly<Record<string, string>> = {
  '/usr/local/bin/node': '/opt/node/bin/node',
  '/usr/local/bin/bun': '/opt/bun/bin/bun',
  '/usr/local/bin/bunx': '/opt/bun/bin/bun',
  '/usr/local/bin/python': '/usr/bin/python3',
  '/usr/local/bin/pip3': 'pip',
  // the commands of libraries that a shell script would call
  ...Object.fromEntries(
    ['cairosvg', 'fonttools', 'markitdown', 'pdf2txt.py', 'pdfplumber', 'pyftsubset', 'qr', 'tabulate', 'uv', 'weasyprint'].map((name) => [
      `/usr/local/bin/${name}`,
      `${PYTHON_LIBRARIES}/bin/${name}`,
    ]),
  ),
  // `import 'lodash'` looks for node_modules from /mnt/data upwards, and does not look at NODE_PATH
  '/node_modules': '/opt/js/node_modules',
  '/etc/localtime': '/usr/share/zoneinfo/Etc/UTC',
  '/var/tmp': '/tmp',
  '/dev/fd': '/proc/self/fd',
  '/dev/stdin': '/proc/self/fd/0',
  '/dev/stdout': '/proc/self/fd/1',
  '/dev/stderr': '/proc/self/fd/2',
}

/** Character devices, by major and minor number; no terminal, and nothing that reaches hardware */
export const DEVICES: Readonly<Record<string, readonly [major: string, minor: string]>> = {
  null: ['1', '3'],
  zero: ['1', '5'],
  full: ['1', '7'],
  random: ['1', '8'],
  urandom: ['1', '9'],
}
