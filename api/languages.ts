import { AppError } from '../errors.ts'
import type { Language } from '../worker/contract.ts'

const ALIASES: Readonly<Record<Language, readonly string[]>> = {
  python: ['py', 'python'],
  javascript: ['js', 'javascript', 'bun', 'bun-js'],
  typescript: ['ts', 'typescript', 'bun-ts', 'bun-typescript'],
  node: ['node', 'nodejs', 'node-js', 'node-javascript'],
  bash: ['bash', 'sh'],
}

const BY_ALIAS = new Map(Object.entries(ALIASES).flatMap(([language, aliases]) => aliases.map((alias) => [alias, language as Language])))

/** The language that `lang` names, in any case (spec/http-api.md §4.1) */
export const readLanguage = (lang: string): Language => {
  const language = BY_ALIAS.get(lang.toLowerCase())
  if (language) return language
  throw new AppError(400, `Unsupported language: ${lang}`, `Supported languages: ${[...BY_ALIAS.keys()].join(', ')}`, {
    details: { code: 'unsupported_language' },
  })
}
