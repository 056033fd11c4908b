import { type Static, Type as t } from '@sinclair/typebox'

const ALPHABET = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_-'
const LENGTH = 21

/** An id of a session, file or job: 21 characters, 126 random bits (spec/http-api.md §3.1) */
export const Id = t.String({ pattern: '^[A-Za-z0-9_-]{21}$' })
export type Id = Static<typeof Id>

const PATTERN = new RegExp(Id.pattern as string)
export const isId = (text: unknown): text is Id => typeof text === 'string' && PATTERN.test(text)

export const newId = (): Id => {
  let id = ''
  for (const byte of crypto.getRandomValues(new Uint8Array(LENGTH))) id += ALPHABET[byte & 63]
  return id
}
