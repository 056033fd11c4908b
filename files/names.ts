/** Beyond this S3 refuses the object's metadata (2 KB in all), in bytes of UTF-8 */
const MAX_NAME_BYTES = 1_024

/**
 * Why a file cannot be stored under this name, or null. The name is kept as the client gave it, directories and all, so nothing is
 * repaired here: what would be ambiguous or could leave a directory it is unpacked in is refused.
 */
export const nameProblem = (name: string): string | null => {
  if (Buffer.byteLength(name) > MAX_NAME_BYTES) return `it is longer than ${MAX_NAME_BYTES} bytes`
  if (hasControlCharacter(name)) return 'it has a control character'
  if (name.startsWith('/')) return 'it must be a relative path'
  if (name.split('/').some((segment) => segment === '' || segment === '.' || segment === '..'))
    return 'it has an empty, current or parent path segment'
  return null
}

/** Bidirectional overrides count: they make `cod.exe` out of `exe.doc` (CVE-2021-42574) */
const hasControlCharacter = (name: string) => /[\p{Cc}\u202a-\u202e\u2066-\u2069]/u.test(name)

/** `Content-Disposition` of a download (RFC 6266), always the extended form (RFC 8187), which quotes everything */
export const attachment = (name: string) => `attachment; filename*=UTF-8''${extendedValue(name)}`

/** `encodeURIComponent` leaves some characters that RFC 8187 §3.2.1 does not allow */
const extendedValue = (text: string) =>
  encodeURIComponent(text.toWellFormed()).replace(/['()*]/g, (character) => `%${character.charCodeAt(0).toString(16).toUpperCase()}`)
