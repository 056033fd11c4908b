import { afterAll, beforeAll, describe, expect, test } from 'bun:test'
import { createHash } from 'node:crypto'
import { type CryptoKey, exportSPKI, generateKeyPair, SignJWT, UnsecuredJWT } from 'jose'
import { newId } from '../ids.ts'
import { importSigningKey, importVerifyingKey, signOrder, type WorkOrder } from '../order.ts'
import type { Job, JobBody, RunEvent } from '../worker/contract.ts'
import { keys } from '../worker/contract.ts'
import { until } from './machine.ts'
import { exec, jailsMissing, reference, type Services, startServices, upload } from './services.ts'

const MIB = 1024 * 1024

describe.skipIf(jailsMissing() !== null)('a worker, given a job by somebody who can write to Redis', () => {
  let services: Services
  let key: CryptoKey
  let foreign: CryptoKey
  beforeAll(async () => {
    services = await startServices()
    key = await importSigningKey(services.env.CODEAPI_WORK_ORDER_PRIVATE_KEY ?? '')
    foreign = (await generateKeyPair('EdDSA', { extractable: true })).privateKey as CryptoKey
  })
  afterAll(() => services[Symbol.asyncDispose]())

  const inbox = newId()
  const now = () => Math.floor(Date.now() / 1000)
  const hash = (text: string) => createHash('sha256').update(text).digest('hex')
  const bodyOf = (more: Partial<JobBody> = {}): string =>
    JSON.stringify({ language: 'bash', code: 'echo ran > out.txt; echo ran', args: [], inputs: [], ...more })
  const orderOf = (id: string, body: string, more: Partial<WorkOrder> = {}): WorkOrder => ({
    jti: id,
    body: hash(body),
    reads: [],
    write: { session: newId(), owner: 'u', maxFiles: 5, maxFileBytes: MIB },
    limits: {
      wallMs: 5_000,
      cpuMs: 5_000,
      cpus: 1,
      memoryBytes: 256 * MIB,
      diskBytes: MIB,
      outputChars: 1_000,
      pids: 32,
      openFiles: 256,
    },
    exp: now() + 60,
    ...more,
  })
  const push = (job: Partial<Job> & { id: string; order: string; body: string }) =>
    services.redis.redis.xadd(
      keys.jobs,
      '*',
      'job',
      JSON.stringify({ replyTo: keys.replies(inbox), expiresAt: Date.now() + 60_000, ...job }),
    )
  /** What the worker said about a job, once the queue is empty */
  const eventsOf = async (id: string): Promise<RunEvent[]> => {
    await until('the job is dealt with', async () => (await services.redis.redis.xlen(keys.jobs)) === 0)
    const entries = await services.redis.redis.xrange(keys.replies(inbox), '-', '+')
    return entries.map(([, [, text]]) => JSON.parse(text ?? '')).filter(({ job }: RunEvent) => job === id)
  }
  const refused = (id: string): RunEvent[] => [
    { type: 'started', job: id, worker: expect.any(String) },
    { type: 'failed', job: id, failure: { status: 401, code: 'invalid_order', message: expect.any(String) } },
  ]

  test('runs one with a true order, once, however often it is delivered', async () => {
    const [id, body] = [newId(), bodyOf()]
    const job = { id, body, order: await signOrder(key, orderOf(id, body)) }
    await Promise.all([push(job), push(job)])
    expect(await eventsOf(id)).toMatchObject([
      { type: 'started' },
      { type: 'done', result: { stdout: 'ran\n', files: [{ name: 'out.txt' }] } },
    ])
    await push(job)
    expect(await eventsOf(id)).toHaveLength(2)
  })

  const jwt = (order: WorkOrder) => new SignJWT({ ...order }).setIssuer('codeapi').setIssuedAt()
  const forgeries: [what: string, forge: (id: string, body: string) => Promise<string>][] = [
    ['signed with another key', (id, body) => signOrder(foreign, orderOf(id, body))],
    ['signed with nothing', async (id, body) => new UnsecuredJWT({ ...orderOf(id, body) }).setIssuer('codeapi').encode()],
    [
      'signed with the public key as a shared secret',
      async (id, body) => {
        const pem = await exportSPKI(await importVerifyingKey(services.env.CODEAPI_WORK_ORDER_PUBLIC_KEY ?? ''))
        return jwt(orderOf(id, body)).setProtectedHeader({ alg: 'HS256' }).sign(new TextEncoder().encode(pem))
      },
    ],
    [
      'of another issuer',
      (id, body) => new SignJWT({ ...orderOf(id, body) }).setProtectedHeader({ alg: 'EdDSA' }).setIssuer('someone').sign(key),
    ],
    [
      'whose limits were raised afterwards',
      async (id, body) => {
        const order = orderOf(id, body)
        const [head, , signature] = (await signOrder(key, order)).split('.')
        const claims = { ...order, iss: 'codeapi', limits: { ...order.limits, wallMs: 9_999_999 } }
        return [head, Buffer.from(JSON.stringify(claims)).toString('base64url'), signature].join('.')
      },
    ],
    ['that has expired', (id, body) => signOrder(key, orderOf(id, body, { exp: now() - 120 }))],
    ['for another job', (_id, body) => signOrder(key, orderOf(newId(), body))],
    ['for another body', (id) => signOrder(key, orderOf(id, bodyOf({ code: 'echo other' })))],
    ['without limits', (id, body) => signOrder(key, { ...orderOf(id, body), limits: undefined as never })],
    ['that is no token', async () => 'x'],
    ['that is empty', async () => ''],
  ]
  test.each(forgeries)('refuses an order %s', async (_what, forge) => {
    const [id, body] = [newId(), bodyOf()]
    await push({ id, body, order: await forge(id, body) })
    expect(await eventsOf(id)).toEqual(refused(id))
  })

  test('refuses a body that its order fits but that is none', async () => {
    for (const body of ['null', '{"language":"bash"}', 'not json', JSON.stringify({ ...JSON.parse(bodyOf()), language: 'cobol' })]) {
      const id = newId()
      await push({ id, body, order: await signOrder(key, orderOf(id, body)) })
      expect(await eventsOf(id)).toEqual(refused(id))
    }
  })

  test('refuses an input that the order does not name, as files does, and one outside of the workspace', async () => {
    const { body: sent } = await upload(services.url, [{ name: 'secret.txt', content: 'secret' }])
    const { id: file, storage_session_id: session } = reference(sent.files[0], sent.storage_session_id)
    const input = {
      ...{ session: session ?? '', id: file ?? '', name: 'secret.txt', size: 6, contentType: 'text/plain', readOnly: false },
      ...{ sha256: hash('secret'), lastModified: new Date().toISOString(), path: 'secret.txt' },
    }
    const [id, body] = [newId(), bodyOf({ code: 'cat secret.txt', inputs: [input] })]
    const order = await signOrder(key, orderOf(id, body))
    await push({ id, body, order })
    expect(await eventsOf(id)).toEqual(refused(id))

    const [other, outside] = [newId(), bodyOf({ inputs: [{ ...input, path: '../../escape' }] })]
    const reads = [{ session: input.session, file: input.id }]
    await push({ id: other, body: outside, order: await signOrder(key, orderOf(other, outside, { reads })) })
    expect(await eventsOf(other)).toEqual(refused(other))

    const url = `${services.env.FILE_SERVER_URL}/sessions/${session}/objects/${file}`
    expect((await fetch(url, { headers: { authorization: `Bearer ${order}` } })).ok).toBe(false)
  })

  test.each(['{', 'null', '[]', '{"id":"x"}', ''])('drops an entry that is no job, %s, and goes on', async (text) => {
    await services.redis.redis.xadd(keys.jobs, '*', 'job', text)
    await services.redis.redis.xadd(keys.jobs, '*', 'other', text, 'more', 'fields')
    expect((await exec(services.url, { lang: 'bash', code: 'echo on' })).body.stdout).toBe('on\n')
    expect(await services.redis.redis.xlen(keys.jobs)).toBe(0)
  })

  test('has run nothing of all that, and stored nothing', async () => {
    const stored = (await services.redis.redis.keys('files:session:*:files')).length
    // the upload, and the output of the one that was true
    expect(stored).toBe(2)
  })
})
