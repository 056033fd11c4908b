import { mkdir, rm, symlink } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { run } from '../command.ts'
import type { Profile } from '../contract.ts'
import { FILE_TIME_S } from '../image.ts'
import debian from '../lock/debian.json'
import type { Recipe, Workshop } from '../recipe.ts'
import { runInRoot } from '../root.ts'
import { DEVICES, FILES, LINKS, MOUNT_POINTS, REMOVED, SCRIPTS, SHARED_PLACES } from './content.ts'
import { debootstrap, type Mirrors, removeFrom, removeScriptsOf } from './debian.ts'
import { sourceText } from './source.ts'

/** The root of every jail: Debian with the tools and fonts that programs expect, and nothing that manages a system */
export const base = async (profile: Profile, mirrors: Mirrors): Promise<Recipe> => ({
  name: 'base',
  inputs: [
    debian.suite,
    debian.updated,
    ...debian[profile],
    ...(await Promise.all(['base.ts', 'content.ts', 'debian.ts', '../image.ts'].map((file) => sourceText(import.meta.dir, file)))),
  ],
  steps: [
    {
      name: 'debian',
      title: `installing Debian ${debian.suite} with ${debian[profile].length} packages and what they need`,
      run: (at) => debootstrap(at, debian.suite, debian[profile], mirrors),
    },
    { name: 'caches', title: 'compiling the locale, bytecode and the font cache', run: makeCaches },
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
  await inRoot('python3', '-m', 'compileall', '-q', '-f', '-j0', '--invalidation-mode=unchecked-hash', `/usr/lib/python${debian.python}`)
  // fontconfig trusts its cache while the directories have the time they had: the one they get in the image
  await inRoot(
    'find',
    '/usr/share',
    '/usr/local/share',
    '/etc/fonts',
    '-exec',
    'touch',
    '--no-dereference',
    `--date=@${FILE_TIME_S}`,
    '{}',
    '+',
  )
  await inRoot('fc-cache', '--system-only', '--force')
}

/** Can run again over a tree that it left half done */
const finish = async ({ tree, log, signal }: Workshop): Promise<void> => {
  const onTree = (...argv: string[]) => run({ argv, log, signal })
  await removeScriptsOf('perl', join(tree, 'usr/bin'))
  await removeFrom(tree, REMOVED)
  // of /usr/sbin only ldconfig is for programs: Python's ctypes.util.find_library() asks it
  await onTree('find', join(tree, 'usr/sbin'), '-mindepth', '1', '!', '-name', 'ldconfig', '-delete')
  await onTree('find', tree, '-xdev', '-perm', '/6000', '-exec', 'chmod', 'a-s', '{}', '+')

  for (const place of MOUNT_POINTS) await mkdir(join(tree, place), { recursive: true })
  for (const [path, text] of Object.entries({ ...FILES, ...SCRIPTS })) {
    await mkdir(dirname(join(tree, path)), { recursive: true })
    await rm(join(tree, path), { force: true })
    await Bun.write(join(tree, path), text)
  }
  for (const [path, target] of Object.entries(LINKS)) {
    await rm(join(tree, path), { recursive: true, force: true })
    await symlink(target, join(tree, path))
  }
  for (const [name, [major, minor]] of Object.entries(DEVICES))
    await onTree('mknod', '--mode=666', join(tree, 'dev', name), 'c', major, minor)
  await onTree('chmod', '755', ...Object.keys(SCRIPTS).map((path) => join(tree, path)))
  await onTree('chmod', '1777', ...SHARED_PLACES.map((path) => join(tree, path)))
}
