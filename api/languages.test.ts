import { expect, test } from 'bun:test'
import { readLanguage } from './languages.ts'

test.each([
  ['py', 'python'],
  ['python', 'python'],
  ['js', 'javascript'],
  ['javascript', 'javascript'],
  ['bun', 'javascript'],
  ['bun-js', 'javascript'],
  ['ts', 'typescript'],
  ['typescript', 'typescript'],
  ['bun-ts', 'typescript'],
  ['bun-typescript', 'typescript'],
  ['node', 'node'],
  ['nodejs', 'node'],
  ['node-js', 'node'],
  ['node-javascript', 'node'],
  ['bash', 'bash'],
  ['sh', 'bash'],
] as const)('lang %s, in any case, is %s', (alias, language) => {
  expect(readLanguage(alias)).toBe(language)
  expect(readLanguage(alias.toUpperCase())).toBe(language)
})

test.each(['c', 'r', ' py', '', '__proto__', 'constructor'])('lang %j is refused as it was sent, with those that are not', (lang) => {
  expect(() => readLanguage(lang)).toThrow(
    expect.objectContaining({ status: 400, code: `Unsupported language: ${lang}`, message: expect.stringContaining('py, python, js') }),
  )
})
