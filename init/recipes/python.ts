import { existsSync } from 'node:fs'
import { copyFile, mkdir, readdir, rm } from 'node:fs/promises'
import { basename, join } from 'node:path'
import { inherited } from '../command.ts'
import type { Profile } from '../contract.ts'
import { discard } from '../disk.ts'
import debian from '../lock/debian.json'
import { keyOf } from '../plan.ts'
import type { Recipe, Workshop } from '../recipe.ts'
import { type Bind, runInRoot } from '../root.ts'
import { architecture } from '../tools.ts'
import { PYTHON_LIBRARIES } from './content.ts'
import { sourceText } from './source.ts'

const PLOT_DATA = `${PYTHON_LIBRARIES}/codeapi-matplotlib`
const OURS = join(import.meta.dir, '../python')
const OUR_MODULES = ['sitecustomize.py', 'matplotlib_codeapi.py']
/** Files in the syntax of another Python, which nothing imports here: a regular expression */
const OTHER_PYTHONS = '/olefile/olefile2[.]py$'
const UV_CACHE = 'uv-cache'
const LOCKS = join(import.meta.dir, '../lock/python')

/** How this machine finds other hosts */
const RESOLVING = ['/etc/resolv.conf', '/etc/hosts', '/etc/nsswitch.conf']

/** Python's libraries, ready to import: compiled, with the list of fonts, and with our hook for plots */
export const python = async (profile: Profile, base: Recipe, uv: () => Promise<string>): Promise<Recipe> => {
  const lock = await Bun.file(join(LOCKS, `${profile}.txt`)).text()
  const pins = [...lock.matchAll(/^([a-z0-9.-]+)==(\S+)/gm)].map(([, name = '', version = '']) => ({ name, version }))
  return {
    name: 'python',
    inputs: [
      lock,
      // its interpreter compiles the bytecode, its fonts are listed
      keyOf(base, architecture()),
      ...(await Promise.all([...OUR_MODULES, 'matplotlibrc', 'build_font_list.py'].map((file) => sourceText(OURS, file)))),
      await sourceText(import.meta.dir, 'python.ts'),
      await sourceText(import.meta.dir, '../image.ts'),
    ],
    steps: [
      {
        name: 'install',
        title: `installing ${pins.length} libraries`,
        needs: ['base/finish'],
        run: async (at) => install(at, await uv(), join(LOCKS, `${profile}.txt`)),
      },
      { name: 'compile', title: 'compiling bytecode', needs: ['base/finish'], run: compile },
      { name: 'plots', title: 'listing fonts for matplotlib', needs: ['base/finish'], run: preparePlots },
    ],
    describe: async () => ({
      version: `${debian.python}-${new Bun.CryptoHasher('sha256').update(lock).digest('hex').slice(0, 12)}`,
      mountPoint: PYTHON_LIBRARIES,
      languages: ['python'],
      commands: { python3: '/usr/bin/python3' },
      environment: {
        MPLBACKEND: 'Agg',
        MPLCONFIGDIR: '/tmp/matplotlib',
        MATPLOTLIBRC: `${PLOT_DATA}/matplotlibrc`,
        PYTHONDONTWRITEBYTECODE: '1',
        // one CPU's worth of threads: more of them only fight over a jail's share of the CPU, and count against its pids
        OPENBLAS_NUM_THREADS: '1',
        OMP_NUM_THREADS: '1',
        MKL_NUM_THREADS: '1',
        NUMEXPR_MAX_THREADS: '1',
      },
      libraries: pins,
    }),
  }
}

/**
 * uv asks the Python that it installs for, so it runs where that one is; it is given the network's configuration, which the base has not.
 * Its cache lies beside the tree, so that it can link instead of copying two gigabytes.
 */
const install = async (at: Workshop, uv: string, lock: string): Promise<void> => {
  await discard(at.tree)
  await mkdir(at.tree, { recursive: true })
  const place = '/tmp/scratch'
  await runInRoot(
    {
      root: await at.treeOf('base'),
      binds: [
        { from: at.scratch, to: place, writable: true },
        { from: uv, to: '/tmp/uv' },
        { from: lock, to: '/tmp/lock.txt' },
        { from: inherited().SSL_CERT_FILE ?? '/etc/ssl/certs/ca-certificates.crt', to: '/tmp/certificates' },
        // a small machine need not have all of them
        ...RESOLVING.filter((path) => existsSync(path)).map((path) => ({ from: path, to: path })),
      ],
      argv: [
        ...[
          '/tmp/uv',
          'pip',
          'install',
          '--no-config',
          '--require-hashes',
          '--no-deps',
          '--only-binary',
          ':all:',
          '--requirement',
          '/tmp/lock.txt',
        ],
        ...['--python', '/usr/bin/python3', '--target', join(place, basename(at.tree)), '--link-mode', 'hardlink'],
      ],
      env: { UV_CACHE_DIR: join(place, UV_CACHE), SSL_CERT_FILE: '/tmp/certificates', UV_PYTHON_DOWNLOADS: 'never' },
    },
    { log: at.log, signal: at.signal, onLine: at.note },
  )
  await discard(join(at.scratch, UV_CACHE))
  // A .pth file may hold code that every start of Python runs: setuptools' does. And what a library brings for other systems' shells is not for here
  for (const name of await readdir(at.tree)) if (name.endsWith('.pth')) await rm(join(at.tree, name))
  for (const name of OUR_MODULES) await copyFile(join(OURS, name), join(at.tree, name))
}

/** Unchecked: the files are read-only, so Python need not compare times (which the image changes) at each import */
const compile = (at: Workshop): Promise<void> => {
  let compiled = 0
  return inBase(
    at,
    ['python3', '-m', 'compileall', '-f', '-j0', '-x', OTHER_PYTHONS, '--invalidation-mode=unchecked-hash', PYTHON_LIBRARIES],
    [],
    (line) => {
      if (line.startsWith('Compiling')) at.note(`${++compiled} files`)
    },
  )
}

const preparePlots = async (at: Workshop): Promise<void> => {
  await discard(join(at.tree, 'codeapi-matplotlib'))
  await mkdir(join(at.tree, 'codeapi-matplotlib'), { recursive: true })
  await copyFile(join(OURS, 'matplotlibrc'), join(at.tree, 'codeapi-matplotlib/matplotlibrc'))
  await inBase(at, ['python3', '/tmp/ours/build_font_list.py', PLOT_DATA], [{ from: OURS, to: '/tmp/ours' }])
}

/** Runs a command where these libraries are the base's */
const inBase = async (
  at: Workshop,
  argv: readonly string[],
  binds: readonly Bind[] = [],
  onLine: (line: string) => void = at.note,
): Promise<void> =>
  runInRoot(
    {
      root: await at.treeOf('base'),
      binds: [{ from: at.tree, to: PYTHON_LIBRARIES, writable: true }, ...binds],
      argv,
      env: { LC_ALL: 'C.UTF-8', PYTHONDONTWRITEBYTECODE: '1' },
    },
    { log: at.log, signal: at.signal, onLine },
  )
