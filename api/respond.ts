import type { RunResult, RunStatus } from '../worker/contract.ts'
import type { ExecResponse } from './contract.ts'

const STATUS: Readonly<Record<RunStatus, ExecResponse['status']>> = {
  exited: null,
  signalled: null,
  cancelled: null,
  'timed-out': 'TO',
  'cpu-exhausted': 'TO',
  'out-of-memory': 'SG',
  'output-limit': 'OL',
}

/** A run's result as LibreChat reads it (spec/http-api.md §1.2, client-2026-11.md §2) */
export const execResponse = (session: string, result: RunResult): ExecResponse => ({
  session_id: session,
  files: result.files,
  stdout: result.stdout,
  stderr: result.stderr,
  code: result.exitCode,
  signal: result.signal,
  message: result.message,
  status: STATUS[result.status],
  wall_time: result.wallMs,
  cpu_time: result.cpuMs,
  memory: result.memoryBytes,
  ...(result.deleted.length > 0 && { deleted_files: result.deleted }),
  ...(result.delivery && {
    artifact_delivery: {
      code: 'artifact_delivery_failed' as const,
      status: result.delivery.delivered > 0 ? ('partial' as const) : ('failed' as const),
      ...result.delivery,
    },
  }),
})
