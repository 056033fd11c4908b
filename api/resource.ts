import { AppError } from '../errors.ts'
import type { Kind } from './contract.ts'
import type { Resource } from './principal.ts'

const KINDS: readonly string[] = ['skill', 'agent', 'user'] satisfies Kind[]

type Raw = { readonly kind?: unknown; readonly id?: unknown; readonly version?: unknown }

const bad = (problem: string): AppError => new AppError(400, problem, 'Cannot tell whose file this is')

/** `kind`, `id` and `version` of a form or query (spec/http-api.md §3.3). Without a kind it is the caller's own */
export const readResource = ({ kind: rawKind, id, version }: Raw): Resource => {
  if ([rawKind, id, version].some((value) => value !== undefined && typeof value !== 'string')) throw bad('Bad request')
  const kind = rawKind || 'user'
  if (typeof kind !== 'string' || !KINDS.includes(kind)) throw bad('kind must be one of: skill, agent, user')
  if (kind !== 'user' && !id) throw bad(`id is required for kind: '${kind}'`)
  if (kind === 'skill' && !version) throw bad("version is required for kind: 'skill'")
  if (kind !== 'skill' && version) throw bad("version is only valid for kind: 'skill'")
  const number = kind === 'skill' ? Number(version) : null
  if (number !== null && (!Number.isInteger(number) || number < 0)) throw bad("version must be a number for kind: 'skill'")
  return { kind: kind as Kind, id: String(id ?? ''), version: number }
}
