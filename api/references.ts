import { AppError } from '../errors.ts'
import type { FilesClient } from '../files/client.ts'
import { isId } from '../ids.ts'
import { pathConflict, pathProblem } from '../paths.ts'
import type { Input } from '../worker/contract.ts'
import type { Kind } from './contract.ts'
import { type Principal, sessionKey } from './principal.ts'

/** A file that a program shall find at `name` (spec/http-api.md §3.5) */
export type Reference = {
  readonly id: string
  readonly session: string
  readonly name: string
  readonly kind: Kind
  readonly resource: string
  readonly version: number | null
}

const MAX_INPUTS = 255
const RESOURCE_ID = /^[A-Za-z0-9_.:-]{1,128}$/

const invalid = (problem: string): AppError => new AppError(400, problem, 'Cannot use the file references')

/** Pure: the `files` of a request → references, or the first thing that is wrong with them. Of two for one place the last one wins */
export const readReferences = (files: unknown): Reference[] => {
  if (files === undefined || files === null) return []
  if (!Array.isArray(files)) throw invalid('files must be an array')
  if (files.length > MAX_INPUTS) throw new AppError(400, 'bad_request', `Cannot run with ${files.length} files: send at most ${MAX_INPUTS}`)
  const byName = new Map<string, Reference>()
  for (const [index, file] of files.entries()) {
    const reference = readReference(file, `files[${index}]`)
    byName.delete(reference.name)
    byName.set(reference.name, reference)
  }
  const conflict = pathConflict([...byName.keys()])
  if (conflict) throw new AppError(400, 'bad_request', `files contains conflicting destinations "${conflict[0]}" and "${conflict[1]}"`)
  return [...byName.values()]
}

const readReference = (file: unknown, at: string): Reference => {
  if (typeof file !== 'object' || file === null || Array.isArray(file)) throw invalid(`${at} must be an object`)
  const { id, resource_id: resource, storage_session_id: session, name, kind, version } = file as Record<string, unknown>
  if (!isId(id)) throw invalid(`${at}.id is invalid`)
  if (typeof resource !== 'string' || !RESOURCE_ID.test(resource)) throw invalid(`${at}.resource_id is invalid`)
  if (!isId(session)) throw invalid(`${at}.storage_session_id is invalid`)
  if (typeof name !== 'string') throw invalid(`${at}.name must be a string`)
  const problem = pathProblem(name)
  if (problem) throw new AppError(400, `files[].name ${problem}`, `Cannot use ${at}: its name ${problem}`)
  if (kind !== 'skill' && kind !== 'agent' && kind !== 'user') throw invalid(`${at}.kind must be one of: skill, agent, user`)
  if (kind === 'skill' && (typeof version !== 'number' || !Number.isInteger(version) || version < 0)) {
    throw invalid(`${at}.version is required for kind: 'skill'`)
  }
  if (kind !== 'skill' && version !== undefined && version !== null) throw invalid(`${at}.version is only valid for kind: 'skill'`)
  return { id, session, name, kind, resource, version: kind === 'skill' ? (version as number) : null }
}

/** The referenced files, all of them or none: 403 where one is not the caller's, or is gone */
export const resolveInputs = async (
  references: readonly Reference[],
  principal: Principal,
  files: Pick<FilesClient, 'resolve'>,
  signal: AbortSignal,
): Promise<Input[]> => {
  if (references.length === 0) return []
  const claims = references.map(({ id, session, kind, resource, version }) => ({
    session,
    file: id,
    owner: sessionKey(principal, { kind, id: resource, version }),
  }))
  const resolutions = await files.resolve(claims, signal)
  return references.map(({ name }, index) => {
    const resolution = resolutions[index]
    if (resolution?.status === 'ok') return { ...resolution.record, path: name }
    const why = resolution?.status === 'forbidden' ? 'is not yours' : 'is missing or expired'
    throw new AppError(403, 'Unauthorized file reference', `files[${index}] (${name}) ${why}`, { details: { code: 'file_unavailable' } })
  })
}
