import { Type as t } from '@sinclair/typebox'
import { Value } from '@sinclair/typebox/value'
import { AppError, messageOf } from '../errors.ts'

/** One request to the file service */
export type Question = {
  method: 'GET' | 'HEAD' | 'PUT' | 'POST' | 'DELETE'
  path: string
  headers: Record<string, string>
  body?: Blob | ReadableStream<Uint8Array> | string
  /** Whether it may be sent again when nothing, or a failure of the service, came back; `GET` and `HEAD` always may */
  repeatable?: boolean
  /** Statuses that are an answer, besides 2xx */
  accepts?: readonly number[]
  signal?: AbortSignal | undefined
}

/** Pauses before the second and third attempt, in `ms` */
const PAUSES_MS = [100, 500]
/** How long the service may think before it begins to answer, in `ms`. A body being sent has longer: it may be large and the line slow */
const ANSWER_MS = 20_000
const UPLOAD_MS = 600_000

/** The response, its body still unread. Throws an {@link AppError}: the service's own, or `files_unavailable` */
export const ask = async (url: string, question: Question): Promise<Response> => {
  const pauses = question.method === 'GET' || question.method === 'HEAD' || question.repeatable ? PAUSES_MS : []
  for (const pause of pauses) {
    try {
      return await attempt(url, question)
    } catch (error) {
      question.signal?.throwIfAborted()
      if (!(error instanceof AppError) || error.status < 502) throw error
    }
    await Bun.sleep(pause * (0.5 + Math.random()))
  }
  return attempt(url, question)
}

const attempt = async (url: string, question: Question): Promise<Response> => {
  const { method, path, headers, body = null } = question
  // only until the answer begins: a signal given to fetch also cuts the body
  const deadline = new AbortController()
  const ms = method === 'PUT' ? UPLOAD_MS : ANSWER_MS
  const timer = setTimeout(() => deadline.abort(new Error(`no answer within ${ms} ms`)), ms)
  const signal = question.signal ? AbortSignal.any([question.signal, deadline.signal]) : deadline.signal
  try {
    const response = await fetch(new URL(path, url), { method, headers, body, signal, redirect: 'error' })
    if (response.ok || question.accepts?.includes(response.status)) return response
    throw await refusal(url, response)
  } catch (error) {
    question.signal?.throwIfAborted()
    throw error instanceof AppError ? error : unreachable(url, error)
  } finally {
    clearTimeout(timer)
  }
}

const Refusal = t.Object({ error: t.String(), message: t.String() })

/** An answer to `HEAD` has no body that says it */
const CODES: Record<number, string> = { 400: 'invalid_request', 401: 'unauthorized', 403: 'forbidden', 404: 'not_found' }

const refusal = async (url: string, response: Response): Promise<AppError> => {
  const body: unknown = await response.json().catch(() => null)
  if (Value.Check(Refusal, body)) return new AppError(response.status, body.error, body.message)
  const message = `Cannot use the file service: ${new URL(url).origin} answered ${response.status}`
  const code = CODES[response.status]
  return code ? new AppError(response.status, code, message) : new AppError(502, 'files_unavailable', `${message}, check FILE_SERVER_URL`)
}

const unreachable = (url: string, cause: unknown) =>
  new AppError(
    503,
    'files_unavailable',
    `Cannot reach the file service at ${new URL(url).origin}: ${messageOf(cause)}; check that it runs and FILE_SERVER_URL`,
    { cause },
  )
