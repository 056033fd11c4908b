import { Elysia } from 'elysia'
import { AppError } from '../errors.ts'
import { log } from '../log.ts'
import type { FilesParts } from './app.ts'
import { readerOf } from './auth.ts'
import { type FileRecord, headers, objectKey } from './contract.ts'
import { attachment } from './names.ts'
import { Place } from './place.ts'
import { parseRange } from './range.ts'

/** `GET` and `HEAD /sessions/:session/objects/:file`: the bytes, whole or a range of them */
export const download = ({ authenticate, catalog, store }: FilesParts) => {
  const find = async (request: Request, { session, file }: { session: string; file: string }) =>
    catalog.find(readerOf(await authenticate(request), session, file), session, file)

  /** Null when the bytes are not (any more) those of the record: the file is being replaced or removed */
  const open = async (request: Request, record: FileRecord): Promise<Response | null> => {
    const range = rangeOf(request.headers, record)
    if (range === 'unsatisfiable') return unsatisfiable(record)
    const size = range ? range.end - range.start + 1 : record.size
    const found = await store.get(objectKey(record), { range: range ?? undefined, signal: request.signal })
    if (found?.size !== size) {
      await found?.body.cancel()
      return null
    }
    // Bun sends a stream that is not a file's own in chunks, and drops the length (oven-sh/bun#10507)
    const about = { ...describe(record), 'content-length': String(size) }
    if (!range) return new Response(found.body, { headers: about })
    return new Response(found.body, {
      status: 206,
      headers: { ...about, 'content-range': `bytes ${range.start}-${range.end}/${record.size}` },
    })
  }

  return new Elysia()
    .head(
      '/sessions/:session/objects/:file',
      async ({ request, params }) => {
        const record = await find(request, params)
        return (
          unchanged(request.headers, record) ??
          new Response(null, { headers: { ...describe(record), 'content-length': String(record.size) } })
        )
      },
      { params: Place },
    )
    .get(
      '/sessions/:session/objects/:file',
      async ({ request, params }) => {
        const record = await find(request, params)
        const response =
          unchanged(request.headers, record) ?? (await open(request, record)) ?? (await open(request, await find(request, params)))
        if (response) return response
        log.error({ session: params.session, file: params.file }, 'The bytes of a file are not those of its record')
        throw new AppError(404, 'not_found', 'Cannot read the file: its bytes are lost')
      },
      { params: Place },
    )
}

const etagOf = (record: FileRecord) => `"${record.sha256}"`

const describe = (record: FileRecord): Record<string, string> => ({
  'content-type': record.contentType,
  'content-disposition': attachment(record.name),
  // a stored page must not run as one of ours
  'x-content-type-options': 'nosniff',
  'cache-control': 'private, no-cache',
  'accept-ranges': 'bytes',
  etag: etagOf(record),
  'last-modified': new Date(record.lastModified).toUTCString(),
  ...(record.readOnly && { [headers.readOnly]: 'true' }),
})

/** 304 when the caller has these bytes already (RFC 9110 §13.1.2) */
const unchanged = (from: Headers, record: FileRecord): Response | null => {
  const known = from
    .get('if-none-match')
    ?.split(',')
    .map((tag) => tag.trim().replace(/^W\//, ''))
  if (!known?.some((tag) => tag === '*' || tag === etagOf(record))) return null
  const { 'content-type': _, ...about } = describe(record)
  return new Response(null, { status: 304, headers: about })
}

/** A range of another version of the file would be mixed with this one: `If-Range` says which version is meant (RFC 9110 §13.1.5) */
const rangeOf = (from: Headers, record: FileRecord) => {
  const version = from.get('if-range')
  return version === null || version === etagOf(record) ? parseRange(from.get('range'), record.size) : null
}

const unsatisfiable = (record: FileRecord) =>
  Response.json(
    { error: 'range_not_satisfiable', message: `Cannot send that range: the file has ${record.size} bytes` },
    { status: 416, headers: { 'content-range': `bytes */${record.size}` } },
  )
