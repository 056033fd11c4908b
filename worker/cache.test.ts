import { Database } from 'bun:sqlite'
import { afterEach, beforeEach, describe, expect, test } from 'bun:test'
import { existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, renameSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { Package } from '../init/contract.ts'
import { until } from '../test/machine.ts'
import { openPackageCache } from './cache.ts'

const SIZE = 100_000

describe('the cache of packages', () => {
  let home = ''
  let volume = ''
  let directory = ''
  beforeEach(() => {
    home = mkdtempSync(join(tmpdir(), 'codeapi-cache-'))
    volume = join(home, 'volume')
    directory = join(home, 'cache')
    mkdirSync(volume)
  })
  afterEach(() => rmSync(home, { recursive: true }))

  const open = (budgetBytes = 10 * SIZE) => openPackageCache({ volume, directory, budgetBytes })
  const artifactOf = (name: string) => join(volume, `${name}.erofs`)
  const put = (name: string): Package => {
    const bytes = Buffer.alloc(SIZE, name)
    writeFileSync(artifactOf(name), bytes)
    return {
      name,
      version: '1',
      digest: `sha256:${new Bun.CryptoHasher('sha256').update(bytes).digest('hex')}`,
      size: SIZE,
      artifact: `${name}.erofs`,
      mountPoint: '/',
      languages: [],
      commands: {},
      environment: {},
      libraries: [],
    }
  }
  const none = new Set<string>()
  const copies = () => readdirSync(directory).filter((name) => /\.(erofs|part)$/.test(name))
  const rows = () => {
    using database = new Database(join(directory, 'packages.sqlite'), { readonly: true })
    return database.query('SELECT name, state, size FROM packages ORDER BY name').all()
  }
  const ready = (...names: string[]) => names.map((name) => ({ name, state: 'ready', size: SIZE }))
  /** Asks for a package in a process of its own; says the copy's path and inode */
  const ensureElsewhere = (wanted: Package) =>
    Bun.spawn(
      [
        process.execPath,
        '-e',
        `import { openPackageCache } from ${JSON.stringify(join(import.meta.dir, 'cache.ts'))}
         import { statSync } from 'node:fs'
         using cache = openPackageCache(${JSON.stringify({ volume, directory, budgetBytes: 10 * SIZE })})
         const path = await cache.ensure(${JSON.stringify(wanted)}, new Set())
         console.log(path, statSync(path).ino)`,
      ],
      { stdout: 'pipe', stderr: 'inherit' },
    )

  test('makes a verified copy and records it', async () => {
    const wanted = put('a')
    using cache = open()
    const path = await cache.ensure(wanted, none)
    expect(readFileSync(path).equals(readFileSync(artifactOf('a')))).toBe(true)
    expect(rows()).toEqual(ready('a'))
    expect(copies()).toHaveLength(1)
  })

  test('keeps a copy over a restart, without the volume', async () => {
    const wanted = put('a')
    let inode = 0
    {
      using cache = open()
      inode = statSync(await cache.ensure(wanted, none)).ino
    }
    rmSync(artifactOf('a'))
    using again = open()
    expect(statSync(await again.ensure(wanted, none)).ino).toBe(inode)
  })

  test.each([
    ['was removed', (path: string) => rmSync(path)],
    ['was cut off', (path: string) => writeFileSync(path, 'short')],
  ])('makes a copy anew that %s behind its back', async (_what, spoil) => {
    const wanted = put('a')
    using cache = open()
    spoil(await cache.ensure(wanted, none))
    expect(statSync(await cache.ensure(wanted, none)).size).toBe(SIZE)
    expect(rows()).toEqual(ready('a'))
  })

  test('shares one copy between processes that ask at once', async () => {
    const wanted = put('a')
    const children = Array.from({ length: 4 }, () => ensureElsewhere(wanted))
    const said = await Promise.all(children.map(({ stdout }) => new Response(stdout).text()))
    expect(new Set(said).size).toBe(1)
    expect(said[0]).toStartWith(directory)
    expect(rows()).toEqual(ready('a'))
    expect(copies()).toHaveLength(1)
  })

  test('goes on after a process was killed while it copied', async () => {
    const [half, other] = [put('half'), put('other')]
    // a pipe that nobody fills: the copy is never done
    renameSync(artifactOf('half'), `${artifactOf('half')}.good`)
    Bun.spawnSync(['mkfifo', artifactOf('half')])
    const child = ensureElsewhere(half)
    await until('it copies', () => existsSync(directory) && copies().some((name) => name.endsWith('.part')))
    using cache = open()
    // while it lives its copy is its own
    await cache.ensure(other, none)
    expect(copies()).toHaveLength(2)
    child.kill('SIGKILL')
    await child.exited
    expect(rows()).toEqual([{ name: 'half', state: 'copying', size: SIZE }, ...ready('other')])

    renameSync(`${artifactOf('half')}.good`, artifactOf('half'))
    await cache.ensure(half, none)
    expect(rows()).toEqual(ready('half', 'other'))
    expect(copies()).toHaveLength(2)
  })

  test('removes what a killed process left half copied, though nobody asks for it again', async () => {
    const half = put('half')
    rmSync(artifactOf('half'))
    Bun.spawnSync(['mkfifo', artifactOf('half')])
    const child = ensureElsewhere(half)
    await until('it copies', () => existsSync(directory) && copies().some((name) => name.endsWith('.part')))
    child.kill('SIGKILL')
    await child.exited
    using cache = open()
    await cache.ensure(put('other'), none)
    expect(rows()).toEqual(ready('other'))
    expect(copies()).toHaveLength(1)
  })

  test('makes room by removing what was not used for longest, but nothing that is in use', async () => {
    const [a, b, c, d] = [put('a'), put('b'), put('c'), put('d')]
    using cache = open(3 * SIZE)
    for (const wanted of [a, b, c]) await cache.ensure(wanted, none).then(() => Bun.sleep(2))
    // now b is the oldest
    await cache.ensure(a, none)
    await Bun.sleep(2)
    await cache.ensure(d, none)
    expect(rows()).toEqual(ready('a', 'c', 'd'))
    await cache.ensure(b, new Set([a.digest, c.digest]))
    expect(rows()).toEqual(ready('a', 'b', 'c'))
    // what is needed at once is kept, whatever the budget
    await cache.ensure(d, new Set([a, b, c].map(({ digest }) => digest)))
    expect(rows()).toEqual(ready('a', 'b', 'c', 'd'))
    expect(copies()).toHaveLength(4)
  })

  const spoilt: [string, (path: string) => void, string][] = [
    [
      'one changed byte',
      (path) => writeFileSync(path, Buffer.concat([readFileSync(path).subarray(1), Buffer.from('x')])),
      'package_tampered',
    ],
    ['a missing end', (path) => writeFileSync(path, readFileSync(path).subarray(1)), 'package_tampered'],
    ['more at its end', (path) => writeFileSync(path, 'x', { flag: 'a' }), 'package_tampered'],
    ['no bytes', (path) => writeFileSync(path, ''), 'package_tampered'],
    ['no file', (path) => rmSync(path), 'package_missing'],
  ]
  test.each(spoilt)(
    'refuses an artifact with %s by name, keeps nothing of it, and takes it once it is right',
    async (_what, spoil, code) => {
      const wanted = put('a')
      using cache = open()
      spoil(artifactOf('a'))
      expect(cache.ensure(wanted, none)).rejects.toMatchObject({ code, status: 503, message: expect.stringContaining(artifactOf('a')) })
      await cache.ensure(wanted, none).catch(() => {})
      expect(copies()).toEqual([])
      expect(rows()).toEqual([])
      put('a')
      expect(statSync(await cache.ensure(wanted, none)).size).toBe(SIZE)
    },
  )

  test('says how much does not fit where it has no room', async () => {
    const wanted = { ...put('a'), size: 2 ** 60 }
    using cache = open()
    await expect(cache.ensure(wanted, none)).rejects.toMatchObject({
      code: 'package_no_space',
      message: expect.stringContaining(directory),
    })
  })
})
