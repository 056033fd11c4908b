import { type Static, Type as t } from '@sinclair/typebox'
import { Id } from '../ids.ts'

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
  /** Session key of the caller; files decides whether it owns the session */
  owner: 'x-codeapi-owner',
  /** `Authorization: Bearer <work order>` */
  order: 'authorization',
  /** Percent-encoded UTF-8 */
  fileName: 'x-original-filename',
  readOnly: 'x-read-only',
} as const

export const keys = {
  /** Hash: `owner`, `createdAt` */
  session: (session: string) => `files:session:{${session}}`,
  /** Hash: file id → FileRecord as JSON */
  records: (session: string) => `files:session:{${session}}:files`,
  /** Hash: `files`, `bytes` that a work order has stored so far */
  spent: (job: string) => `files:order:{${job}}`,
  /** Sorted set of sessions by when they expire, `ms` since 1970 */
  expiry: 'files:expiry',
}
