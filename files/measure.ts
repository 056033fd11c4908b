import { AppError } from '../errors.ts'

export type Measured = { readonly size: number; readonly sha256: string }

/**
 * Passes a body on while it counts and hashes it. Throws an {@link AppError} as soon as it is longer than allowed, when its sender leaves,
 * or at its end when it is not what was declared; so what else a store throws is its own failure.
 */
export const measure = (body: AsyncIterable<Uint8Array> | null, limits: { declared: number | null; maxBytes: number }) => {
  const hash = new Bun.CryptoHasher('sha256')
  let size = 0
  const bytes = async function* () {
    for await (const chunk of received(body)) {
      size += chunk.length
      if (size > limits.maxBytes) throw tooLarge(limits.maxBytes)
      hash.update(chunk)
      yield chunk
    }
    if (limits.declared !== null && size !== limits.declared)
      throw incomplete(`it has ${size} bytes, and Content-Length said ${limits.declared}`)
  }
  return { bytes: bytes(), result: (): Measured => ({ size, sha256: hash.digest('hex') }) }
}

const received = async function* (body: AsyncIterable<Uint8Array> | null) {
  try {
    yield* body ?? []
  } catch (cause) {
    throw incomplete('its sender broke off', cause)
  }
}

const incomplete = (why: string, cause?: unknown) => new AppError(400, 'incomplete_body', `Cannot store the file: ${why}`, { cause })

export const tooLarge = (maxBytes: number) =>
  new AppError(413, 'file_too_large', `Cannot store the file: it is larger than ${maxBytes} bytes`, { details: { maxBytes } })
