import { type Static, type TSchema, Type as t } from '@sinclair/typebox'
import { Value } from '@sinclair/typebox/value'
import { decodeJwt } from 'jose'
import { AppError } from '../errors.ts'
import { WorkOrder } from '../order.ts'
import { encodeHeader, type FileClaim, FileRecord, headers, Resolution } from './contract.ts'
import { ask, type Question } from './request.ts'

/** A `Blob` (such as `Bun.file(path)`) can be sent again when the connection breaks; a stream cannot, give its `size` when you know it */
export type FileBody = Blob | ReadableStream<Uint8Array>
export type NewFile = { name: string; contentType: string; readOnly?: boolean; body: FileBody; size?: number | undefined }

/** How api asks: `owner` is the session key of the caller, and files refuses (403 `forbidden`) what is not theirs. All calls throw an {@link AppError} */
export const filesClient = ({ url, token }: { url: string; token: string }) => {
  const as = (owner: string) => ({ [headers.internalToken]: token, [headers.owner]: encodeHeader(owner) })
  return {
    /** Stores a file, and makes its session when there is none; 413 `file_too_large` beyond `maxBytes` */
    async put(
      owner: string,
      session: string,
      file: string,
      content: NewFile & { maxBytes?: number },
      signal?: AbortSignal,
    ): Promise<FileRecord> {
      const limit = content.maxBytes === undefined ? '' : `?maxBytes=${content.maxBytes}`
      return read(FileRecord, await ask(url, put(`${objectPath(session, file)}${limit}`, as(owner), content, signal)))
    },

    /**
     * The bytes, as a response to pass on. Of the reader's headers, `range`, `if-range` and `if-none-match` are honoured,
     * so the status is 200, 206, 304 or 416. Its body ends with an error when it cannot be whole.
     */
    get: (
      owner: string,
      session: string,
      file: string,
      options: { headers?: Headers; method?: 'GET' | 'HEAD'; signal?: AbortSignal } = {},
    ) =>
      ask(url, {
        method: options.method ?? 'GET',
        path: objectPath(session, file),
        headers: { ...as(owner), ...conditions(options.headers) },
        signal: options.signal,
        accepts: [304, 416],
      }),

    async metadata(owner: string, session: string, file: string, signal?: AbortSignal): Promise<FileRecord> {
      return read(FileRecord, await ask(url, { method: 'GET', path: `${objectPath(session, file)}/metadata`, headers: as(owner), signal }))
    },

    /** In the order of their uploads; 404 when there is no such session */
    async list(owner: string, session: string, signal?: AbortSignal): Promise<FileRecord[]> {
      return read(t.Array(FileRecord), await ask(url, { method: 'GET', path: `/sessions/${session}/objects`, headers: as(owner), signal }))
    },

    /** The record of what was removed; 404 when it was not there */
    async remove(owner: string, session: string, file: string, signal?: AbortSignal): Promise<FileRecord> {
      return read(FileRecord, await ask(url, { method: 'DELETE', path: objectPath(session, file), headers: as(owner), signal }))
    },

    /** Whether each claim holds, in their order, in one round trip; it counts as use of the files */
    async resolve(claims: readonly FileClaim[], signal?: AbortSignal): Promise<Resolution[]> {
      const question: Question = {
        method: 'POST',
        path: '/resolve',
        headers: { [headers.internalToken]: token, 'content-type': 'application/json' },
        body: JSON.stringify({ claims }),
        repeatable: true,
        signal,
      }
      return read(t.Array(Resolution), await ask(url, question))
    },
  }
}
export type FilesClient = ReturnType<typeof filesClient>

/** How a worker asks, for one job: `order` is the signed work order, which says what it may read and where it writes */
export const orderFiles = ({ url, order }: { url: string; order: string }) => {
  const bearer = { [headers.order]: `Bearer ${order}` }
  const { session } = Value.Parse(t.Pick(WorkOrder, ['write']), decodeJwt(order)).write
  return {
    /** The bytes; the body ends with an error when it cannot be whole */
    read: (from: string, file: string, signal?: AbortSignal): Promise<Response> =>
      ask(url, { method: 'GET', path: objectPath(from, file), headers: bearer, signal }),

    /** Stores a file in the order's session */
    async write(file: string, content: NewFile, signal?: AbortSignal): Promise<FileRecord> {
      return read(FileRecord, await ask(url, put(objectPath(session, file), bearer, content, signal)))
    },
  }
}
export type OrderFiles = ReturnType<typeof orderFiles>

const objectPath = (session: string, file: string) => `/sessions/${session}/objects/${file}`

const put = (path: string, credentials: Record<string, string>, content: NewFile, signal: AbortSignal | undefined): Question => ({
  method: 'PUT',
  path,
  headers: {
    ...credentials,
    [headers.fileName]: encodeHeader(content.name),
    'content-type': content.contentType,
    ...(content.readOnly && { [headers.readOnly]: 'true' }),
    ...(content.size !== undefined && !(content.body instanceof Blob) && { 'content-length': String(content.size) }),
  },
  body: content.body,
  repeatable: content.body instanceof Blob,
  signal,
})

const conditions = (from: Headers | undefined): Record<string, string> => {
  const names = ['range', 'if-range', 'if-none-match']
  return Object.fromEntries(names.flatMap((name) => (from?.has(name) ? [[name, from.get(name) ?? '']] : [])))
}

const read = async <Schema extends TSchema>(schema: Schema, response: Response): Promise<Static<Schema>> => {
  const body: unknown = await response.json().catch((cause) => {
    throw misunderstood(cause)
  })
  if (!Value.Check(schema, body)) throw misunderstood()
  return body
}

const misunderstood = (cause?: unknown) =>
  new AppError(502, 'files_unavailable', 'Cannot understand the file service: check FILE_SERVER_URL, and that it is of the same version', {
    cause,
  })
