/** Bytes of a file, both ends included */
export type ByteRange = { readonly start: number; readonly end: number }

/**
 * What a `Range` header asks of `size` bytes (RFC 9110 §14.2): a range, `'unsatisfiable'` (416), or null for the whole file,
 * which also answers what is malformed, in another unit, or several ranges at once.
 */
export const parseRange = (header: string | null, size: number): ByteRange | 'unsatisfiable' | null => {
  const match = /^bytes=\s*(\d*)-(\d*)\s*$/i.exec(header ?? '')
  if (!match) return null
  const [, first = '', last = ''] = match
  if (first === '') {
    if (last === '') return null
    const length = Math.min(Number(last), size)
    return length === 0 ? 'unsatisfiable' : { start: size - length, end: size - 1 }
  }
  const start = Number(first)
  if (last !== '' && Number(last) < start) return null
  if (start >= size) return 'unsatisfiable'
  return { start, end: last === '' ? size - 1 : Math.min(Number(last), size - 1) }
}
