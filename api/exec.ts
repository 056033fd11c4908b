import { createHash } from 'node:crypto'
import { Elysia } from 'elysia'
import type { CryptoKey } from 'jose'
import { AppError } from '../errors.ts'
import type { FilesClient } from '../files/client.ts'
import { newId } from '../ids.ts'
import type { Limits } from '../jail/limits.ts'
import { signOrder } from '../order.ts'
import type { QueueClient } from '../worker/client.ts'
import type { JobBody } from '../worker/contract.ts'
import { ExecRequest, ExecResponse } from './contract.ts'
import { jsonBody } from './json.ts'
import { readLanguage } from './languages.ts'
import { type Principal, userKey } from './principal.ts'
import { readReferences, resolveInputs } from './references.ts'
import { execResponse } from './respond.ts'

export type ExecDeps = {
  readonly principal: (request: Request) => Promise<Principal>
  readonly files: Pick<FilesClient, 'resolve'>
  readonly queue: Pick<QueueClient, 'run'>
  readonly orderKey: CryptoKey
  readonly limits: Limits
  readonly outputs: { readonly maxFiles: number; readonly maxFileBytes: number }
  /** How long a request may take, queueing included, in `ms` */
  readonly jobTimeoutMs: number
  readonly jsonLimitBytes: number
}

/** `POST /exec`: runs one program, answers with what it printed and the files it made */
export const exec = (deps: ExecDeps) =>
  new Elysia().post(
    '/exec',
    async ({ request, body }) => {
      const principal = await deps.principal(request)
      const language = readLanguage(body.lang)
      const references = readReferences(body.files)
      const args = readArgs(body.args)
      const inputs = await resolveInputs(references, principal, deps.files, request.signal)
      const limits = { ...deps.limits, wallMs: readTimeout(body.timeout, deps.limits.wallMs) }
      const session = newId()
      const job = await orderJob(deps, { language, code: body.code, args, inputs }, { session, owner: userKey(principal) }, limits)
      return execResponse(session, await deps.queue.run(job, request.signal))
    },
    {
      parse: jsonBody(deps.jsonLimitBytes),
      body: ExecRequest,
      response: { 200: ExecResponse },
      detail: { summary: 'Run a program in a fresh jail' },
    },
  )

/** The job, with an order that allows exactly what it needs */
const orderJob = async (
  { orderKey, outputs, jobTimeoutMs }: ExecDeps,
  body: JobBody,
  write: { session: string; owner: string },
  limits: Limits,
) => {
  const id = newId()
  const text = JSON.stringify(body)
  const expiresAt = Date.now() + jobTimeoutMs
  const order = await signOrder(orderKey, {
    jti: id,
    body: createHash('sha256').update(text).digest('hex'),
    reads: body.inputs.map((input) => ({ session: input.session, file: input.id })),
    write: { ...write, ...outputs },
    limits,
    exp: Math.ceil((expiresAt + limits.wallMs) / 1000) + DELIVERY_S,
  })
  return { id, order, body: text, expiresAt }
}

/** Storing the outputs may take this long after the program's end, in `s` */
const DELIVERY_S = 120

const badRequest = (message: string): AppError => new AppError(400, 'bad_request', message)

/** What the kernel takes for one argument (MAX_ARG_STRLEN), and surely for all of them with the environment */
const MAX_ARG_BYTES = 131_071
const MAX_ARGS_BYTES = 1_048_576
const MAX_ARGS = 10_000

const readArgs = (args: unknown): string[] => {
  if (args === undefined || args === null) return []
  if (!Array.isArray(args) || !args.every((arg) => typeof arg === 'string'))
    throw badRequest('args must be an array of strings if provided')
  // it would end the string that the kernel gets
  if (args.some((arg) => arg.includes('\0'))) throw badRequest('args must not contain NUL characters')
  const sizes = args.map((arg) => Buffer.byteLength(arg))
  if (args.length > MAX_ARGS || sizes.some((size) => size > MAX_ARG_BYTES) || sizes.reduce((sum, size) => sum + size, 0) > MAX_ARGS_BYTES) {
    throw badRequest(`args must hold at most ${MAX_ARGS} strings, ${MAX_ARG_BYTES} bytes each and ${MAX_ARGS_BYTES} together; send a file`)
  }
  return args
}

const readTimeout = (timeout: unknown, mostMs: number): number => {
  if (timeout === undefined || timeout === null) return mostMs
  if (typeof timeout !== 'number' || !Number.isFinite(timeout) || timeout <= 0)
    throw badRequest('timeout must be a positive number of milliseconds')
  return Math.min(Math.ceil(timeout), mostMs)
}
