import { afterAll, beforeAll, describe, expect, test } from 'bun:test'
import { mkdtemp, readdir, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { SetupError } from '../errors.ts'
import { download, integrityOfSha256 } from './download.ts'

const CONTENT = crypto.getRandomValues(new Uint8Array(60_000))
const INTEGRITY = integrityOfSha256(new Bun.CryptoHasher('sha256').update(CONTENT).digest('hex'))

let directory: string
const ranges: (string | null)[] = []
const server = Bun.serve({
  port: 0,
  fetch(request) {
    const range = request.headers.get('range')
    ranges.push(range)
    const { pathname } = new URL(request.url)
    if (pathname === '/missing') return new Response('no', { status: 404 })
    if (pathname === '/tampered') return new Response(CONTENT.map((byte) => byte ^ 1))
    const from = Number(/^bytes=(\d+)-$/.exec(range ?? '')?.[1] ?? 0)
    if (from >= CONTENT.length) return new Response(null, { status: 416 })
    return from > 0 ? new Response(CONTENT.subarray(from), { status: 206 }) : new Response(CONTENT)
  },
})
const url = (path: string) => new URL(path, server.url).href

beforeAll(async () => {
  directory = await mkdtemp(join(tmpdir(), 'download-'))
})
afterAll(async () => {
  await server.stop(true)
  await rm(directory, { recursive: true })
})

describe('download()', () => {
  test('gives a file its name when it is what was locked', async () => {
    const to = join(directory, 'whole')
    await download({ url: url('/file'), to, integrity: INTEGRITY })
    expect(await Bun.file(to).bytes()).toEqual(CONTENT)
  })

  test('refuses a file that was tampered with and leaves nothing of it', async () => {
    const to = join(directory, 'tampered')
    const error = await download({ url: url('/tampered'), to, integrity: INTEGRITY }).catch((thrown) => thrown)
    expect(error).toBeInstanceOf(SetupError)
    expect(error.message).toContain('not what was locked')
    expect((await readdir(directory)).filter((name) => name.startsWith('tampered'))).toEqual([])
  })

  test('goes on where an interrupted one stopped', async () => {
    const to = join(directory, 'continued')
    await Bun.write(`${to}.part`, CONTENT.subarray(0, 1_000))
    ranges.length = 0
    await download({ url: url('/file'), to, integrity: INTEGRITY })
    expect(ranges).toEqual(['bytes=1000-'])
    expect(await Bun.file(to).bytes()).toEqual(CONTENT)
  })

  test('takes a leftover that is complete already', async () => {
    const to = join(directory, 'complete')
    await Bun.write(`${to}.part`, CONTENT)
    await download({ url: url('/file'), to, integrity: INTEGRITY })
    expect(await Bun.file(to).bytes()).toEqual(CONTENT)
  })

  test('starts again when a leftover was damaged', async () => {
    const to = join(directory, 'damaged')
    await Bun.write(`${to}.part`, new Uint8Array(1_000))
    await download({ url: url('/file'), to, integrity: INTEGRITY })
    expect(await Bun.file(to).bytes()).toEqual(CONTENT)
  })

  test('says at once that a file is not there, and what to do', async () => {
    ranges.length = 0
    const failed = download({ url: url('/missing'), to: join(directory, 'missing'), integrity: INTEGRITY })
    await expect(failed).rejects.toThrow(/answered 404.*Check the network/)
    expect(ranges.length).toBe(1)
  })
})
