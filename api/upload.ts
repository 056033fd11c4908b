import { Readable } from 'node:stream'
import type { ReadableStream as NodeStream } from 'node:stream/web'
import busboy from 'busboy'
import { Elysia } from 'elysia'
import { AppError } from '../errors.ts'
import type { FilesClient } from '../files/client.ts'
import { newId } from '../ids.ts'
import { pathProblem } from '../paths.ts'
import { UploadResponse } from './contract.ts'
import { type Principal, sessionKey } from './principal.ts'
import { readResource } from './resource.ts'

export type UploadDeps = {
  readonly principal: (request: Request) => Promise<Principal>
  readonly files: Pick<FilesClient, 'put' | 'remove'>
  readonly maxFileBytes: number
}

type Stored = { readonly filename: string; readonly fileId: string }

/** `POST /upload`: multipart form data, streamed through to the file service (spec/http-api.md §1.4) */
export const upload = ({ principal, files, maxFileBytes }: UploadDeps) =>
  new Elysia().post(
    '/upload',
    async ({ request }) => {
      const caller = await principal(request)
      const session = newId()
      const sent: (Stored & { readonly owner: string })[] = []
      try {
        await eachFile(request, async (file, fields) => {
          const owner = sessionKey(caller, readResource(fields))
          const problem = pathProblem(file.name)
          // no program could be given it
          if (problem)
            throw new AppError(400, `filename ${problem}`, `Cannot store ${JSON.stringify(file.name.slice(0, 80))}: its name ${problem}`)
          const fileId = newId()
          sent.push({ filename: file.name, fileId, owner })
          const content = {
            name: file.name,
            contentType: file.contentType,
            readOnly: fields.read_only?.toLowerCase() === 'true',
            body: file.body,
            maxBytes: maxFileBytes,
          }
          await files.put(owner, session, fileId, content, request.signal)
        })
      } catch (error) {
        // all or none
        await Promise.allSettled(sent.map(({ fileId, owner }) => files.remove(owner, session, fileId)))
        throw tooLarge(error) ?? error
      }
      if (sent.length === 0) throw new AppError(400, 'No files provided', 'Send at least one part with a file name')
      return { message: 'success' as const, storage_session_id: session, files: sent.map(({ filename, fileId }) => ({ filename, fileId })) }
    },
    { parse: 'none', response: { 200: UploadResponse }, detail: { summary: 'Store files for later runs' } },
  )

const tooLarge = (error: unknown): AppError | null =>
  error instanceof AppError && error.status === 413 ? new AppError(413, 'File size limit exceeded', error.message, { cause: error }) : null

type FilePart = { readonly name: string; readonly contentType: string; readonly body: ReadableStream<Uint8Array> }

/** Calls `store` for each file in the order of the form, with the fields that came before it. Ends when every call has */
const eachFile = async (
  request: Request,
  store: (file: FilePart, fields: Readonly<Record<string, string>>) => Promise<void>,
): Promise<void> => {
  const contentType = request.headers.get('content-type') ?? ''
  if (!contentType.includes('multipart/form-data') || !request.body) {
    throw new AppError(400, 'Invalid content type. Must be multipart/form-data.', 'Send the files as a multipart form')
  }
  const parser = openParser(contentType)
  const fields: Record<string, string> = {}
  const { promise: ended, resolve, reject } = Promise.withResolvers<void>()
  const puts: Promise<void>[] = []
  const source = Readable.fromWeb(request.body as unknown as NodeStream<Uint8Array>)
  const fail = (error: unknown) => {
    reject(error)
    source.unpipe(parser)
    source.destroy()
  }
  parser.on('field', (name, value) => {
    fields[name] = value
  })
  parser.on('file', (_field, stream, { filename, mimeType }) => {
    if (!filename) return void stream.resume()
    const body = Readable.toWeb(stream) as unknown as ReadableStream<Uint8Array>
    const put = store({ name: filename, contentType: mimeType, body }, { ...fields })
    put.catch(fail)
    puts.push(put)
  })
  parser.on('error', (cause) =>
    fail(new AppError(400, 'Error processing upload', 'Cannot read the form: it is cut off or malformed', { cause })),
  )
  parser.on('close', resolve)
  source.on('error', fail)
  source.pipe(parser)
  try {
    await ended
    await Promise.all(puts)
  } finally {
    await Promise.allSettled(puts)
  }
}

const openParser = (contentType: string): busboy.Busboy => {
  try {
    return busboy({ headers: { 'content-type': contentType }, defParamCharset: 'utf8', preservePath: true })
  } catch (cause) {
    throw new AppError(400, 'Error processing upload', 'Cannot read the form: its content type has no boundary', { cause })
  }
}
