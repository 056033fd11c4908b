import { expect, test } from 'bun:test'
import type { Input } from './contract.ts'
import { planOutputs, skippedLine } from './outputs.ts'

const LIMITS = { maxFiles: 3, maxFileBytes: 100 }
const file = (path: string, size = 1) => ({ kind: 'file', path, size }) as const
const input = (path: string, more: Partial<Input> = {}): Input => ({
  path,
  name: path,
  session: 's'.repeat(21),
  id: 'i'.repeat(21),
  size: 1,
  contentType: 'text/plain',
  readOnly: false,
  sha256: '',
  lastModified: '',
  ...more,
})
const pathsOf = (list: readonly { path: string }[]) => list.map(({ path }) => path)

test('planOutputs() stores new files, and markers for empty directories', () => {
  const plan = planOutputs([file('a'), { kind: 'empty-directory', path: 'd' }], [], [], LIMITS)
  expect(plan).toEqual({
    stored: [
      { path: 'a', size: 1, modifies: null, isMarker: false },
      { path: 'd/.dirkeep', size: 0, modifies: null, isMarker: true },
    ],
    inherited: [],
    skipped: [],
    deleted: [],
  })
})

test('planOutputs() tells an input that is as it was from one that was changed, replaced by none, or is read-only', () => {
  const [same, changed, gone, kept, keptGone] = [
    input('same'),
    input('changed'),
    input('gone'),
    input('kept', { readOnly: true }),
    input('keptGone', { readOnly: true }),
  ]
  const entries = [file('same'), file('changed', 5), file('kept', 7)]
  const survivors = [
    { input: same, size: 1, changed: false },
    { input: changed, size: 5, changed: true },
    { input: kept, size: 7, changed: true },
  ]
  expect(planOutputs(entries, survivors, [same, changed, gone, kept, keptGone], LIMITS)).toEqual({
    stored: [{ path: 'changed', size: 5, modifies: changed, isMarker: false }],
    inherited: [same, kept, keptGone],
    skipped: [],
    deleted: ['gone'],
  })
})

test('planOutputs() names what is too large, too many, or no file', () => {
  const entries = [
    file('big', 101),
    file('a'),
    file('b'),
    file('c'),
    file('d'),
    { kind: 'not-kept', path: 'l', why: 'a symbolic link' } as const,
  ]
  const plan = planOutputs(entries, [], [], LIMITS)
  expect(pathsOf(plan.stored)).toEqual(['a', 'b', 'c'])
  expect(plan.skipped).toMatchObject([
    { path: 'l' },
    { path: 'big', why: '0.0 MB, the limit is 0.0 MB' },
    { path: 'd', why: 'more than 3 files' },
  ])
})

test('planOutputs() counts a changed input like any output, and does not call it deleted where it does not fit', () => {
  const changed = input('changed')
  const plan = planOutputs([file('changed', 101)], [{ input: changed, size: 101, changed: true }], [changed], LIMITS)
  expect(plan).toMatchObject({ stored: [], inherited: [], skipped: [{ path: 'changed' }], deleted: [] })
})

test('skippedLine() names five, counts the rest, and is silent about none', () => {
  expect(skippedLine([])).toBeNull()
  expect(skippedLine([{ path: 'a', why: 'too large' }])).toBe('1 file was not kept: a (too large)')
  const seven = Array.from({ length: 7 }, (_, n) => ({ path: `f${n}`, why: 'w' }))
  expect(skippedLine(seven)).toBe('7 files were not kept: f0 (w), f1 (w), f2 (w), f3 (w), f4 (w) and 2 more')
})
