import { afterAll, beforeAll, describe, expect, test } from 'bun:test'
import { mkdtemp, readdir, rm, stat } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { basename, join } from 'node:path'
import { strToU8, zipSync } from 'fflate'
import { compileStatic } from './tools.ts'
import { unpackWheel } from './wheel.ts'

let directory: string
beforeAll(async () => {
  directory = await mkdtemp(join(tmpdir(), 'tools-'))
})
afterAll(() => rm(directory, { recursive: true }))

describe('compileStatic()', () => {
  test('makes a program that needs no library, once for each text of its source', async () => {
    const source = join(directory, 'answer.c')
    await Bun.write(source, 'int main(void) { return 42; }\n')
    const program = await compileStatic(source, directory)
    expect(program).toMatch(/\/answer-[0-9a-f]{12}$/)
    // in a root that holds nothing else
    expect(Bun.spawnSync(['/usr/sbin/chroot', directory, `/${basename(program)}`]).exitCode).toBe(42)

    const { mtimeMs } = await stat(program)
    expect(await compileStatic(source, directory)).toBe(program)
    expect((await stat(program)).mtimeMs).toBe(mtimeMs)

    await Bun.write(source, 'int main(void) { return 43; }\n')
    expect(await compileStatic(source, directory)).not.toBe(program)
  })

  test("says what the compiler said, and leaves nothing under the program's name", async () => {
    const source = join(directory, 'broken.c')
    await Bun.write(source, 'int main(void) { int unused; return 0; }\n')
    await expect(compileStatic(source, directory)).rejects.toThrow(/unused/)
    expect((await readdir(directory)).filter((name) => name.startsWith('broken-'))).toEqual([])
  })
})

describe('unpackWheel()', () => {
  test('unpacks programs that can be run', async () => {
    const wheel = join(directory, 'good.whl')
    await Bun.write(wheel, zipSync({ 'bin/hello': strToU8('#!/bin/sh\necho hello\n') }))
    await unpackWheel(wheel, join(directory, 'good'))
    expect(Bun.spawnSync([join(directory, 'good/bin/hello')]).stdout.toString()).toBe('hello\n')
  })

  test.each(['../escaped', '/escaped', 'a/../../escaped'])('refuses a file called %s', async (name) => {
    const wheel = join(directory, 'bad.whl')
    await Bun.write(wheel, zipSync({ [name]: strToU8('x') }))
    await expect(unpackWheel(wheel, join(directory, 'bad'))).rejects.toThrow('outside')
  })
})
