import { expect, test } from 'bun:test'
import { MAX_PATH_CHARS, MAX_PATH_DEPTH, pathConflict, pathProblem } from '../paths.ts'

test.each(['a', 'a.txt', 'a/b/c.txt', 'säle 図.csv', '.hidden', '..a', 'a..b', '...', '-rf', ' ', "it's", 'a'.repeat(255), '🙂.png'])(
  'pathProblem() lets %j pass',
  (path) => {
    expect(pathProblem(path)).toBeNull()
  },
)

test.each([
  ['', 'must not be empty'],
  ['.', 'must not be empty'],
  ['/etc/passwd', 'must be a relative path'],
  ['..', 'parent path segments'],
  ['../x', 'parent path segments'],
  ['a/../../x', 'parent path segments'],
  ['a/..', 'parent path segments'],
  ['a//b', 'empty'],
  ['./a', 'current'],
  ['a/', 'file-like'],
  ['a\0b', 'invalid path characters'],
  ['a\nb', 'invalid path characters'],
  ['a\x7fb', 'invalid path characters'],
  ['a\\b', 'invalid path characters'],
  ['\ud800', 'invalid path characters'],
  ['a'.repeat(MAX_PATH_CHARS + 1), `${MAX_PATH_CHARS} characters`],
  ['ü'.repeat(128), '255 bytes'],
  [
    Array(MAX_PATH_DEPTH + 1)
      .fill('d')
      .join('/'),
    `depth of ${MAX_PATH_DEPTH}`,
  ],
])('pathProblem() refuses %j', (path, why) => {
  expect(pathProblem(path)).toContain(why)
})

test.each([
  [[], null],
  [['a', 'b', 'a.txt', 'c/a', 'c/b', 'ca/b'], null],
  [
    ['a', 'b', 'a'],
    ['a', 'a'],
  ],
  [
    ['a', 'a/b'],
    ['a', 'a/b'],
  ],
  [
    ['x/y/z', 'x'],
    ['x', 'x/y/z'],
  ],
] as const)('pathConflict(%j) is %j', (paths, conflict) => {
  expect(pathConflict(paths)).toEqual(conflict)
})
