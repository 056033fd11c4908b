import { type Static, Type as t } from '@sinclair/typebox'
import { Id } from '../ids.ts'
import { OutputFile } from '../worker/contract.ts'

/** `POST /v1/exec` (spec/http-api.md §1.2). Unknown fields are ignored, `null` counts as absent */
export const ExecRequest = t.Object({
  lang: t.String({ error: 'Missing required field: lang' }),
  code: t.String({ error: 'Missing required field: code' }),
  args: t.Optional(t.Unknown()),
  files: t.Optional(t.Unknown()),
  /** Wall time of the run in `ms`, at most the server's own limit */
  timeout: t.Optional(t.Unknown()),
})
export type ExecRequest = Static<typeof ExecRequest>

const Nullable = <Schema extends ReturnType<typeof t.String | typeof t.Integer>>(schema: Schema) => t.Union([schema, t.Null()])

export const ExecResponse = t.Object({
  /** This run; also the storage session of its outputs */
  session_id: Id,
  files: t.Array(OutputFile),
  stdout: t.String(),
  stderr: t.String(),
  code: Nullable(t.Integer()),
  signal: Nullable(t.String()),
  message: Nullable(t.String()),
  /** `TO` time limit, `OL` output limit, `SG` out of memory */
  status: t.Union([t.Literal('TO'), t.Literal('OL'), t.Literal('SG'), t.Null()]),
  /** `ms` */
  wall_time: t.Integer(),
  /** `ms` */
  cpu_time: t.Integer(),
  /** Highest use in bytes; `null` where it was not measured */
  memory: Nullable(t.Integer()),
  /** Names of inputs that the program deleted */
  deleted_files: t.Optional(t.Array(t.String())),
  artifact_delivery: t.Optional(
    t.Object({
      code: t.Literal('artifact_delivery_failed'),
      status: t.Union([t.Literal('partial'), t.Literal('failed')]),
      attempted: t.Integer(),
      delivered: t.Integer(),
      failed: t.Integer(),
    }),
  ),
})
export type ExecResponse = Static<typeof ExecResponse>

/** `POST /v1/upload` (§1.4) */
export const UploadResponse = t.Object({
  message: t.Literal('success'),
  storage_session_id: Id,
  files: t.Array(t.Object({ filename: t.String(), fileId: Id })),
})
export type UploadResponse = Static<typeof UploadResponse>

/** `GET /v1/sessions/:session_id/objects/:fileId` (§1.7) */
export const ObjectMetadata = t.Object({
  /** `<session>/<file id><extension>` */
  name: t.String(),
  originalFilename: t.String(),
  size: t.Integer(),
  lastModified: t.String(),
  etag: t.String(),
  contentType: t.String(),
  readOnly: t.Boolean(),
})
export type ObjectMetadata = Static<typeof ObjectMetadata>

/** Whose files a request is about: `user` is the caller; the others are shared in the tenant (§3.2) */
export const Kind = t.Union([t.Literal('skill'), t.Literal('agent'), t.Literal('user')])
export type Kind = Static<typeof Kind>
