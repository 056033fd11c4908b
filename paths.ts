/** Rules for a path in a program's workspace, relative to `/mnt/data` (spec/http-api.md §3.5) */
export const MAX_PATH_CHARS = 256
export const MAX_PATH_DEPTH = 10

/** What is wrong with a path, to be read after its name; `null` if nothing is. One check for uploads, inputs and outputs */
export const pathProblem = (path: string): string | null => {
  if (path === '' || path === '.') return 'must not be empty'
  if (path.length > MAX_PATH_CHARS) return `must not exceed ${MAX_PATH_CHARS} characters`
  if (hasInvalidCharacter(path)) return 'contains invalid path characters'
  if (path.startsWith('/')) return 'must be a relative path'
  const segments = path.split('/')
  if (path.endsWith('/')) return 'must be canonical and file-like'
  if (segments.some((segment) => segment === '' || segment === '.' || segment === '..')) {
    return 'must not contain empty, current, or parent path segments'
  }
  if (segments.some((segment) => Buffer.byteLength(segment) > MAX_SEGMENT_BYTES)) {
    return `must not have a segment of more than ${MAX_SEGMENT_BYTES} bytes`
  }
  if (segments.length > MAX_PATH_DEPTH) return `exceeds maximum nesting depth of ${MAX_PATH_DEPTH}`
  return null
}

/** NAME_MAX of every Linux file system */
const MAX_SEGMENT_BYTES = 255

/**
 * Control characters would break headers and logs, bidirectional overrides make `cod.exe` out of `exe.doc` (CVE-2021-42574), a backslash
 * means a directory elsewhere, half a surrogate pair is no text
 */
const hasInvalidCharacter = (path: string): boolean => /[\p{Cc}\p{Cs}\u202a-\u202e\u2066-\u2069\\]/u.test(path)

/** The pair of paths of which one is the other, or a directory of it; `null` where all fit side by side */
export const pathConflict = (paths: readonly string[]): readonly [string, string] | null => {
  const taken = new Set<string>()
  for (const path of paths) {
    if (taken.has(path)) return [path, path]
    taken.add(path)
  }
  for (const path of taken) {
    for (let slash = path.indexOf('/'); slash !== -1; slash = path.indexOf('/', slash + 1)) {
      const directory = path.slice(0, slash)
      if (taken.has(directory)) return [directory, path]
    }
  }
  return null
}
