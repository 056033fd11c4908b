import { existsSync, lstatSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { messageOf } from '../errors.ts'
import type { OrderFiles } from '../files/client.ts'
import { type Id, newId } from '../ids.ts'
import type { Cell } from '../jail/jail.ts'
import { log } from '../log.ts'
import type { WorkOrder } from '../order.ts'
import { each } from './concurrency.ts'
import type { Input, OutputFile, RunResult } from './contract.ts'
import { type Entry, type Output, type OutputPlan, planOutputs, type Survivor } from './outputs.ts'
import { walk } from './walk.ts'

const UPLOADS_AT_ONCE = 8

export type Delivery = Pick<RunResult, 'files' | 'deleted' | 'delivery'> & {
  /** Not kept, with the reason; those that could not be stored included */
  readonly skipped: OutputPlan['skipped']
}

/** The program's own text: no output unless the program changed it */
export type ProgramText = { readonly path: string; readonly code: string }

/** Stores what the program made. Only for a cell in which no process is left */
export const deliverOutputs = async (
  cell: Pick<Cell, 'workspace'>,
  inputs: readonly Input[],
  program: ProgramText,
  { jti, write }: WorkOrder,
  files: OrderFiles,
  signal: AbortSignal,
): Promise<Delivery> => {
  const paths = new Set(inputs.map(({ path }) => path))
  const entries = walk(cell.workspace, paths).filter((entry) => !isUnchangedProgram(cell.workspace, entry, program))
  const plan = planOutputs(entries, await survivorsOf(cell.workspace, entries, inputs), inputs, write)

  const stored = new Map<Output, Id>()
  await each(plan.stored, UPLOADS_AT_ONCE, async (output) => {
    const id = newId()
    const body = output.isMarker ? new Blob([]) : Bun.file(join(cell.workspace, output.path))
    try {
      await files.write(id, { name: output.path, contentType: contentTypeOf(output.path), body, size: output.size }, signal)
      stored.set(output, id)
    } catch (error) {
      log.error({ job: jti, error: messageOf(error) }, 'an output could not be stored')
    }
  })
  const failures = plan.stored.filter((output) => !stored.has(output)).map(({ path }) => ({ path, why: 'it could not be stored' }))
  return {
    files: [
      ...plan.stored.flatMap((output) => entryOf(output, stored.get(output), write.session)),
      ...plan.inherited.map(({ id, session, path }) => ({ id, storage_session_id: session, name: path, inherited: true as const })),
    ],
    deleted: [...plan.deleted],
    delivery: failures.length > 0 ? { attempted: plan.stored.length, delivered: stored.size, failed: failures.length } : null,
    skipped: [...plan.skipped, ...failures],
  }
}

const entryOf = ({ path, modifies }: Output, id: Id | undefined, session: Id): OutputFile[] =>
  id
    ? [
        {
          id,
          name: path,
          storage_session_id: session,
          ...(modifies && { modified_from: { id: modifies.id, storage_session_id: modifies.session } }),
        },
      ]
    : []

/** `application/octet-stream` where the name tells nothing */
const contentTypeOf = (path: string): string => Bun.file(path).type.split(';')[0] || 'application/octet-stream'

const isUnchangedProgram = (workspace: string, entry: Entry, { path, code }: ProgramText): boolean => {
  if (entry.kind !== 'file' || entry.path !== path) return false
  const text = Buffer.from(code)
  return entry.size === text.length && readFileSync(join(workspace, path)).equals(text)
}

/** Inputs at whose path a file still lies, compared by content: a shared mapping changes bytes and no time stamp on tmpfs */
const survivorsOf = async (workspace: string, entries: readonly Entry[], inputs: readonly Input[]): Promise<Survivor[]> => {
  const isFile = new Set(entries.flatMap((entry) => (entry.kind === 'file' ? [entry.path] : [])))
  const survivors: Survivor[] = []
  for (const input of inputs) {
    const path = join(workspace, input.path)
    if (!isFile.has(input.path) || !existsSync(path)) continue
    const { size } = lstatSync(path)
    survivors.push({ input, size, changed: size !== input.size || (!input.readOnly && (await sha256(path)) !== input.sha256) })
  }
  return survivors
}

const sha256 = async (path: string): Promise<string> => {
  const hash = new Bun.CryptoHasher('sha256')
  for await (const chunk of Bun.file(path).stream()) hash.update(chunk)
  return hash.digest('hex')
}
