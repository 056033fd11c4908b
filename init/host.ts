import { chmod, rename, rm, stat, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { errnoOf, SetupError } from '../errors.ts'
import { run } from './command.ts'
import { fetchTools, type Say, type Tools } from './tools.ts'

/** What the work at hand needs of the machine: to build packages, to run everything on it, to test that */
export type Need = 'build' | 'run' | 'test'

type HostPackage = { name: string; needs: readonly Need[] /** Any of these shows that it is installed */; shows: readonly string[] }

const program = (name: string) => [`/usr/bin/${name}`, `/usr/sbin/${name}`, `/bin/${name}`, `/sbin/${name}`, `/usr/local/bin/${name}`]
const library = (name: string) => ['x86_64', 'aarch64'].map((machine) => `/usr/lib/${machine}-linux-gnu/${name}`)

const HOST_PACKAGES: readonly HostPackage[] = [
  { name: 'ca-certificates', needs: ['build', 'run'], shows: ['/etc/ssl/certs/ca-certificates.crt'] },
  { name: 'debian-archive-keyring', needs: ['build'], shows: ['/usr/share/keyrings/debian-archive-keyring.gpg'] },
  { name: 'erofs-utils', needs: ['build', 'run'], shows: program('mkfs.erofs') },
  { name: 'mmdebstrap', needs: ['build'], shows: program('mmdebstrap') },
  { name: 'mount', needs: ['build', 'run'], shows: program('mount') },
  { name: 'util-linux', needs: ['build', 'run'], shows: program('setpriv') },
  // compiles our own programs that must run in any root
  { name: 'gcc', needs: ['run'], shows: program('gcc') },
  { name: 'libc6-dev', needs: ['run'], shows: library('libc.a') },
  // nsjail is written in C++
  { name: 'libstdc++6', needs: ['run'], shows: library('libstdc++.so.6') },
  { name: 'redis-server', needs: ['run'], shows: program('redis-server') },
  // runs the S3 server of the tests
  { name: 'python3', needs: ['test'], shows: program('python3') },
]

/** Debian packages that this machine lacks; looks at files, since asking dpkg takes longer than all else at a start */
export const missingHostPackages = async (forWhat: readonly Need[]): Promise<string[]> => {
  const wanted = HOST_PACKAGES.filter(({ needs }) => forWhat.some((need) => needs.includes(need)))
  const there = await Promise.all(wanted.map(({ shows }) => Promise.all(shows.map(exists)).then((found) => found.includes(true))))
  return wanted.filter((_, index) => !there[index]).map(({ name }) => name)
}

/** Installs Debian packages, without starting the services in them */
export const installHostPackages = async (names: readonly string[], logs: string, say: Say): Promise<void> => {
  if (names.length === 0) return
  const command = `apt-get update && apt-get install -y --no-install-recommends ${names.join(' ')}`
  if (!(await isDebian())) {
    throw new SetupError(
      `Cannot install ${names.join(', ')}: this is neither Debian nor Ubuntu. Install them in your system's way, then run this again`,
    )
  }
  if (process.getuid?.() !== 0)
    throw new SetupError(`Cannot install ${names.join(', ')} without root. Type this, then run this again:\n  sudo sh -c '${command}'`)

  const log = join(logs, 'apt.log')
  const apt = async (title: string, ...argv: string[]) => {
    const startedAt = performance.now()
    say(`host: ${title} …`)
    await run({
      argv: ['apt-get', '-o', 'DPkg::Lock::Timeout=120', ...argv],
      env: { DEBIAN_FRONTEND: 'noninteractive' },
      log,
      // to kill dpkg half-way leaves a machine that a person must repair
      mayOutlive: true,
    })
    say(`host: ${title}: ${((performance.now() - startedAt) / 1_000).toFixed(1)} s`)
  }
  await untilDone(say, async () => {
    // without the option a Debian that cannot be reached is only a warning
    await apt('asking Debian for its packages', 'update', '--error-on=any')
    await using _ = await forbidServices()
    await apt(`installing ${names.join(', ')}`, 'install', '-y', '--no-install-recommends', ...names)
  })
}

/** Work that must not be cut off: who asks us to stop meanwhile is told so, and obeyed after it */
const untilDone = async (say: Say, work: () => Promise<void>): Promise<void> => {
  let isAsked = false
  const ask = () => {
    if (!isAsked) say('host: stopping, once apt has finished')
    isAsked = true
  }
  for (const signal of STOPS) process.on(signal, ask)
  try {
    await work()
  } finally {
    for (const signal of STOPS) process.off(signal, ask)
    if (isAsked) process.exit(STOPPED)
  }
}

const STOPS = ['SIGINT', 'SIGTERM', 'SIGHUP'] as const
/** What a shell calls a program that Ctrl-C ended */
const STOPPED = 130

/** Everything that this machine needs, installed where it is missing. Already prepared, it takes some milliseconds */
export const prepareHost = async (dataDir: string, forWhat: readonly Need[], say: Say): Promise<Tools> => {
  await restoreServices()
  await installHostPackages(await missingHostPackages(forWhat), join(dataDir, 'logs'), say)
  return fetchTools(join(dataDir, 'tools'), say)
}

/** Debian asks this program before it starts a service; 101 is "no". We start our own Redis, on our own socket */
const POLICY = '/usr/sbin/policy-rc.d'
const KEPT = `${POLICY}.kept-by-codeapi`
const OURS = '#!/bin/sh\n# written by codeapi while it installs packages\nexit 101\n'

const forbidServices = async (): Promise<AsyncDisposable> => {
  // of a run that was killed: it holds the machine's own already
  if (!(await exists(KEPT))) {
    await rename(POLICY, KEPT).catch((error) => {
      if (errnoOf(error) !== 'ENOENT') throw error
    })
  }
  await writeFile(POLICY, OURS)
  await chmod(POLICY, 0o755) // invoke-rc.d passes over one that it cannot run
  return { [Symbol.asyncDispose]: restoreServices }
}

/** Puts back what was there before us, also after a run that was killed */
const restoreServices = async (): Promise<void> => {
  const isOurs = (await Bun.file(POLICY).exists()) && (await Bun.file(POLICY).text()) === OURS
  if (await exists(KEPT)) await rename(KEPT, POLICY)
  else if (isOurs) await rm(POLICY)
}

const isDebian = async (): Promise<boolean> => {
  const release = await Bun.file('/etc/os-release')
    .text()
    .catch(() => '')
  return /^ID(_LIKE)?=.*\bdebian\b/m.test(release)
}

const exists = async (path: string): Promise<boolean> => (await stat(path).catch(() => null)) !== null
