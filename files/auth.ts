import { createHash, timingSafeEqual } from 'node:crypto'
import type { CryptoKey } from 'jose'
import { AppError } from '../errors.ts'
import { verifyOrder, type WorkOrder } from '../order.ts'
import { headers } from './contract.ts'

/** Who asks: a service on behalf of an owner (null where the route needs none), or a worker for one job */
export type Caller = { readonly owner: string | null; readonly order?: undefined } | { readonly order: WorkOrder }

/** Throws a 401 for a caller that shows neither the token nor a valid order */
export const createAuthentication = ({ internalToken, orderKey }: { internalToken: string; orderKey: CryptoKey }) => {
  const expected = sha256(internalToken)
  return async (request: Request): Promise<Caller> => {
    const token = request.headers.get(headers.internalToken)
    if (token !== null) {
      if (!timingSafeEqual(sha256(token.trim()), expected))
        throw new AppError(
          401,
          'unauthorized',
          `Cannot accept the token in ${headers.internalToken}: it is not CODEAPI_INTERNAL_SERVICE_TOKEN`,
        )
      return { owner: decodeOwner(request.headers.get(headers.owner)) }
    }
    const order = /^Bearer +(\S+)$/i.exec(request.headers.get(headers.order) ?? '')?.[1]
    if (order === undefined)
      throw new AppError(401, 'unauthorized', `Cannot answer: send ${headers.internalToken} or a work order as bearer token`)
    return { order: await verifyOrder(orderKey, order) }
  }
}
export type Authentication = ReturnType<typeof createAuthentication>

/** Throws a 403 for a worker: no order lists, deletes or looks around */
export const serviceOnly = (caller: Caller): { owner: string | null } => {
  if (!caller.order) return caller
  throw new AppError(403, 'forbidden', 'Cannot do this with a work order: it only reads and writes the files that it lists')
}

/** The owner that a service speaks for */
export const ownerOf = (caller: Caller): string => {
  const { owner } = serviceOnly(caller)
  if (owner === null) throw new AppError(400, 'invalid_request', `Cannot tell whose session it is: send ${headers.owner}`)
  return owner
}

/** Whose the file must be; null when the order lists it: api looked before it signed */
export const readerOf = (caller: Caller, session: string, file: string): string | null => {
  if (!caller.order) return ownerOf(caller)
  if (!caller.order.reads.some((read) => read.session === session && read.file === file))
    throw new AppError(403, 'forbidden', 'Cannot read the file: the work order does not list it')
  return null
}

/** Whose session is written, and how much a file may take. Throws a 403 for a session that the order does not name */
export const writerOf = (caller: Caller, session: string): { owner: string; maxBytes: number } => {
  if (!caller.order) return { owner: ownerOf(caller), maxBytes: Number.POSITIVE_INFINITY }
  const { write } = caller.order
  if (write.session !== session) throw new AppError(403, 'forbidden', 'Cannot write to the session: the work order names another')
  return { owner: write.owner, maxBytes: write.maxFileBytes }
}

// equal lengths, so that the comparison tells nothing of the token
const sha256 = (text: string) => createHash('sha256').update(text).digest()

const decodeOwner = (header: string | null): string | null => {
  if (header === null || header === '') return null
  try {
    return decodeURIComponent(header)
  } catch (cause) {
    throw new AppError(400, 'invalid_request', `Cannot read ${headers.owner}: send it percent-encoded`, { cause })
  }
}
