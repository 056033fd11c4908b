import { Elysia } from 'elysia'
import type { Packages } from './packages.ts'

export type WorkerAppDeps = {
  readonly packages: Packages
  /** Why no program can run; see `canary` */
  readonly problem: () => Promise<string | null>
  readonly running: () => number
  readonly slots: number
}

/** The worker for its operators: `/health` answers while the process lives, `/ready` runs a program */
export const createWorkerApp = ({ packages, problem, running, slots }: WorkerAppDeps) =>
  new Elysia()
    .onError(({ code, status }) =>
      code === 'NOT_FOUND'
        ? status(404, { error: 'not_found', message: 'Cannot find that route' })
        : status(500, { error: 'internal', message: 'Cannot answer: see the log' }),
    )
    .get('/health', () => ({ ok: true }))
    .get('/ready', async ({ status }) => {
      const why = await problem()
      const { serving, building, problem: packageProblem } = packages.status()
      const body = {
        ready: why === null,
        problem: why,
        running: running(),
        slots,
        packages: { serving, building, problem: packageProblem && { code: packageProblem.code, message: packageProblem.message } },
      }
      return status(why === null ? 200 : 503, body)
    })
