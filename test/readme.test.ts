import { expect, test } from 'bun:test'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { freshReadme } from '../dev/readme.ts'

const root = join(import.meta.dir, '..')
const readme = readFileSync(join(root, 'README.md'), 'utf8')

test("README's table of variables is the one that the schemas give", () => {
  expect(readme).toBe(freshReadme())
})

test("README's commands are scripts of package.json, and CI runs its test command", () => {
  const { scripts } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8'))
  for (const [, script = ''] of readme.matchAll(/bun run (\w+)/g)) expect(scripts).toHaveProperty(script)
  expect(readme).toContain('\nnpx --yes bun run test\n')
  expect(readFileSync(join(root, '.ci/run'), 'utf8')).toEndWith('\nnpx --yes bun run test\n')
})

test('every file that README names is there', () => {
  for (const [, path = ''] of readme.matchAll(/`((?:api|worker|jail|files|init|test|dev)\/[\w./-]+\.ts)`/g)) {
    expect({ path, exists: Bun.file(join(root, path)).size > 0 }).toEqual({ path, exists: true })
  }
})
