import { copyFile, mkdir, rename } from 'node:fs/promises'
import { join } from 'node:path'
import { run } from '../command.ts'
import type { Profile } from '../contract.ts'
import { discard } from '../disk.ts'
import type { Recipe } from '../recipe.ts'
import { sourceText } from './source.ts'

const LOCKS = join(import.meta.dir, '../lock/js')
const FILES = ['package.json', 'bun.lock']

/** JavaScript libraries, for Node and Bun alike */
export const js = async (profile: Profile): Promise<Recipe> => {
  const lock = join(LOCKS, profile)
  const { dependencies } = (await Bun.file(join(lock, 'package.json')).json()) as { dependencies: Record<string, string> }
  const libraries = Object.entries(dependencies).map(([name, version]) => ({ name, version }))
  return {
    name: 'js',
    inputs: [
      ...(await Promise.all(FILES.map((file) => sourceText(lock, file)))),
      await sourceText(import.meta.dir, 'js.ts'),
      await sourceText(import.meta.dir, '../image.ts'),
    ],
    steps: [
      {
        name: 'install',
        title: `installing ${libraries.length} libraries and what they need`,
        async run({ scratch, tree, signal, note, log }) {
          const project = join(scratch, 'project')
          await discard(project)
          await mkdir(project, { recursive: true })
          for (const file of FILES) await copyFile(join(lock, file), join(project, file))
          await run({
            // the Bun that runs this; no script of a library runs, here or ever
            argv: [
              process.execPath,
              'install',
              '--frozen-lockfile',
              '--ignore-scripts',
              '--production',
              '--linker=hoisted',
              '--backend=copyfile',
              '--no-progress',
            ],
            cwd: project,
            env: { BUN_INSTALL_CACHE_DIR: join(scratch, 'cache'), HOME: scratch },
            log,
            signal,
            onLine: note,
          })
          await run({ argv: ['chmod', '-R', 'a+rX,go-w', project], log, signal })
          await discard(tree)
          await mkdir(tree, { recursive: true })
          await rename(join(project, 'node_modules'), join(tree, 'node_modules'))
        },
      },
    ],
    describe: async () => ({
      version: new Bun.CryptoHasher('sha256')
        .update(await sourceText(lock, 'bun.lock'))
        .digest('hex')
        .slice(0, 12),
      mountPoint: '/opt/js',
      languages: ['javascript', 'typescript', 'node'],
      commands: {},
      environment: { NODE_PATH: '/opt/js/node_modules' },
      libraries,
    }),
  }
}
