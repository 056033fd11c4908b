import { type Static, Type as t } from '@sinclair/typebox'
import { FileRecord } from '../files/contract.ts'
import { Id } from '../ids.ts'
import { RunStatus } from '../jail/outcome.ts'

export const Language = t.Union([
  t.Literal('python'),
  t.Literal('javascript'),
  t.Literal('typescript'),
  t.Literal('node'),
  t.Literal('bash'),
])
export type Language = Static<typeof Language>

/** A stored file, and where the program finds it: `path` relative to `/mnt/data` */
export const Input = t.Composite([FileRecord, t.Object({ path: t.String() })])
export type Input = Static<typeof Input>

/** What is to be run; the work order holds the SHA-256 of its JSON text */
export const JobBody = t.Object({
  language: Language,
  code: t.String(),
  args: t.Array(t.String()),
  inputs: t.Array(Input),
})
export type JobBody = Static<typeof JobBody>

/** One entry of the stream of jobs */
export const Job = t.Object({
  id: Id,
  /** Stream that events about this job go to */
  replyTo: t.String(),
  /** Signed work order (JWS) */
  order: t.String(),
  /** {@link JobBody} as JSON text */
  body: t.String(),
  /** Nobody waits for it after this, `ms` since 1970 */
  expiresAt: t.Integer(),
})
export type Job = Static<typeof Job>

/** A file in the answer (spec/http-api.md §3.7) */
export const OutputFile = t.Object({
  id: Id,
  storage_session_id: Id,
  name: t.String(),
  inherited: t.Optional(t.Literal(true)),
  modified_from: t.Optional(t.Object({ id: Id, storage_session_id: Id })),
})
export type OutputFile = Static<typeof OutputFile>

export { RunStatus } from '../jail/outcome.ts'

export const RunResult = t.Object({
  status: RunStatus,
  /** 128+n for signal n */
  exitCode: t.Integer(),
  signal: t.Union([t.String(), t.Null()]),
  /** The limit that was hit, in words; also the last `[sandbox]` line of stderr */
  message: t.Union([t.String(), t.Null()]),
  stdout: t.String(),
  stderr: t.String(),
  wallMs: t.Integer(),
  cpuMs: t.Integer(),
  /** Highest memory use, where a cgroup measured it */
  memoryBytes: t.Union([t.Integer(), t.Null()]),
  files: t.Array(OutputFile),
  /** Paths of writable inputs that the program deleted */
  deleted: t.Array(t.String()),
  /** Outputs that were to be stored, where some could not be */
  delivery: t.Union([t.Object({ attempted: t.Integer(), delivered: t.Integer(), failed: t.Integer() }), t.Null()]),
})
export type RunResult = Static<typeof RunResult>

/** Why there is no result: the service failed, not the program. Codes and statuses: spec/http-api.md §5.4 */
export const RunFailure = t.Object({ status: t.Integer(), code: t.String(), message: t.String() })
export type RunFailure = Static<typeof RunFailure>

/** What a worker says about a job, on the reply stream of the api instance that sent it */
export const RunEvent = t.Union([
  t.Object({ type: t.Literal('started'), job: Id, worker: t.String() }),
  t.Object({ type: t.Literal('done'), job: Id, result: RunResult }),
  t.Object({ type: t.Literal('failed'), job: Id, failure: RunFailure }),
])
export type RunEvent = Static<typeof RunEvent>

export const keys = {
  /** Stream of jobs; entries stay until they are answered */
  jobs: 'run:jobs',
  group: 'workers',
  /** Stream of events for one api instance */
  replies: (instance: string) => `run:replies:${instance}`,
  /** Sorted set of ready workers by their last sign of life, `ms` since 1970 by Redis' clock */
  workers: 'run:workers',
  /** Why a worker that is not ready takes no jobs: a {@link RunFailure} as JSON; goes stale by itself */
  problem: 'run:problem',
  /** Present once a worker has taken the job: a second delivery is refused */
  taken: (job: string) => `run:taken:${job}`,
  /** Present once the caller has hung up */
  cancelled: (job: string) => `run:cancelled:${job}`,
  /** Channel of cancelled job ids */
  cancels: 'run:cancels',
}

/** A worker that gave no sign for so long is dead, in `ms` */
export const WORKER_DEAD_MS = 5_000
