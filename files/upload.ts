import { Elysia, t } from 'elysia'
import { AppError } from '../errors.ts'
import { log } from '../log.ts'
import type { WorkOrder } from '../order.ts'
import type { FilesParts } from './app.ts'
import { writerOf } from './auth.ts'
import { blame } from './blame.ts'
import { FileRecord, headers, objectKey } from './contract.ts'
import { measure, tooLarge } from './measure.ts'
import { nameProblem } from './names.ts'
import { Place } from './place.ts'

/** `PUT /sessions/:session/objects/:file`: store one file, all of it or nothing */
export const upload = ({ authenticate, catalog, budget, store }: FilesParts) => {
  const keep = async (
    owner: string,
    record: Omit<FileRecord, 'size' | 'sha256' | 'lastModified'>,
    measured: ReturnType<typeof measure>,
  ) => {
    const { upload, replaced } = await catalog.open(owner, record.session, record.id)
    const key = objectKey(record)
    await store.put(key, measured.bytes, { contentType: record.contentType })
    const complete: FileRecord = { ...record, ...measured.result(), lastModified: new Date().toISOString() }
    try {
      await catalog.commit(owner, complete, upload)
    } catch (error) {
      await undo('Cannot remove the bytes of a failed upload', store.remove(key))
      throw error
    }
    if (replaced && objectKey(replaced) !== key) await undo('Cannot remove the bytes of a replaced file', store.remove(objectKey(replaced)))
    return complete
  }

  const withinBudget = async <T>(order: WorkOrder | undefined, file: string, work: () => Promise<T>): Promise<T> => {
    if (!order) return work()
    await budget.take(order, file)
    try {
      return await work()
    } catch (error) {
      await undo('Cannot give back the budget of a failed upload', budget.giveBack(order, file))
      throw error
    }
  }

  return new Elysia().put(
    '/sessions/:session/objects/:file',
    async ({ request, params: { session, file }, query }) => {
      const caller = await authenticate(request)
      const writer = writerOf(caller, session)
      const description = describe(request.headers)
      const declared = declaredLength(request.headers)
      const maxBytes = Math.min(writer.maxBytes, query.maxBytes ?? writer.maxBytes)
      if (declared !== null && declared > maxBytes) throw tooLarge(maxBytes)
      const measured = measure(request.body, { declared, maxBytes })
      return withinBudget(caller.order, file, () => keep(writer.owner, { session, id: file, ...description }, measured))
    },
    { parse: 'none', params: Place, query: t.Object({ maxBytes: t.Optional(t.Integer({ minimum: 0 })) }), response: { 200: FileRecord } },
  )
}

const describe = (from: Headers): Pick<FileRecord, 'name' | 'contentType' | 'readOnly'> => {
  const name = decode(from.get(headers.fileName) ?? '')
  if (name === '') throw new AppError(400, 'invalid_request', `Cannot store the file: send its name in ${headers.fileName}`)
  const problem = nameProblem(name)
  if (problem) throw new AppError(400, 'invalid_name', `Cannot store the file under its name: ${problem}`)
  return {
    name,
    contentType: from.get('content-type')?.trim() || 'application/octet-stream',
    readOnly: from.get(headers.readOnly)?.toLowerCase() === 'true',
  }
}

/** A name that was not encoded is taken as it is: `100%.txt` */
const decode = (name: string) => {
  try {
    return decodeURIComponent(name)
  } catch {
    return name
  }
}

/** Null for a chunked body */
const declaredLength = (from: Headers): number | null => {
  const length = from.get('content-length')
  if (length === null) return null
  if (!/^\d+$/.test(length)) throw new AppError(400, 'invalid_request', 'Cannot read the body: Content-Length is not a number')
  return Number(length)
}

/** The first failure is the one that is answered; that its traces remain is for the log, and for the sweeper */
const undo = (failure: string, work: Promise<void>) => work.catch((error) => log.error({ error: blame(error) }, failure))
