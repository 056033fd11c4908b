import { expect, test } from 'bun:test'
import { AppError } from '../errors.ts'
import { newId } from '../ids.ts'
import { filesClient } from './client.ts'
import type { FileRecord } from './contract.ts'

const session = newId()
const file = newId()
const record: FileRecord = {
  session,
  id: file,
  name: 'a',
  size: 3,
  contentType: 'a/b',
  readOnly: false,
  sha256: '',
  lastModified: new Date(0).toISOString(),
}

/** A file service that answers with these, one after another, and keeps what it was sent */
const serving = (...answers: (() => Response)[]) => {
  const bodies: string[] = []
  const server = Bun.serve({
    hostname: '127.0.0.1',
    port: 0,
    async fetch(request) {
      bodies.push(await request.text())
      return answers[Math.min(bodies.length, answers.length) - 1]?.() ?? new Response(null, { status: 500 })
    },
  })
  return {
    bodies,
    client: filesClient({ url: server.url.origin, token: 'token' }),
    [Symbol.asyncDispose]: () => server.stop(true),
  }
}
const busy = () => Response.json({ error: 'files_unavailable', message: 'busy' }, { status: 503 })
const found = () => Response.json(record)

test('a question that is answered 503 is asked again', async () => {
  await using service = serving(busy, busy, found)
  expect(await service.client.metadata('o', session, file)).toEqual(record)
  expect(service.bodies).toHaveLength(3)
})

test('it is asked three times at most, and then the last answer is the error', async () => {
  await using service = serving(busy)
  expect(await service.client.list('o', session).catch((error) => error)).toMatchObject({
    status: 503,
    code: 'files_unavailable',
    message: 'busy',
  })
  expect(service.bodies).toHaveLength(3)
})

test('a refusal is not asked again', async () => {
  await using service = serving(() => Response.json({ error: 'forbidden', message: 'no' }, { status: 403 }))
  expect(await service.client.metadata('o', session, file).catch((error) => error)).toMatchObject({ status: 403, code: 'forbidden' })
  expect(service.bodies).toHaveLength(1)
})

test('a file is sent again, a stream cannot be', async () => {
  const content = { name: 'a', contentType: 'a/b' }
  await using service = serving(busy, found)
  expect(await service.client.put('o', session, file, { ...content, body: new Blob(['abc']) })).toEqual(record)
  expect(service.bodies).toEqual(['abc', 'abc'])

  await using other = serving(busy, found)
  const stream = new Blob(['abc']).stream()
  expect((await other.client.put('o', session, file, { ...content, body: stream }).catch((error) => error)).status).toBe(503)
  expect(other.bodies).toEqual(['abc'])
})

test('a removal is not asked again: the first may have worked', async () => {
  await using service = serving(busy, found)
  expect((await service.client.remove('o', session, file).catch((error) => error)).status).toBe(503)
})

test('a service that is not there is named, with what to check', async () => {
  const url = 'http://127.0.0.1:1'
  const error = await filesClient({ url, token: 'x' })
    .metadata('o', session, file)
    .catch((reason) => reason)
  expect(error).toBeInstanceOf(AppError)
  expect(error).toMatchObject({ status: 503, code: 'files_unavailable' })
  expect(error.message).toContain(url)
  expect(error.message).toContain('FILE_SERVER_URL')
})

test('what is not a file service is recognized', async () => {
  await using service = serving(() => new Response('<html>', { headers: { 'content-type': 'text/html' } }))
  expect(await service.client.metadata('o', session, file).catch((error) => error)).toMatchObject({
    status: 502,
    code: 'files_unavailable',
  })
  await using other = serving(() => Response.json({ hello: 'world' }))
  expect(await other.client.list('o', session).catch((error) => error)).toMatchObject({ status: 502, code: 'files_unavailable' })
})

test('who gives up is not kept waiting', async () => {
  await using service = serving(busy)
  const error = await service.client.metadata('o', session, file, AbortSignal.abort(new Error('gone'))).catch((reason) => reason)
  expect(error.message).toBe('gone')
})
