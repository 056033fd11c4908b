import { afterAll, beforeAll, describe, expect, test } from 'bun:test'
import { mkdtemp, readdir, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { ListMultipartUploadsCommand } from '@aws-sdk/client-s3'
import { Value } from '@sinclair/typebox/value'
import { read } from '../config.ts'
import { type AppError, errnoOf } from '../errors.ts'
import { createFiles } from '../files/app.ts'
import { filesClient, orderFiles } from '../files/client.ts'
import { FilesConfig } from '../files/config.ts'
import { headers, keys, objectKey } from '../files/contract.ts'
import { diskStore } from '../files/disk.ts'
import type { Store } from '../files/store.ts'
import { sweepExpired, sweepLost } from '../files/sweeper.ts'
import { newId } from '../ids.ts'
import { signOrder, WorkOrder } from '../order.ts'
import { connectRedis } from '../redis.ts'
import { startProxy } from './proxy.ts'
import { startRedis } from './redis.ts'
import { s3Missing, startS3 } from './s3.ts'

const TOKEN = 'a token for these tests'
const OWNER = 'tenant:user:ü 1'
const MIB = 1024 * 1024
const DAY_MS = 86_400_000

const signing = (await crypto.subtle.generateKey('Ed25519', true, ['sign', 'verify'])) as CryptoKeyPair
const forging = (await crypto.subtle.generateKey('Ed25519', true, ['sign', 'verify'])) as CryptoKeyPair

/** A store to test, what of an unfinished upload lies in it, and ways to make it fail */
type Bench = {
  store: Store
  unfinished(): Promise<number>
  fail(): Promise<void>
  mend(): Promise<void>
  [Symbol.asyncDispose](): Promise<void>
}

const diskBench = async (): Promise<Bench> => {
  const root = await mkdtemp(join(tmpdir(), 'codeapi-files-'))
  const incoming = join(root, '.incoming')
  const aside = `${root}.aside`
  return {
    store: diskStore(root),
    unfinished: async () => (await readdir(incoming).catch(unlessMissing)).length,
    async fail() {
      await Bun.$`mv ${root} ${aside}`
      await writeFile(root, '')
    },
    async mend() {
      await rm(root)
      await Bun.$`mv ${aside} ${root}`
    },
    [Symbol.asyncDispose]: () => rm(root, { recursive: true, force: true }),
  }
}

const s3Bench = async (): Promise<Bench & { proxy: Awaited<ReturnType<typeof startProxy>>; env: Record<string, string> }> => {
  const { s3Store } = await import('../files/s3.ts')
  const s3 = await startS3()
  const proxy = await startProxy(s3.port)
  const env = { ...s3.env(proxy.port), CODEAPI_INTERNAL_SERVICE_TOKEN: TOKEN, CODEAPI_WORK_ORDER_PUBLIC_KEY: 'unused' }
  return {
    store: s3Store(read(FilesConfig, env)),
    proxy,
    env,
    unfinished: async () => (await s3.client.send(new ListMultipartUploadsCommand({ Bucket: s3.bucket }))).Uploads?.length ?? 0,
    fail: async () => proxy.set('down'),
    mend: async () => proxy.set('clear'),
    async [Symbol.asyncDispose]() {
      proxy[Symbol.dispose]()
      await s3[Symbol.asyncDispose]()
    },
  }
}

const unlessMissing = (error: unknown): string[] => {
  if (errnoOf(error) !== 'ENOENT') throw error
  return []
}

const noS3 = s3Missing()

describe.each([
  { driver: 'disk', start: diskBench, skipped: false },
  { driver: 's3', start: s3Bench, skipped: noS3 !== null },
])('files on $driver', ({ start, skipped }) => {
  if (skipped) return
  const all = new AsyncDisposableStack()
  let bench: Bench
  let redis: Awaited<ReturnType<typeof startRedis>>
  let url: string
  let client: ReturnType<typeof filesClient>

  beforeAll(async () => {
    bench = all.use(await start())
    redis = all.use(await startRedis())
    const connection = connectRedis(redis.url)
    const files = createFiles({ redis: connection, store: bench.store, internalToken: TOKEN, orderKey: signing.publicKey, ttlMs: DAY_MS })
    files.listen({ port: 0, hostname: '127.0.0.1' })
    all.defer(async () => {
      await files.stop(true)
      connection.disconnect()
    })
    url = files.server?.url.origin ?? ''
    client = filesClient({ url, token: TOKEN })
  }, 120_000)
  afterAll(() => all.disposeAsync())

  const put = (session: string, text: string, file = newId(), name = 'a.txt') =>
    client.put(OWNER, session, file, { name, contentType: 'text/plain', body: new Blob([text]) })
  const stored = async (session: string) => (await Array.fromAsync(bench.store.list(`${session}/`))).map(({ key }) => key)

  describe('bytes', () => {
    test.each([0, 1, MIB - 1, MIB, MIB + 1, 8 * MIB, 8 * MIB + 1, 25 * MIB])('%p of them come back as they went', async (size) => {
      const bytes = crypto.getRandomValues(Buffer.alloc(Math.min(size, 65_536)))
      const body = Buffer.alloc(size, size > 0 ? bytes : 0)
      const [session, file] = [newId(), newId()]
      const record = await client.put(OWNER, session, file, { name: 'x.bin', contentType: 'application/x-thing', body: new Blob([body]) })
      expect(record).toMatchObject({ session, id: file, size, sha256: sha256(body), contentType: 'application/x-thing', readOnly: false })

      const response = await client.get(OWNER, session, file)
      expect(sha256(await response.bytes())).toBe(record.sha256)
      expect(response.headers.get('etag')).toBe(`"${record.sha256}"`)
      expect(await client.metadata(OWNER, session, file)).toEqual(record)
    })

    test('of a stream go through with and without a known size', async () => {
      const session = newId()
      for (const size of [undefined, 3 * MIB]) {
        const body = streamOf(3 * MIB)
        const record = await client.put(OWNER, session, newId(), { name: 'x', contentType: 'text/plain', body, size })
        expect(record.size).toBe(3 * MIB)
        expect((await (await client.get(OWNER, session, record.id)).bytes()).length).toBe(3 * MIB)
      }
    })

    test('are replaced as a whole, whatever the extension', async () => {
      const [session, file] = [newId(), newId()]
      const first = await put(session, 'first', file, 'a.txt')
      await put(session, 'second', file, 'b.csv')
      expect(await (await client.get(OWNER, session, file)).text()).toBe('second')
      expect(await stored(session)).toEqual([`${session}/${file}.csv`])
      expect((await client.list(OWNER, session)).map(({ name }) => name)).toEqual(['b.csv'])
      expect(objectKey(first)).toBe(`${session}/${file}.txt`)
    })

    test('are gone after a removal, and a second removal is a 404', async () => {
      const session = newId()
      const { id } = await put(session, 'x')
      const removals = await Promise.all([1, 2].map(() => refusal(client.remove(OWNER, session, id))))
      expect(removals.toSorted()).toEqual([
        [null, null],
        [404, 'not_found'],
      ])
      expect(await stored(session)).toEqual([])
      expect(await client.list(OWNER, session)).toEqual([])
      expect(await refusal(client.remove(OWNER, session, id))).toEqual([404, 'not_found'])
      expect(await refusal(client.get(OWNER, session, id))).toEqual([404, 'not_found'])
    })

    test.each([
      ['bytes=0-0', 206, 'a', 'bytes 0-0/10'],
      ['bytes=2-4', 206, 'cde', 'bytes 2-4/10'],
      ['bytes=7-', 206, 'hij', 'bytes 7-9/10'],
      ['bytes=-2', 206, 'ij', 'bytes 8-9/10'],
      ['bytes=8-99', 206, 'ij', 'bytes 8-9/10'],
      ['bytes=-99', 206, 'abcdefghij', 'bytes 0-9/10'],
      ['bytes=0-1,4-5', 200, 'abcdefghij', null],
      ['bytes=4-2', 200, 'abcdefghij', null],
      ['lines=1-2', 200, 'abcdefghij', null],
      ['bytes=10-', 416, null, 'bytes */10'],
      ['bytes=-0', 416, null, 'bytes */10'],
    ])('asked for as %p are answered with %p', async (range, status, text, contentRange) => {
      const session = newId()
      const { id } = await put(session, 'abcdefghij')
      const response = await client.get(OWNER, session, id, { headers: new Headers({ range }) })
      expect({ status: response.status, range: response.headers.get('content-range') }).toEqual({ status, range: contentRange })
      if (text !== null) expect(await response.text()).toBe(text)
    })

    test('of an empty file have no range', async () => {
      const session = newId()
      const { id } = await put(session, '')
      expect((await client.get(OWNER, session, id, { headers: new Headers({ range: 'bytes=0-' }) })).status).toBe(416)
      expect(await (await client.get(OWNER, session, id)).text()).toBe('')
    })

    test('are not sent to who has them, nor mixed with another version', async () => {
      const session = newId()
      const { id, sha256 } = await put(session, 'abcdefghij')
      const ask = (given: Record<string, string>) => client.get(OWNER, session, id, { headers: new Headers(given) })
      expect((await ask({ 'if-none-match': `"x", W/"${sha256}"` })).status).toBe(304)
      expect((await ask({ 'if-none-match': '"x"' })).status).toBe(200)
      expect((await ask({ range: 'bytes=0-1', 'if-range': `"${sha256}"` })).status).toBe(206)
      expect((await ask({ range: 'bytes=0-1', 'if-range': '"x"' })).status).toBe(200)
    })

    test('are described to HEAD, without being sent', async () => {
      const session = newId()
      const { id } = await put(session, 'abcdefghij')
      const response = await client.get(OWNER, session, id, { method: 'HEAD' })
      expect(response.headers.get('content-length')).toBe('10')
      expect(response.headers.get('accept-ranges')).toBe('bytes')
      expect(await response.text()).toBe('')
    })
  })

  describe('names', () => {
    test.each([
      ['dir/sub dir/é 报告 "q" \'s\' (1)*.tar.gz', '.gz'],
      ['.gitignore', ''],
      ['.dirkeep', ''],
      ['Makefile', ''],
      ['ends.', ''],
      ['odd.x y', ''],
      ['100%.txt', '.txt'],
    ])('%p is kept', async (name, extension) => {
      const [session, file] = [newId(), newId()]
      const record = await client.put(OWNER, session, file, { name, contentType: 'text/html', readOnly: true, body: new Blob(['<b>']) })
      expect(record).toMatchObject({ name, readOnly: true })
      expect(await stored(session)).toEqual([`${session}/${file}${extension}`])
      const response = await client.get(OWNER, session, file)
      const disposition = response.headers.get('content-disposition') ?? ''
      expect(disposition).toMatch(/^attachment; filename\*=UTF-8''[A-Za-z0-9._~%-]+$/)
      expect(decodeURIComponent(disposition.slice(29))).toBe(name)
      expect(response.headers.get('x-read-only')).toBe('true')
      expect(response.headers.get('x-content-type-options')).toBe('nosniff')
    })

    test.each(['../a', 'a/../b', '/etc/passwd', 'a//b', './a', 'a/', '.', 'a\0b', 'a\r\nb', 'cod\u202eexe.txt', 'x'.repeat(1_025)])(
      '%j is refused',
      async (name) => {
        const session = newId()
        expect(await refusal(put(session, 'x', newId(), name))).toEqual([400, 'invalid_name'])
        expect(await stored(session)).toEqual([])
      },
    )

    test.each(['short', 'x'.repeat(22), 'aaaaaaaaaa%2Faaaaaaaaaa', '..%2F..%2F..%2F..%2F..%2Fetc', 'aaaaaaaaaaaaaaaaaaaa%00'])(
      'of sessions and files like %p are refused',
      async (id) => {
        const given = { [headers.internalToken]: TOKEN, [headers.owner]: 'x' }
        for (const path of [
          `/sessions/${id}/objects`,
          `/sessions/${newId()}/objects/${id}`,
          `/sessions/${newId()}/objects/${id}/metadata`,
        ]) {
          const response = await fetch(url + path, { headers: given })
          expect([response.status, ((await response.json()) as { error: string }).error]).toEqual([400, 'invalid_request'])
        }
      },
    )
  })

  describe('an upload', () => {
    test('that is larger than allowed leaves nothing', async () => {
      const session = newId()
      const content = { name: 'x', contentType: 'text/plain', maxBytes: 2 * MIB }
      expect(await refusal(client.put(OWNER, session, newId(), { ...content, body: streamOf(2 * MIB + 1) }))).toEqual([
        413,
        'file_too_large',
      ])
      expect(await refusal(client.put(OWNER, session, newId(), { ...content, body: new Blob([Buffer.alloc(2 * MIB + 1)]) }))).toEqual([
        413,
        'file_too_large',
      ])
      expect((await client.put(OWNER, session, newId(), { ...content, body: streamOf(2 * MIB) })).size).toBe(2 * MIB)
      expect(await stored(session)).toHaveLength(1)
      expect(await bench.unfinished()).toBe(0)
    })

    test('whose sender leaves in the middle leaves nothing', async () => {
      const session = newId()
      const leave = new AbortController()
      const body = streamOf(40 * MIB, () => until(async () => (await bench.unfinished()) > 0))
      const upload = client.put(OWNER, session, newId(), { name: 'x.bin', contentType: 'a/b', body, size: 100 * MIB }, leave.signal)
      await until(async () => (await bench.unfinished()) > 0)
      leave.abort()
      expect(await upload.catch((error: Error) => error.name)).toBe('AbortError')
      await until(async () => (await bench.unfinished()) === 0)
      expect(await stored(session)).toEqual([])
      expect(await client.list(OWNER, session)).toEqual([])
    })

    test('whose body is not as long as declared is refused, and the old file stays', async () => {
      const session = newId()
      const { id } = await put(session, 'old')
      const files = createFiles({
        redis: redis.redis,
        store: bench.store,
        internalToken: TOKEN,
        orderKey: signing.publicKey,
        ttlMs: DAY_MS,
      })
      for (const length of ['3', '9']) {
        const request = new Request(`http://localhost/sessions/${session}/objects/${id}`, {
          method: 'PUT',
          headers: {
            [headers.internalToken]: TOKEN,
            [headers.owner]: encodeURIComponent(OWNER),
            [headers.fileName]: 'a.txt',
            'content-length': length,
          },
          body: 'longer',
        })
        expect((await files.handle(request)).status).toBe(400)
      }
      expect(await (await client.get(OWNER, session, id)).text()).toBe('old')
      expect(await bench.unfinished()).toBe(0)
    })

    test('many at once are listed in the order in which they began', async () => {
      const session = newId()
      const names = Array.from({ length: 20 }, (_, i) => `file ${i}.txt`)
      for (const name of names.slice(0, 10)) await put(session, name, newId(), name)
      await Promise.all(names.slice(10).map((name) => put(session, name, newId(), name)))
      const listed = (await client.list(OWNER, session)).map(({ name }) => name)
      expect(listed.slice(0, 10)).toEqual(names.slice(0, 10))
      expect(listed.toSorted()).toEqual(names.toSorted())
    })
  })

  describe('an owner', () => {
    test('reaches only its own sessions', async () => {
      const session = newId()
      const { id } = await put(session, 'mine')
      const other = 'tenant:user:2'
      const content = { name: 'x', contentType: 'text/plain', body: new Blob(['x']) }
      for (const attempt of [
        () => client.get(other, session, id),
        () => client.get(other, session, id, { method: 'HEAD' }),
        () => client.metadata(other, session, id),
        () => client.list(other, session),
        () => client.remove(other, session, id),
        () => client.put(other, session, newId(), content),
        () => client.put(other, session, id, content),
      ])
        expect((await refusal(attempt()))[0]).toBe(403)
      expect(await (await client.get(OWNER, session, id)).text()).toBe('mine')
      expect(await refusal(client.list(OWNER, newId()))).toEqual([404, 'not_found'])
      expect(await refusal(client.get(OWNER, session, newId()))).toEqual([404, 'not_found'])
    })

    test('learns of many files at once which it may read', async () => {
      const session = newId()
      const record = await put(session, 'x')
      expect(
        await client.resolve([
          { session, file: newId(), owner: OWNER },
          { session, file: record.id, owner: OWNER },
          { session, file: record.id, owner: 'somebody else' },
          { session: newId(), file: record.id, owner: OWNER },
        ]),
      ).toEqual([{ status: 'missing' }, { status: 'ok', record }, { status: 'forbidden' }, { status: 'missing' }])
      expect(await client.resolve([])).toEqual([])
    })

    test.each([
      ['no token', {}],
      ['a wrong token', { [headers.internalToken]: 'wrong', [headers.owner]: 'x' }],
      ['an empty token', { [headers.internalToken]: '', [headers.owner]: 'x' }],
      ['a bearer token that is no order', { authorization: `Bearer ${TOKEN}` }],
    ])('with %s is nobody', async (_, given) => {
      const file = `/sessions/${newId()}/objects/${newId()}`
      for (const [method, path] of [
        ['GET', file],
        ['HEAD', file],
        ['PUT', file],
        ['DELETE', file],
        ['GET', `${file}/metadata`],
        ['GET', `/sessions/${newId()}/objects`],
        ['POST', '/resolve'],
      ] as const)
        expect((await fetch(url + path, { method, headers: given })).status).toBe(401)
    })
  })

  describe('a work order', () => {
    const order = async (given: Partial<WorkOrder> = {}, key = signing.privateKey) => {
      const complete: WorkOrder = {
        jti: newId(),
        body: '0'.repeat(64),
        reads: [],
        write: { session: newId(), owner: OWNER, maxFiles: 2, maxFileBytes: 10 },
        limits: { ...Value.Create(WorkOrder.properties.limits), cpus: 1 },
        exp: Math.floor(Date.now() / 1000) + 600,
        ...given,
      }
      const token = await signOrder(key, complete)
      return { ...complete, token, files: orderFiles({ url, order: token }) }
    }
    const text = (content: string) => ({ name: 'out.txt', contentType: 'text/plain', body: new Blob([content]) })

    test('reads what it lists, and nothing else', async () => {
      const session = newId()
      const [listed, other] = [await put(session, 'listed'), await put(session, 'other')]
      const { files, token } = await order({ reads: [{ session, file: listed.id }] })
      expect(await (await files.read(session, listed.id)).text()).toBe('listed')
      expect(await refusal(files.read(session, other.id))).toEqual([403, 'forbidden'])
      const given = { authorization: `Bearer ${token}` }
      expect((await fetch(`${url}/sessions/${session}/objects`, { headers: given })).status).toBe(403)
      expect((await fetch(`${url}/sessions/${session}/objects/${listed.id}`, { method: 'DELETE', headers: given })).status).toBe(403)
      expect((await fetch(`${url}/resolve`, { method: 'POST', headers: given })).status).toBe(403)
    })

    test('writes into its session for its owner, and into no other', async () => {
      const { files, token, write } = await order()
      const record = await files.write(newId(), text('made'))
      expect(await (await client.get(OWNER, write.session, record.id)).text()).toBe('made')
      const elsewhere = `${url}/sessions/${newId()}/objects/${newId()}`
      const given = { authorization: `Bearer ${token}`, [headers.fileName]: 'x' }
      expect((await fetch(elsewhere, { method: 'PUT', headers: given, body: 'x' })).status).toBe(403)
      expect((await fetch(`${elsewhere}`, { headers: given })).status).toBe(403)
    })

    test('stores as many files as it allows; what failed or is sent again does not count', async () => {
      const { files, write } = await order()
      const first = newId()
      expect(await refusal(files.write(newId(), text('longer than ten')))).toEqual([413, 'file_too_large'])
      await files.write(first, text('1'))
      await files.write(first, text('2'))
      expect(await refusal(files.write(newId(), { ...text(''), body: streamOf(11) }))).toEqual([413, 'file_too_large'])
      const many = await Promise.all(Array.from({ length: 5 }, () => refusal(files.write(newId(), text('3')))))
      expect(many.toSorted()).toEqual([...Array(4).fill([403, 'order_exhausted']), [null, null]].toSorted())
      expect(await client.list(OWNER, write.session)).toHaveLength(2)
    })

    test.each([
      ['expired', () => order({ exp: Math.floor(Date.now() / 1000) - 60 })],
      ['forged', () => order({}, forging.privateKey)],
    ])('that is %s is refused', async (_, make) => {
      const { files } = await make()
      expect(await refusal(files.write(newId(), text('x')))).toEqual([401, 'invalid_order'])
    })

    test('that was altered is refused', async () => {
      const { token, write } = await order()
      const [head = '', payload = '', signature = ''] = token.split('.')
      const claims = JSON.parse(Buffer.from(payload, 'base64url').toString())
      claims.write.maxFiles = 1_000
      const altered = [head, Buffer.from(JSON.stringify(claims)).toString('base64url'), signature].join('.')
      const unsigned = [Buffer.from('{"alg":"none"}').toString('base64url'), payload, ''].join('.')
      for (const bad of [altered, unsigned])
        expect(await refusal(orderFiles({ url, order: bad }).write(newId(), text('x')))).toEqual([401, 'invalid_order'])
      expect(await stored(write.session)).toEqual([])
    })
  })

  describe('a session', () => {
    const life = async (session: string) => redis.redis.pttl(keys.session(session))

    test('lives on when it is used, without a write at each use', async () => {
      const session = newId()
      const { id } = await put(session, 'x')
      for (const use of [
        () => client.metadata(OWNER, session, id),
        () => client.list(OWNER, session),
        () => client.resolve([{ session, file: id, owner: OWNER }]),
      ]) {
        await redis.redis.pexpire(keys.session(session), DAY_MS / 2)
        await use()
        expect(await life(session)).toBeGreaterThan(DAY_MS)
      }
      const enough = DAY_MS + 600_000
      await redis.redis.pexpire(keys.session(session), enough)
      await client.metadata(OWNER, session, id)
      expect(await life(session)).toBeLessThanOrEqual(enough)
    })

    test('that expired goes with its bytes, and one that is used does not', async () => {
      const [expired, used] = [newId(), newId()]
      const { id } = await put(expired, 'x')
      await put(expired, 'y', newId(), 'b.csv')
      await put(used, 'z')
      await redis.redis.pexpire(keys.session(expired), 1)
      await until(async () => (await redis.redis.exists(keys.session(expired))) === 0)
      expect(await refusal(client.get(OWNER, expired, id))).toEqual([404, 'not_found'])
      await redis.redis.zadd(keys.expiry, 1, expired, 1, used)

      const deps = { redis: redis.redis, store: bench.store, ttlMs: DAY_MS }
      const swept = await Promise.all([sweepExpired(deps), sweepExpired(deps)])
      expect(swept.reduce((a, b) => a + b)).toBe(1)
      expect(await stored(expired)).toEqual([])
      expect(await redis.redis.exists(keys.records(expired))).toBe(0)
      expect(await redis.redis.zscore(keys.expiry, expired)).toBeNull()
      expect(await stored(used)).toHaveLength(1)
      expect(Number(await redis.redis.zscore(keys.expiry, used))).toBeGreaterThan(Date.now())
    })

    test('that Redis has lost goes with its bytes, and what is not ours stays', async () => {
      const [lost, kept] = [newId(), newId()]
      await put(lost, 'x')
      await put(kept, 'y')
      await redis.redis.del(keys.session(lost), keys.records(lost))
      await bench.store.put('checkpoints/a.tar.gz', bytesOf('not ours'), { contentType: 'a/b' })
      const deps = { redis: redis.redis, store: bench.store, ttlMs: 1 }
      await until(async () => {
        await sweepLost(deps)
        return (await stored(lost)).length === 0
      })
      expect(await stored(kept)).toHaveLength(1)
      expect(await stored('checkpoints')).toEqual(['checkpoints/a.tar.gz'])
    })

    test('is swept of uploads that were begun and never ended', async () => {
      const never = Promise.withResolvers<void>()
      const body = (async function* () {
        yield new Uint8Array(20 * MIB)
        await never.promise
        throw new Error('the process died')
      })()
      const upload = bench.store.put(`${newId()}/${newId()}`, body, { contentType: 'a/b' }).catch(() => 'failed')
      await until(async () => (await bench.unfinished()) > 0)
      await bench.store.removeUnfinished(new Date(Date.now() + 60_000))
      expect(await bench.unfinished()).toBe(0)
      never.resolve()
      expect(await upload).toBe('failed')
    })
  })

  describe('when something is down', () => {
    const ready = async () => (await fetch(`${url}/ready`)).status

    test('Redis: requests are refused at once, and work again when it is back', async () => {
      const session = newId()
      const { id } = await put(session, 'x')
      expect(await ready()).toBe(200)
      await redis.stop()
      for (const attempt of [() => client.metadata(OWNER, session, id), () => client.get(OWNER, session, id), () => put(session, 'y')])
        expect(await refusal(attempt())).toEqual([503, 'files_unavailable'])
      expect(await ready()).toBe(503)
      expect((await fetch(`${url}/health`)).status).toBe(200)
      await redis.restart()
      await until(async () => (await ready()) === 200)
      expect(await (await client.get(OWNER, session, id)).text()).toBe('x')
      expect(await client.list(OWNER, session)).toHaveLength(1)
    }, 30_000)

    test('the store: requests are refused, and work again when it is back', async () => {
      const session = newId()
      const { id } = await put(session, 'x')
      await bench.fail()
      for (const attempt of [() => client.get(OWNER, session, id), () => put(session, 'y')])
        expect(await refusal(attempt())).toEqual([503, 'files_unavailable'])
      expect(await ready()).toBe(503)
      expect(await client.list(OWNER, session)).toHaveLength(1)
      await bench.mend()
      expect(await ready()).toBe(200)
      expect(await (await client.get(OWNER, session, id)).text()).toBe('x')
    }, 60_000)
  })
})

describe.skipIf(noS3 !== null)('a store that fails in the middle', () => {
  const all = new AsyncDisposableStack()
  let bench: Awaited<ReturnType<typeof s3Bench>>
  let redis: Awaited<ReturnType<typeof startRedis>>
  let url: string
  let client: ReturnType<typeof filesClient>
  const session = newId()
  const file = newId()

  beforeAll(async () => {
    bench = all.use(await s3Bench())
    redis = all.use(await startRedis())
    const files = createFiles({ redis: redis.redis, store: bench.store, internalToken: TOKEN, orderKey: signing.publicKey, ttlMs: DAY_MS })
    files.listen({ port: 0, hostname: '127.0.0.1' })
    all.defer(async () => void (await files.stop(true)))
    url = files.server?.url.origin ?? ''
    client = filesClient({ url, token: TOKEN })
    await client.put(OWNER, session, file, { name: 'x', contentType: 'a/b', body: streamOf(30 * MIB) })
  }, 120_000)
  afterAll(() => all.disposeAsync())

  test.each([10, 1_000, 5 * MIB, 30 * MIB - 10])(
    'of a download after %p bytes breaks it: nobody takes it for a short file',
    async (cutAfter) => {
      bench.proxy.set({ cutAfter })
      const download = client.get(OWNER, session, file).then((response) => response.bytes())
      const ended = await download.then(
        (bytes) => `whole with ${bytes.length}`,
        () => 'broken',
      )
      bench.proxy.set('clear')
      expect(ended).toBe('broken')
      expect((await (await client.get(OWNER, session, file)).bytes()).length).toBe(30 * MIB)
    },
  )

  test('of an upload leaves nothing', async () => {
    const other = newId()
    const body = streamOf(40 * MIB, async () => bench.proxy.set('down'))
    expect(await refusal(client.put(OWNER, other, newId(), { name: 'x', contentType: 'a/b', body }))).toEqual([503, 'files_unavailable'])
    bench.proxy.set('clear')
    expect(await Array.fromAsync(bench.store.list(`${other}/`))).toEqual([])
    expect(await client.list(OWNER, other)).toEqual([])
    await bench.store.removeUnfinished(new Date(Date.now() + 60_000))
    expect(await bench.unfinished()).toBe(0)
  }, 30_000)

  test('is not waited for by a reader who leaves', async () => {
    await until(async () => bench.proxy.open() === 0)
    const before = bench.proxy.passed()
    const leave = new AbortController()
    const response = await client.get(OWNER, session, file, { signal: leave.signal })
    const reader = response.body?.getReader()
    await reader?.read()
    leave.abort()
    await until(async () => bench.proxy.open() === 0)
    expect(bench.proxy.passed() - before).toBeLessThan(30 * MIB)
  })

  test('that says nothing more is given up', async () => {
    const { s3Store } = await import('../files/s3.ts')
    const env = { ...bench.env, CODEAPI_INTERNAL_SERVICE_TOKEN: TOKEN, CODEAPI_WORK_ORDER_PUBLIC_KEY: 'unused' }
    const store = s3Store(read(FilesConfig, env), { connectMs: 200, answerMs: 200, partMs: 200, silenceMs: 200 })
    const signal = new AbortController().signal
    const key = `${session}/${file}`
    const begun = await store.get(key, { signal })
    bench.proxy.set('silent')
    expect(await new Response(begun?.body).bytes().catch(() => 'broken')).toBe('broken')
    expect(await store.get(key, { signal }).catch(() => 'given up')).toBe('given up')
    expect(await store.put(`${newId()}/${newId()}`, bytesOf('x'), { contentType: 'a/b' }).catch(() => 'given up')).toBe('given up')
    expect(await store.remove(`${newId()}/x`).catch(() => 'given up')).toBe('given up')
    bench.proxy.set('down')
    bench.proxy.set('clear')
    expect((await store.get(key, { signal }))?.size).toBe(30 * MIB)
  }, 30_000)

  test('when Redis does it between the bytes and their record, the bytes go too', async () => {
    const store: Store = {
      ...bench.store,
      async put(...given) {
        await bench.store.put(...given)
        await redis.stop()
      },
    }
    const connection = connectRedis(redis.url)
    const files = createFiles({ redis: connection, store, internalToken: TOKEN, orderKey: signing.publicKey, ttlMs: DAY_MS })
    const other = newId()
    const request = new Request(`http://localhost/sessions/${other}/objects/${newId()}`, {
      method: 'PUT',
      headers: { [headers.internalToken]: TOKEN, [headers.owner]: 'x', [headers.fileName]: 'a.txt' },
      body: 'x',
    })
    expect((await files.handle(request)).status).toBe(503)
    connection.disconnect()
    await redis.restart()
    expect(await Array.fromAsync(bench.store.list(`${other}/`))).toEqual([])
  })
})

const refusal = (work: Promise<unknown>): Promise<[status: number | null, code: string | null]> =>
  work.then(
    () => [null, null],
    (error: AppError) => [error.status, error.code],
  )

const sha256 = (bytes: Uint8Array) => new Bun.CryptoHasher('sha256').update(bytes).digest('hex')

/** `size` zero bytes in pieces; `before` the end it waits */
const streamOf = (size: number, before?: () => Promise<void>) =>
  new ReadableStream<Uint8Array>({
    async pull(controller) {
      const piece = Math.min(size, 65_536)
      if (piece > 0) controller.enqueue(new Uint8Array(piece))
      size -= piece
      if (size > 0) return
      await before?.()
      controller.close()
    },
  })

const bytesOf = async function* (text: string) {
  yield new TextEncoder().encode(text)
}

const until = async (condition: () => Promise<boolean>) => {
  while (!(await condition())) await Bun.sleep(10)
}
