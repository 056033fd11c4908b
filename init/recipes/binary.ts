import { mkdir } from 'node:fs/promises'
import { join } from 'node:path'
import { run } from '../command.ts'
import { discard } from '../disk.ts'
import { download } from '../download.ts'
import npm from '../lock/npm.json'
import type { Recipe } from '../recipe.ts'
import { architecture } from '../tools.ts'
import { sourceText } from './source.ts'

const REGISTRY = 'https://registry.npmjs.org'
const MEGABYTE = 1_000_000

/** An interpreter that is one program in an npm tarball */
const fromTarball = async (name: keyof typeof npm, languages: string[], environment: Record<string, string> = {}): Promise<Recipe> => {
  const pin = npm[name]
  const { package: project, integrity } = pin[architecture()]
  const url = `${REGISTRY}/${project}/-/${project.split('/').at(-1)}-${pin.version}.tgz`
  return {
    name,
    inputs: [url, integrity, await sourceText(import.meta.dir, 'binary.ts'), await sourceText(import.meta.dir, '../image.ts')],
    steps: [
      {
        name: 'fetch',
        title: `fetching ${project} ${pin.version}`,
        async run({ scratch, tree, signal, note, log }) {
          const tarball = join(scratch, 'package.tgz')
          await download({ url, to: tarball, integrity, signal, onBytes: (bytes) => note(`${Math.round(bytes / MEGABYTE)} MB`) })
          await discard(tree)
          await mkdir(tree, { recursive: true })
          // only the program: its headers and manuals are of no use in a jail
          await run({
            argv: ['tar', '-xzf', tarball, '-C', tree, '--strip-components=1', '--no-same-owner', `package/bin/${name}`],
            log,
            signal,
          })
          await run({ argv: ['chmod', '-R', 'a+rX,u+w,go-w', tree], log, signal })
        },
      },
    ],
    describe: async () => ({
      version: pin.version,
      mountPoint: `/opt/${name}`,
      languages,
      commands: { [name]: `/opt/${name}/bin/${name}` },
      environment,
      libraries: [],
    }),
  }
}

export const node = () => fromTarball('node', ['node'])
// no cache: it would lie in the workspace, among the program's own files
export const bun = () => fromTarball('bun', ['javascript', 'typescript'], { BUN_RUNTIME_TRANSPILER_CACHE_PATH: '0' })
