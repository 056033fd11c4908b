import { type Static, Type as t } from '@sinclair/typebox'
import { Id, isId } from '../ids.ts'

/** What is known of one stored file, besides its bytes */
export const FileRecord = t.Object({
  session: Id,
  id: Id,
  /** As the client gave it: may have directories, in UTF-8 */
  name: t.String(),
  size: t.Integer(),
  contentType: t.String(),
  readOnly: t.Boolean(),
  /** SHA-256 of the bytes, hexadecimal; also the entity tag */
  sha256: t.String(),
  /** ISO 8601 */
  lastModified: t.String(),
})
export type FileRecord = Static<typeof FileRecord>

/** A file that a caller claims it may read: `owner` is the session key that the caller's principal and reference give */
export const FileClaim = t.Object({ session: Id, file: Id, owner: t.String() })
export type FileClaim = Static<typeof FileClaim>

export const Resolution = t.Union([
  t.Object({ status: t.Literal('ok'), record: FileRecord }),
  /** Deleted, expired or never stored */
  t.Object({ status: t.Literal('missing') }),
  /** It belongs to somebody else */
  t.Object({ status: t.Literal('forbidden') }),
])
export type Resolution = Static<typeof Resolution>

/** Request headers of the internal routes. The first two authenticate a service; the third a worker, for one job */
export const headers = {
  internalToken: 'x-codeapi-internal-token',
  /** Session key of the caller, percent-encoded UTF-8; files decides whether it owns the session */
  owner: 'x-codeapi-owner',
  /** `Authorization: Bearer <work order>` */
  order: 'authorization',
  /** Percent-encoded UTF-8 */
  fileName: 'x-original-filename',
  readOnly: 'x-read-only',
} as const

/** A header holds Latin-1 only (RFC 9110 §5.5), a name anything. A lone surrogate, which UTF-8 cannot hold, becomes U+FFFD */
export const encodeHeader = (text: string) => encodeURIComponent(text.toWellFormed())

/** Where the bytes lie in the store: `<session>/<file><ext>`, also the `name` that LibreChat sees in listings (spec/files.md §1.9) */
export const objectKey = (file: Pick<FileRecord, 'session' | 'id' | 'name'>) => {
  const base = file.name.slice(file.name.lastIndexOf('/') + 1)
  // only what every store and filesystem takes as it is
  return `${file.session}/${file.id}${/[^.](\.[A-Za-z0-9_-]{1,32})$/.exec(base)?.[1] ?? ''}`
}

/** Whether an object is one of ours: a bucket may hold other things */
export const isObjectKey = (key: string) => {
  const [session, name = '', ...deeper] = key.split('/')
  return isId(session) && isId(name.split('.', 1)[0]) && deeper.length === 0
}

export const keys = {
  /** Hash: `owner`, `createdAt`, `uploads` (how many were begun: the order of a listing) */
  session: (session: string) => `files:session:{${session}}`,
  /** Hash: file id → FileRecord as JSON */
  records: (session: string) => `files:session:{${session}}:files`,
  /** Hash: file id → its uploads under a work order that are under way or stored */
  spent: (job: string) => `files:order:{${job}}`,
  /** Sorted set of sessions by when they expire at the earliest, `ms` since 1970 */
  expiry: 'files:expiry',
  /** Present while a search of the whole store for lost bytes is not due */
  searched: 'files:searched',
}
