import { chownSync, closeSync, mkdirSync, openSync, writeFileSync, writeSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { AppError } from '../errors.ts'
import type { OrderFiles } from '../files/client.ts'
import type { Cell } from '../jail/jail.ts'
import { each } from './concurrency.ts'
import type { Input } from './contract.ts'

const READ_ONLY_MODE = 0o444
const FILE_MODE = 0o644
const DIRECTORY_MODE = 0o755
const DOWNLOADS_AT_ONCE = 8
const PAGE_BYTES = 4096

type Place = Pick<Cell, 'workspace' | 'uid'>

/** Puts the inputs where the program will look for them. Each must have the bytes that its record promises */
export const placeInputs = async (cell: Cell, inputs: readonly Input[], files: OrderFiles, signal: AbortSignal): Promise<void> => {
  for (const directory of directoriesOf(inputs.map(({ path }) => path))) {
    mkdirSync(join(cell.workspace, directory), { mode: DIRECTORY_MODE })
    chownSync(join(cell.workspace, directory), cell.uid, cell.uid)
  }
  await each(inputs, DOWNLOADS_AT_ONCE, (input) => placeInput(cell, input, files, signal))
}

/** What files of these sizes take up in a workspace, in bytes: each begins a page of its own */
export const roomFor = (sizes: readonly number[]): number => sizes.reduce((sum, size) => sum + Math.ceil(size / PAGE_BYTES) * PAGE_BYTES, 0)

/** Puts the program's text into the workspace */
export const placeProgram = ({ workspace, uid }: Place, path: string, code: string): void => {
  writeFileSync(join(workspace, path), code, { mode: FILE_MODE })
  chownSync(join(workspace, path), uid, uid)
}

const placeInput = async (cell: Place, input: Input, files: OrderFiles, signal: AbortSignal): Promise<void> => {
  const response = await files.read(input.session, input.id, signal)
  const target = join(cell.workspace, input.path)
  const descriptor = openSync(target, 'wx', input.readOnly ? READ_ONLY_MODE : FILE_MODE)
  const hash = new Bun.CryptoHasher('sha256')
  try {
    for await (const chunk of received(response, input)) {
      hash.update(chunk)
      writeSync(descriptor, chunk)
    }
  } finally {
    closeSync(descriptor)
  }
  if (hash.digest('hex') !== input.sha256) throw sourceFailed(input, 'what arrived is not what was stored')
  // a read-only input stays root's
  if (!input.readOnly) chownSync(target, cell.uid, cell.uid)
}

const received = async function* (response: Response, input: Input) {
  try {
    yield* response.body ?? []
  } catch (cause) {
    throw sourceFailed(input, 'the file service broke off', cause)
  }
}

const sourceFailed = ({ path }: Input, why: string, cause?: unknown): AppError =>
  new AppError(502, 'session_input_source_failed', `Cannot deliver ${path}: ${why}`, { cause })

/** Every directory of the paths, parents first */
const directoriesOf = (paths: readonly string[]): string[] => {
  const directories = new Set<string>()
  const add = (directory: string) => {
    if (directory === '.') return
    add(dirname(directory))
    directories.add(directory)
  }
  for (const path of paths) add(dirname(path))
  return [...directories]
}
