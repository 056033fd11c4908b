import { describe, expect, test } from 'bun:test'
import type { Catalog, Package } from './contract.ts'
import { keyOf, planSteps, sameCatalog } from './plan.ts'
import type { Recipe } from './recipe.ts'

const step = (name: string, ...needs: string[]) => ({ name, title: name, needs, run: async () => {} })
const recipe = (name: string, ...steps: Recipe['steps']): Recipe => ({
  name,
  inputs: [name],
  steps,
  describe: () => Promise.reject(new Error('not asked for')),
})
const entry: Package = {
  name: 'a',
  version: '1',
  digest: `sha256:${'0'.repeat(64)}`,
  size: 1,
  artifact: 'artifacts/a.erofs',
  mountPoint: '/',
  languages: [],
  commands: {},
  environment: {},
  libraries: [],
}

describe('keyOf()', () => {
  test('is the same for the same inputs, and another for any change', () => {
    const key = keyOf({ name: 'a', inputs: ['x', 'y'] }, 'x64')
    expect(key).toMatch(/^[0-9a-f]{16}$/)
    expect(keyOf({ name: 'a', inputs: ['x', 'y'] }, 'x64')).toBe(key)
    const others = [
      keyOf({ name: 'a', inputs: ['x', 'z'] }, 'x64'),
      keyOf({ name: 'a', inputs: ['xy'] }, 'x64'),
      keyOf({ name: 'a', inputs: ['x,y'] }, 'x64'),
      keyOf({ name: 'b', inputs: ['x', 'y'] }, 'x64'),
      keyOf({ name: 'a', inputs: ['x', 'y'] }, 'arm64'),
    ]
    expect(new Set([key, ...others]).size).toBe(6)
  })
})

describe('planSteps()', () => {
  const base = recipe('base', step('fetch'), step('finish'))
  const python = recipe('python', step('install', 'base/finish'), step('compile'))
  const fresh = (recipe: Recipe) => ({ recipe, done: null, steps: new Set<string>() })

  test('chains the steps of a package, ends it with its image, and waits for what it needs of another', () => {
    expect(planSteps([fresh(base), fresh(python)]).map(({ package: name, step, needs }) => [`${name}/${step}`, needs])).toEqual([
      ['base/fetch', []],
      ['base/finish', ['base/fetch']],
      ['base/image', ['base/finish']],
      ['python/install', ['base/finish']],
      ['python/compile', ['python/install']],
      ['python/image', ['python/compile']],
    ])
  })

  test('leaves out what is done, and no step waits for it', () => {
    const jobs = [
      { recipe: base, done: entry, steps: new Set<string>() },
      { recipe: python, done: null, steps: new Set(['install']) },
    ]
    expect(planSteps(jobs).map(({ package: name, step, needs }) => [`${name}/${step}`, needs])).toEqual([
      ['python/compile', []],
      ['python/image', ['python/compile']],
    ])
  })

  test('has nothing to do when every package is done', () => {
    expect(planSteps([{ ...fresh(base), done: entry }])).toEqual([])
  })
})

test('sameCatalog() compares profile and packages, not the time', () => {
  const catalog: Catalog = { formatVersion: 1, profile: 'minimal', createdAt: '2026-01-01T00:00:00Z', packages: [entry] }
  expect(sameCatalog(catalog, 'minimal', [{ ...entry }])).toBe(true)
  expect(sameCatalog(catalog, 'complete', [entry])).toBe(false)
  expect(sameCatalog(catalog, 'minimal', [{ ...entry, version: '2' }])).toBe(false)
  expect(sameCatalog(null, 'minimal', [entry])).toBe(false)
})
