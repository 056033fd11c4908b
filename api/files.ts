import { Elysia } from 'elysia'
import { AppError } from '../errors.ts'
import type { FilesClient } from '../files/client.ts'
import { type FileRecord, objectKey } from '../files/contract.ts'
import { isId } from '../ids.ts'
import { ObjectMetadata } from './contract.ts'
import { type Principal, sessionKey } from './principal.ts'
import { readResource } from './resource.ts'

export type FilesDeps = { readonly principal: (request: Request) => Promise<Principal>; readonly files: FilesClient }

type Context = { request: Request; params: Record<string, string>; query: Record<string, unknown> }

/** Listing, metadata, bytes and deletion of stored files (spec/http-api.md §1.6–1.9) */
export const files = ({ principal, files: store }: FilesDeps) => {
  const ownerOf = async ({ request, params, query }: Context): Promise<string> => {
    if (!Object.values(params).every(isId))
      throw new AppError(400, 'Bad request', 'Cannot use the ids in the path: they have 21 characters')
    return sessionKey(await principal(request), readResource({ ...query, ...repeated(request) }))
  }
  const remove = async (context: Context) => {
    const { session = '', file = '' } = context.params
    await store.remove(await ownerOf(context), session, file, context.request.signal).catch(rename('File not found'))
    return { message: 'File deleted successfully', session_id: session, fileId: file }
  }
  return new Elysia()
    .get('/files/:session', async (context) => {
      const { session } = context.params
      const records = await store.list(await ownerOf(context), session, context.request.signal).catch(rename('Session not found'))
      return records.map(LISTINGS.get(String(context.query.detail)) ?? objectKey)
    })
    .get(
      '/sessions/:session/objects/:file',
      async (context) => {
        const { session, file } = context.params
        return metadata(await store.metadata(await ownerOf(context), session, file, context.request.signal).catch(rename('File not found')))
      },
      { response: { 200: ObjectMetadata } },
    )
    .get('/download/:session/:file', async (context) => {
      const { session, file } = context.params
      const { headers, method, signal } = context.request
      const options = { headers, method: method === 'HEAD' ? 'HEAD' : 'GET', signal } as const
      const found = await store.get(await ownerOf(context), session, file, options).catch(rename('File not found'))
      return new Response(found.body, { status: found.status, headers: passed(found.headers) })
    })
    .delete('/files/:session/:file', remove)
    .delete('/sessions/:session/objects/:file', remove)
}

/** Parameters that were given more than once; the router keeps one of each */
const repeated = (request: Request): Record<string, string[]> => {
  const { searchParams } = new URL(request.url)
  const values = ['kind', 'id', 'version'].map((name) => [name, searchParams.getAll(name)] as const)
  return Object.fromEntries(values.filter(([, given]) => given.length > 1))
}

const metadata = (record: FileRecord): ObjectMetadata => ({
  name: objectKey(record),
  originalFilename: record.name,
  size: record.size,
  lastModified: record.lastModified,
  etag: record.sha256,
  contentType: record.contentType,
  readOnly: record.readOnly,
})

const summary = (record: FileRecord) => ({
  name: objectKey(record),
  size: record.size,
  lastModified: record.lastModified,
  etag: record.sha256,
  fileId: record.id,
  storage_session_id: record.session,
  filename: record.name,
  contentType: record.contentType,
  readOnly: record.readOnly,
})

const full = (record: FileRecord) => ({
  ...summary(record),
  metadata: {
    'content-type': record.contentType,
    'original-filename': record.name,
    'original-filename-encoded': 'none',
    ...(record.readOnly && { 'read-only': 'true' }),
  },
  versionId: null,
})

const normalized = (record: FileRecord) => ({
  id: record.id,
  name: record.name,
  storage_session_id: record.session,
  size: record.size,
  contentType: record.contentType,
  lastModified: record.lastModified,
  ...(record.readOnly && { read_only: true }),
})

/** What `detail` asks for; anything else is `simple` */
const LISTINGS = new Map<string, (record: FileRecord) => unknown>([
  ['summary', summary],
  ['full', full],
  ['normalized', normalized],
])

/** The error texts of this API; files' own codes are for services */
const rename =
  (notFound: string) =>
  (error: unknown): never => {
    if (!(error instanceof AppError)) throw error
    if (error.status === 404) throw new AppError(404, notFound, 'It may have expired, been deleted, or never been there', { cause: error })
    if (error.status === 403) throw new AppError(403, 'Unauthorized', 'It belongs to somebody else', { cause: error })
    throw error
  }

const PASSED = [
  'content-type',
  'content-length',
  'content-range',
  'content-disposition',
  'accept-ranges',
  'etag',
  'last-modified',
  'x-read-only',
  'x-content-type-options',
]

const passed = (from: Headers): Headers => {
  const headers = new Headers()
  for (const name of PASSED) {
    const value = from.get(name)
    if (value !== null) headers.set(name, value)
  }
  return headers
}
