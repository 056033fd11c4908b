import { chmod, mkdir, readdir, rename, rm, stat } from 'node:fs/promises'
import { join } from 'node:path'
import { run } from '../command.ts'
import { discard } from '../disk.ts'
import type { Workshop } from '../recipe.ts'

export type Mirrors = { debian: string; security: string }

/** Nobody reads these in a jail, and dpkg need not even unpack them */
const NOT_UNPACKED = [
  '/usr/share/doc/*',
  '/usr/share/info/*',
  '/usr/share/javascript/*',
  '/usr/share/locale/*',
  '/usr/share/man/*',
  '/usr/share/lintian/*',
  // tables for Ghostscript and fonts for web pages, in the place of fonts
  '/usr/share/fonts/c[mM]ap*',
  '/usr/share/fonts/*/mathjax*',
  // drivers behind libGL, which libraries only link to: there is no screen, and LLVM alone is 130 MB
  '/usr/lib/*/dri/*',
  '/usr/lib/*/libGLX_mesa*',
  '/usr/lib/*/libLLVM*',
  '/usr/lib/*/libgallium*',
  '/usr/lib/*/libz3*',
]
const NOTE_EVERY_MS = 1_000

/** Unpacks and configures Debian packages into `tree`; apt verifies them by Debian's own signatures */
export const debootstrap = async (at: Workshop, suite: string, packages: readonly string[], mirrors: Mirrors): Promise<void> => {
  const unfinished = join(at.scratch, 'debian.tmp')
  await discard(unfinished)
  await discard(at.tree)
  await mkdir(at.scratch, { recursive: true })
  await chmod(at.scratch, 0o755) // apt's own user must reach what is below

  let phase = 'starting'
  const stopNotes = noteUnpacked(join(unfinished, 'var/lib/dpkg/info'), (count) => at.note(`${phase}, ${count} packages unpacked`))
  try {
    await run({
      contained: true,
      argv: [
        'mmdebstrap',
        '--mode=root',
        '--format=directory',
        '--variant=essential',
        '--keyring=/usr/share/keyrings/debian-archive-keyring.gpg',
        ...NOT_UNPACKED.map((pattern) => `--dpkgopt=path-exclude=${pattern}`),
        '--dpkgopt=force-unsafe-io', // a crash only costs us another build
        '--aptopt=Acquire::Languages "none"',
        '--aptopt=Acquire::Retries "3"',
        '--aptopt=APT::Install-Recommends "false"',
        `--include=${packages.join(',')}`,
        suite,
        unfinished,
        `deb ${mirrors.debian} ${suite} main`,
        `deb ${mirrors.debian} ${suite}-updates main`,
        `deb ${mirrors.security} ${suite}-security main`,
      ],
      env: { DEBIAN_FRONTEND: 'noninteractive', TMPDIR: at.scratch },
      onLine: (line) => {
        // `I: downloading packages with apt...`
        phase = /^I: (.+?)\.*$/.exec(line)?.[1] ?? phase
      },
      log: at.log,
      signal: at.signal,
    })
  } finally {
    stopNotes()
  }
  await Bun.write(
    join(at.scratch, 'packages.json'),
    JSON.stringify(installed(await Bun.file(join(unfinished, 'var/lib/dpkg/status')).text())),
  )
  await rename(unfinished, at.tree)
}

/** Name and version of each package in dpkg's status file */
export const installed = (status: string): { name: string; version: string }[] =>
  status
    .split('\n\n')
    .map((paragraph) => ({
      name: /^Package: (.+)$/m.exec(paragraph)?.[1] ?? '',
      version: /^Version: (.+)$/m.exec(paragraph)?.[1] ?? '',
    }))
    .filter(({ name, version }) => name && version)

/** dpkg writes one .list per package that it has unpacked */
const noteUnpacked = (directory: string, note: (count: number) => void): (() => void) => {
  const timer = setInterval(async () => {
    const names = await readdir(directory).catch(() => [])
    note(names.filter((name) => name.endsWith('.list')).length)
  }, NOTE_EVERY_MS)
  return () => clearInterval(timer)
}

/** Takes files and directories out of a tree; `*` stands for any name in that place */
export const removeFrom = async (tree: string, patterns: readonly string[]): Promise<void> => {
  for (const pattern of patterns) {
    const places = pattern.includes('*')
      ? new Bun.Glob(pattern.slice(1)).scan({ cwd: tree, dot: true, onlyFiles: false })
      : [pattern.slice(1)]
    for await (const place of places) await rm(join(tree, place), { recursive: true, force: true })
  }
}

/** A script of a language that is not in the jail is only a puzzling error message */
export const removeScriptsOf = async (interpreter: string, directory: string): Promise<void> => {
  for (const name of await readdir(directory)) {
    const path = join(directory, name)
    const file = await stat(path).catch(() => null)
    if (!file?.isFile()) continue
    const start = await Bun.file(path).slice(0, 100).text()
    if (start.startsWith('#!') && start.split('\n', 1)[0]?.includes(interpreter)) await rm(path)
  }
}
