import { Elysia, t } from 'elysia'
import { AppError } from '../errors.ts'
import type { FilesParts } from './app.ts'
import { ownerOf, readerOf, serviceOnly } from './auth.ts'
import { FileClaim, FileRecord, objectKey, Resolution } from './contract.ts'
import { Place, SessionPlace } from './place.ts'

/** A thousand claims, with room for long owners */
const MAX_CLAIMS_BYTES = 4 * 1024 * 1024

/** What is known of files, without their bytes; and their removal */
export const records = ({ authenticate, catalog, store }: FilesParts) =>
  new Elysia()
    .get(
      '/sessions/:session/objects/:file/metadata',
      async ({ request, params: { session, file } }) => catalog.find(readerOf(await authenticate(request), session, file), session, file),
      { params: Place, response: { 200: FileRecord } },
    )
    .get('/sessions/:session/objects', async ({ request, params }) => catalog.list(ownerOf(await authenticate(request)), params.session), {
      params: SessionPlace,
      response: { 200: t.Array(FileRecord) },
    })
    .delete(
      '/sessions/:session/objects/:file',
      async ({ request, params: { session, file } }) => {
        const record = await catalog.find(ownerOf(await authenticate(request)), session, file)
        await catalog.remove(record)
        await store.remove(objectKey(record))
        return record
      },
      { params: Place, response: { 200: FileRecord } },
    )
    .post('/resolve', async ({ body }) => catalog.resolve(body.claims), {
      // nothing is read before it is known who asks
      parse: async ({ request }) => {
        serviceOnly(await authenticate(request))
        return readJson(request, MAX_CLAIMS_BYTES)
      },
      body: t.Object({ claims: t.Array(FileClaim, { maxItems: 1_000 }) }),
      response: { 200: t.Array(Resolution) },
    })

const readJson = async (request: Request, maxBytes: number): Promise<unknown> => {
  const length = Number(request.headers.get('content-length') ?? Number.NaN)
  if (!(length <= maxBytes))
    throw new AppError(413, 'too_large', `Cannot read the body: send its Content-Length, at most ${maxBytes} bytes`)
  return request.json().catch((cause) => {
    throw new AppError(400, 'invalid_request', 'Cannot read the body: send JSON', { cause })
  })
}
