import { Elysia, t } from 'elysia'
import type { FilesParts } from './app.ts'
import { ownerOf, readerOf, serviceOnly } from './auth.ts'
import { FileClaim, FileRecord, objectKey, Resolution } from './contract.ts'
import { Place, SessionPlace } from './place.ts'

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
    .post(
      '/resolve',
      async ({ request, body }) => {
        serviceOnly(await authenticate(request))
        return catalog.resolve(body.claims)
      },
      { body: t.Object({ claims: t.Array(FileClaim, { maxItems: 1_000 }) }), response: { 200: t.Array(Resolution) } },
    )
