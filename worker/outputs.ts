import type { Input } from './contract.ts'

/** Something found in a workspace after the run. `path` is `null` where the name is no UTF-8 text */
export type Entry =
  | { readonly kind: 'file'; readonly path: string; readonly size: number }
  | { readonly kind: 'empty-directory'; readonly path: string }
  | { readonly kind: 'not-kept'; readonly path: string; readonly why: string }

export type OutputLimits = { readonly maxFiles: number; readonly maxFileBytes: number }

/** An input that is still there. `changed`: its bytes differ from those that were put in */
export type Survivor = { readonly input: Input; readonly size: number; readonly changed: boolean }

export type Output = { readonly path: string; readonly size: number; readonly modifies: Input | null; readonly isMarker: boolean }

export type OutputPlan = {
  /** To be stored: new files, changed inputs, markers of new empty directories */
  readonly stored: readonly Output[]
  readonly inherited: readonly Input[]
  readonly skipped: readonly { readonly path: string; readonly why: string }[]
  /** Writable inputs that are gone */
  readonly deleted: readonly string[]
}

/** A zero-byte file that stands for an empty directory, so that it is there again in the next run */
export const MARKER = '.dirkeep'

const megabytes = (bytes: number): string => `${(bytes / 1e6).toFixed(1)} MB`

/** Which files of a workspace become outputs, and why the others do not (spec/http-api.md §3.7) */
export const planOutputs = (
  entries: readonly Entry[],
  survivors: readonly Survivor[],
  inputs: readonly Input[],
  limits: OutputLimits,
): OutputPlan => {
  const skipped: { path: string; why: string }[] = []
  const candidates: Output[] = []
  const inherited: Input[] = []
  const survivorAt = new Map(survivors.map((survivor) => [survivor.input.path, survivor]))

  for (const entry of entries) {
    if (entry.kind === 'not-kept') skipped.push(entry)
    else if (entry.kind === 'empty-directory') candidates.push({ path: `${entry.path}/${MARKER}`, size: 0, modifies: null, isMarker: true })
    else if (!survivorAt.has(entry.path)) candidates.push({ path: entry.path, size: entry.size, modifies: null, isMarker: false })
  }
  for (const { input, size, changed } of survivors) {
    // a read-only input keeps its content, whatever the program did in its place
    if (changed && !input.readOnly) candidates.push({ path: input.path, size, modifies: input, isMarker: false })
    else inherited.push(input)
  }
  const fitting = candidates.filter(({ path, size }) => {
    if (size <= limits.maxFileBytes) return true
    skipped.push({ path, why: `${megabytes(size)}, the limit is ${megabytes(limits.maxFileBytes)}` })
    return false
  })
  const stored = fitting.slice(0, limits.maxFiles)
  for (const { path } of fitting.slice(limits.maxFiles)) skipped.push({ path, why: `more than ${limits.maxFiles} files` })

  const isThere = new Set([...survivorAt.keys()])
  return {
    stored,
    // read-only inputs are given back even if the program removed them
    inherited: [...inherited, ...inputs.filter((input) => input.readOnly && !isThere.has(input.path))],
    skipped,
    deleted: inputs.filter((input) => !input.readOnly && !isThere.has(input.path)).map((input) => input.path),
  }
}

const NAMED = 5

/** What the model is told of files that were not kept; `null` if there are none */
export const skippedLine = (skipped: OutputPlan['skipped']): string | null => {
  if (skipped.length === 0) return null
  const named = skipped.slice(0, NAMED).map(({ path, why }) => `${path} (${why})`)
  const more = skipped.length > NAMED ? ` and ${skipped.length - NAMED} more` : ''
  return `${skipped.length === 1 ? '1 file was' : `${skipped.length} files were`} not kept: ${named.join(', ')}${more}`
}
