import { expect, test } from 'bun:test'
import { dirname, join, normalize, relative } from 'node:path'

/** What a folder may import of others, besides the root's own modules; `jail/cli.ts` and the folders that compose everything are free */
const MAY_IMPORT: Readonly<Record<string, readonly string[]>> = {
  // order.ts bounds a run in the jail's own terms
  '.': ['jail/limits.ts'],
  jail: [],
  init: [],
  files: [],
  toolcall: [],
  worker: ['jail/', 'files/contract.ts', 'files/client.ts', 'init/contract.ts', 'toolcall/contract.ts', 'toolcall/client.ts'],
  api: ['files/contract.ts', 'files/client.ts', 'worker/contract.ts', 'worker/client.ts', 'toolcall/contract.ts', 'toolcall/client.ts'],
}
const COMPOSE = ['dev/', 'test/', 'bench/', 'jail/cli.ts']

const root = join(import.meta.dir, '..')
const transpiler = new Bun.Transpiler({ loader: 'ts' })

/** `importer → imported` for every value import between folders that the picture (design.md §2) does not have */
const strayArrows = async (): Promise<string[]> => {
  const stray: string[] = []
  for await (const file of new Bun.Glob('**/*.ts').scan({ cwd: root })) {
    if (file.includes('node_modules') || file.endsWith('.test.ts') || COMPOSE.some((place) => file.startsWith(place))) continue
    const folder = dirname(file).split('/')[0] ?? '.'
    for (const { path } of transpiler.scanImports(await Bun.file(join(root, file)).text())) {
      if (!path.startsWith('.')) continue
      const imported = relative(root, normalize(join(root, dirname(file), path)))
      const isOwn = imported.startsWith(`${folder}/`) || !imported.includes('/')
      const isAllowed = MAY_IMPORT[folder]?.some((place) => (place.endsWith('/') ? imported.startsWith(place) : imported === place))
      if (!isOwn && !isAllowed) stray.push(`${file} → ${imported}`)
    }
  }
  return stray
}

test('no folder imports what the picture of the services does not show', async () => {
  expect(await strayArrows()).toEqual([])
})

test('only entry points read the environment', async () => {
  const readers: string[] = []
  // command.ts hands a few variables on to the programs that it starts
  for await (const file of new Bun.Glob('**/*.ts').scan({ cwd: root })) {
    if (
      file.includes('node_modules') ||
      file === 'init/command.ts' ||
      /(^|\/)(main|cli|service|log)\.ts$|\.test\.ts$|^(test|bench)\//.test(file)
    )
      continue
    if (/\b(Bun|process)\.env\b/.test(await Bun.file(join(root, file)).text())) readers.push(file)
  }
  expect(readers).toEqual([])
})
