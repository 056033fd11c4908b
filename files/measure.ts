import { AppError } from '../errors.ts'

export type Measured = { readonly size: number; readonly sha256: string }

/** Passes a body on while it counts and hashes it; throws as soon as it is longer than allowed, or at its end when it is not what was declared */
export const measure = (body: AsyncIterable<Uint8Array> | null, limits: { declared: number | null; maxBytes: number }) => {
  const hash = new Bun.CryptoHasher('sha256')
  let size = 0
  const bytes = async function* () {
    for await (const chunk of body ?? []) {
      size += chunk.length
      if (size > limits.maxBytes) throw tooLarge(limits.maxBytes)
      hash.update(chunk)
      yield chunk
    }
    if (limits.declared !== null && size !== limits.declared)
      throw new AppError(400, 'incomplete_body', `Cannot store the file: it has ${size} bytes, Content-Length said ${limits.declared}`)
  }
  return { bytes: bytes(), result: (): Measured => ({ size, sha256: hash.digest('hex') }) }
}

export const tooLarge = (maxBytes: number) =>
  new AppError(413, 'file_too_large', `Cannot store the file: it is larger than ${maxBytes} bytes`, { details: { maxBytes } })
