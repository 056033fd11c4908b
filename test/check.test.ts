import { expect, test } from 'bun:test'
import { join } from 'node:path'

const root = join(import.meta.dir, '..')

const say = async (...command: string[]): Promise<{ code: number; text: string }> => {
  const child = Bun.spawn(command, { cwd: root, stdout: 'pipe', stderr: 'pipe' })
  const [out, err] = await Promise.all([new Response(child.stdout).text(), new Response(child.stderr).text()])
  return { code: await child.exited, text: out + err }
}

test('types are right', async () => {
  expect(await say('node_modules/.bin/tsc', '-p', '.')).toEqual({ code: 0, text: '' })
})

test('the linter has nothing to say', async () => {
  const { code, text } = await say('node_modules/.bin/biome', 'check', '--error-on-warnings', '.')
  expect({ code, text }).toMatchObject({ code: 0 })
})
