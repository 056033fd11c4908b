import { afterAll, beforeAll, describe, expect, test } from 'bun:test'
import { s3Missing, startS3 } from './s3.ts'
import { exec, jailsMissing, reference, type Services, startServices, upload } from './services.ts'

const SID = 's'.repeat(21)
const FID = 'f'.repeat(21)

describe('the routes of stored files', () => {
  let services: Services
  let session = ''
  let file = ''
  beforeAll(async () => {
    services = await startServices({ worker: false })
    const { body } = await upload(services.url, [{ name: 'dir/säle 1.csv', content: 'a,b\n' }])
    session = body.storage_session_id
    file = body.files[0].fileId
  })
  afterAll(() => services[Symbol.asyncDispose]())
  const ask = async (method: string, path: string, headers: Record<string, string> = {}) => {
    const response = await fetch(`${services.url}/v1${path}`, { method, headers })
    const text = await response.text()
    const isJson = response.headers.get('content-type')?.includes('json')
    return { status: response.status, body: isJson && text ? JSON.parse(text) : text, headers: response.headers }
  }

  test('upload answers with ids of 21 characters and the name as it was sent', async () => {
    const { status, body } = await upload(services.url, [
      { name: 'a.txt', content: '' },
      { name: 'b/c.txt', content: 'x' },
    ])
    expect({ status, body }).toEqual({
      status: 200,
      body: {
        message: 'success',
        storage_session_id: expect.stringMatching(/^[\w-]{21}$/),
        files: [
          { filename: 'a.txt', fileId: expect.stringMatching(/^[\w-]{21}$/) },
          { filename: 'b/c.txt', fileId: expect.stringMatching(/^[\w-]{21}$/) },
        ],
      },
    })
  })

  test.each([0, 1, 1024 * 1024 - 1, 1024 * 1024 + 1, 25 * 1024 * 1024])('upload and download keep %d bytes as they are', async (size) => {
    const content = crypto.getRandomValues(new Uint8Array(Math.min(size, 65_536)))
    const bytes = new Uint8Array(size).map((_, index) => content[index % content.length] ?? 0)
    const { body } = await upload(services.url, [{ name: 'bytes.bin', content: bytes }])
    const response = await fetch(`${services.url}/v1/download/${body.storage_session_id}/${body.files[0].fileId}`)
    expect(Bun.SHA256.hash(await response.arrayBuffer(), 'hex')).toBe(Bun.SHA256.hash(bytes, 'hex'))
  })

  test('upload refuses a file over the limit, and keeps nothing of the request', async () => {
    const form = new FormData()
    form.append('file', new Blob(['small']), 'small.txt')
    form.append('file', new Blob([new Uint8Array(25 * 1024 * 1024 + 1)]), 'large.bin')
    const response = await fetch(`${services.url}/v1/upload`, { method: 'POST', body: form })
    expect({ status: response.status, body: await response.json() }).toMatchObject({
      status: 413,
      body: { error: 'File size limit exceeded' },
    })
    const stored = await services.redis.redis.keys('files:session:*:files')
    const names = await Promise.all(stored.map((key) => services.redis.redis.hvals(key)))
    expect(names.flat().filter((record) => record.includes('small.txt'))).toEqual([])
  })

  test.each([
    ['no form', { headers: { 'content-type': 'text/plain' }, body: 'x' }, 400, 'Invalid content type. Must be multipart/form-data.'],
    ['a form without a boundary', { headers: { 'content-type': 'multipart/form-data' }, body: 'x' }, 400, 'Error processing upload'],
    [
      'a form that is cut off',
      { headers: { 'content-type': 'multipart/form-data; boundary=b' }, body: '--b\r\nContent-Dispo' },
      400,
      'Error processing upload',
    ],
    ['a form without files', { body: new FormData() }, 400, 'No files provided'],
  ])('upload refuses %s', async (_what, init, status, error) => {
    const response = await fetch(`${services.url}/v1/upload`, { method: 'POST', ...init })
    expect({ status: response.status, body: await response.json() }).toMatchObject({ status, body: { error } })
  })

  test.each([
    [{ kind: 'team' }, 'kind must be one of: skill, agent, user'],
    [{ kind: 'agent' }, "id is required for kind: 'agent'"],
    [{ kind: 'skill', id: 'x' }, "version is required for kind: 'skill'"],
    [{ kind: 'skill', id: 'x', version: 'new' }, "version must be a number for kind: 'skill'"],
    [{ kind: 'user', version: '1' }, "version is only valid for kind: 'skill'"],
  ])('upload refuses %j', async (fields, error) => {
    const { status, body } = await upload(services.url, [{ name: 'a', content: 'x' }], fields as Record<string, string>)
    expect({ status, body }).toMatchObject({ status: 400, body: { error } })
  })

  test('metadata says what was stored', async () => {
    expect((await ask('GET', `/sessions/${session}/objects/${file}?kind=user&id=anybody`)).body).toEqual({
      name: `${session}/${file}.csv`,
      originalFilename: 'dir/säle 1.csv',
      size: 4,
      lastModified: expect.stringMatching(/^\d{4}-\d\d-\d\dT/),
      etag: expect.any(String),
      contentType: 'application/octet-stream',
      readOnly: false,
    })
  })

  test('listings have the fields of every generation of clients', async () => {
    const name = `${session}/${file}.csv`
    expect((await ask('GET', `/files/${session}`)).body).toEqual([name])
    expect((await ask('GET', `/files/${session}?detail=summary&kind=user&id=x`)).body).toEqual([
      expect.objectContaining({
        name,
        fileId: file,
        storage_session_id: session,
        size: 4,
        lastModified: expect.any(String),
        etag: expect.any(String),
      }),
    ])
    expect((await ask('GET', `/files/${session}?detail=full`)).body[0].metadata).toMatchObject({
      'original-filename': 'dir/säle 1.csv',
      'original-filename-encoded': 'none',
    })
    expect((await ask('GET', `/files/${session}?detail=normalized`)).body).toEqual([
      expect.objectContaining({ id: file, name: 'dir/säle 1.csv', storage_session_id: session, size: 4 }),
    ])
  })

  test.each(['constructor', '__proto__', 'valueOf', 'simple', ''])('detail %j is the simple listing', async (detail) => {
    expect((await ask('GET', `/files/${session}?detail=${detail}`)).body).toEqual([`${session}/${file}.csv`])
  })

  test.each(['a\\b.txt', '../x', 'x'.repeat(257), '/etc/passwd'])(
    'upload refuses the name %j, which no program could be given',
    async (name) => {
      const { status, body } = await upload(services.url, [{ name, content: 'x' }])
      expect({ status, body }).toMatchObject({ status: 400, body: { error: expect.stringMatching(/^filename /) } })
    },
  )

  test('download gives the bytes, or a part of them, with safe headers', async () => {
    const whole = await ask('GET', `/download/${session}/${file}?kind=user&id=x`)
    expect(whole).toMatchObject({ status: 200, body: 'a,b\n' })
    expect(whole.headers.get('content-disposition')).toBe("attachment; filename*=UTF-8''dir%2Fs%C3%A4le%201.csv")
    expect(whole.headers.get('x-content-type-options')).toBe('nosniff')
    const part = await ask('GET', `/download/${session}/${file}`, { range: 'bytes=2-2' })
    expect(part).toMatchObject({ status: 206, body: 'b' })
    expect(part.headers.get('content-range')).toBe('bytes 2-2/4')
  })

  test('deletion is final, on either route', async () => {
    for (const path of ['/files/:s/:f', '/sessions/:s/objects/:f']) {
      const { body } = await upload(services.url, [{ name: 'x', content: 'x' }])
      const at = path.replace(':s', body.storage_session_id).replace(':f', body.files[0].fileId)
      expect(await ask('DELETE', `${at}?kind=user&id=x`)).toMatchObject({
        status: 200,
        body: { message: 'File deleted successfully', session_id: body.storage_session_id, fileId: body.files[0].fileId },
      })
      expect(await ask('DELETE', at)).toMatchObject({ status: 404, body: { error: 'File not found' } })
      expect(await ask('GET', `/download/${body.storage_session_id}/${body.files[0].fileId}`)).toMatchObject({ status: 404 })
    }
  })

  test('what is shared by a skill is not found as the user, and the other way round', async () => {
    const { body } = await upload(services.url, [{ name: 'SKILL.md', content: 'x' }], {
      kind: 'skill',
      id: 'pptx',
      version: '1',
      read_only: 'true',
    })
    const path = `/sessions/${body.storage_session_id}/objects/${body.files[0].fileId}`
    expect(await ask('GET', `${path}?kind=skill&id=pptx&version=1`)).toMatchObject({ status: 200, body: { readOnly: true } })
    expect(await ask('GET', `${path}?kind=skill&id=pptx&version=2`)).toMatchObject({ status: 403, body: { error: 'Unauthorized' } })
    expect(await ask('GET', path)).toMatchObject({ status: 403 })
  })

  test.each([
    ['GET', `/files/short`, 400, 'Bad request'],
    ['GET', `/files/${SID}`, 404, 'Session not found'],
    ['GET', `/sessions/${SID}/objects/${FID}`, 404, 'File not found'],
    ['GET', `/download/${SID}/${FID}`, 404, 'File not found'],
    ['GET', `/files/${SID}?kind=team`, 400, 'kind must be one of: skill, agent, user'],
    ['GET', `/files/${SID}?kind=user&kind=agent`, 400, 'Bad request'],
    ['GET', '/nothing', 404, 'Not found'],
    ['PUT', '/exec', 404, 'Not found'],
  ])('%s %s is refused with %d', async (method, path, status, error) => {
    expect(await ask(method, path)).toMatchObject({ status, body: { error } })
  })

  test('health is plain text and needs Redis', async () => {
    expect(await ask('GET', '/health')).toMatchObject({ status: 200, body: 'OK' })
    await services.redis.stop()
    expect(await ask('GET', '/health')).toMatchObject({ status: 503, body: 'Service Unavailable' })
    await services.redis.restart()
  })
})

describe.skipIf(jailsMissing() !== null || s3Missing() !== null)('with files on S3', () => {
  test('a program reads an upload, and what it makes can be downloaded', async () => {
    await using s3 = await startS3()
    await using services = await startServices({ env: s3.env() })
    const { body: sent } = await upload(services.url, [{ name: 'in.txt', content: 'one\n' }])
    const files = [reference(sent.files[0], sent.storage_session_id)]
    const { body } = await exec(services.url, { lang: 'bash', code: 'cat in.txt > out.txt; echo two >> out.txt', files })
    expect(body).toMatchObject({ code: 0, files: [{ name: 'out.txt' }, { name: 'in.txt', inherited: true }] })
    const [made] = body.files
    expect(await (await fetch(`${services.url}/v1/download/${made.storage_session_id}/${made.id}`)).text()).toBe('one\ntwo\n')
  })
})
