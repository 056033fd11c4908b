import { expect, test } from 'bun:test'
import { readReferences, resolveInputs } from './references.ts'

const ID = 'f'.repeat(21)
const SESSION = 's'.repeat(21)
const file = { id: ID, resource_id: 'user-1', storage_session_id: SESSION, name: 'a.csv', kind: 'user' }
const reference = { id: ID, session: SESSION, name: 'a.csv', kind: 'user', resource: 'user-1', version: null }

test('readReferences() takes what clients send, and drops what it does not know', () => {
  expect(readReferences(undefined)).toEqual([])
  expect(readReferences(null)).toEqual([])
  expect(readReferences([{ ...file, session_id: 'x', inherited: true }])).toEqual([reference] as never)
  expect(readReferences([{ ...file, kind: 'skill', version: 3 }])).toEqual([{ ...reference, kind: 'skill', version: 3 }] as never)
})

test('readReferences() lets the last of two files for one place win', () => {
  const later = 'g'.repeat(21)
  expect(readReferences([file, { ...file, name: 'b' }, { ...file, id: later }]).map(({ id, name }) => [id, name])).toEqual([
    [ID, 'b'],
    [later, 'a.csv'],
  ])
})

test.each([
  [{}, 'files must be an array'],
  [[1], 'files[0] must be an object'],
  [[file, { ...file, id: 'short' }], 'files[1].id is invalid'],
  [[{ ...file, resource_id: 'a b' }], 'files[0].resource_id is invalid'],
  [[{ ...file, storage_session_id: null }], 'files[0].storage_session_id is invalid'],
  [[{ ...file, name: 7 }], 'files[0].name must be a string'],
  [[{ ...file, name: '' }], 'files[].name must not be empty'],
  [[{ ...file, name: '/etc/passwd' }], 'files[].name must be a relative path'],
  [[{ ...file, name: 'a/../b' }], 'files[].name must not contain empty, current, or parent path segments'],
  [[{ ...file, name: 'a\\b' }], 'files[].name contains invalid path characters'],
  [[{ ...file, name: 'x'.repeat(257) }], 'files[].name must not exceed 256 characters'],
  [[{ ...file, name: 'a/b/c/d/e/f/g/h/i/j/k' }], 'files[].name exceeds maximum nesting depth of 10'],
  [[{ ...file, kind: 'team' }], 'files[0].kind must be one of: skill, agent, user'],
  [[{ ...file, kind: 'skill' }], "files[0].version is required for kind: 'skill'"],
  [[{ ...file, version: 1 }], "files[0].version is only valid for kind: 'skill'"],
  [[file, { ...file, name: 'a.csv/b' }], 'bad_request'],
  [Array.from({ length: 256 }, () => file), 'bad_request'],
])('readReferences() refuses %#', (files, code) => {
  expect(() => readReferences(files)).toThrow(expect.objectContaining({ status: 400, code }))
})

test('resolveInputs() asks as the caller, whatever user the reference names, and refuses all where one fails', async () => {
  const asked: unknown[] = []
  const files = {
    resolve: async (claims: unknown) => {
      asked.push(claims)
      return [{ status: 'forbidden' as const }]
    },
  }
  const resolving = resolveInputs(readReferences([file]), { tenant: 't:1', user: 'me' }, files, new AbortController().signal)
  expect(async () => await resolving).toThrow(
    expect.objectContaining({ status: 403, code: 'Unauthorized file reference', message: 'files[0] (a.csv) is not yours' }),
  )
  expect(asked).toEqual([[{ session: SESSION, file: ID, owner: 't%3A1:user:me' }]])
})
