import type { ByteRange } from './range.ts'

/**
 * Where the bytes are. A key is `<session>/<file><ext>`. What is stored appears as a whole or not at all; each call ends by
 * itself when the store does not answer. A store that fails throws anything; `AppError` only for what the caller should read.
 */
export type Store = {
  /** Stores all of `body`, or nothing when it throws */
  put(key: string, body: AsyncIterable<Uint8Array>, options: { contentType: string }): Promise<void>
  /** The bytes, or null when there are none. A stream that cannot deliver `size` bytes ends with an error, never early */
  get(
    key: string,
    options: { range?: ByteRange | undefined; signal: AbortSignal },
  ): Promise<{ size: number; body: ReadableStream<Uint8Array> } | null>
  /** Nothing happens when there is no such object */
  remove(key: string): Promise<void>
  /** Objects whose key begins with `prefix`; with `''` all */
  list(prefix: string): AsyncIterable<StoredObject>
  /** Ends and frees uploads that were begun before `date` by processes that died */
  removeUnfinished(date: Date): Promise<void>
  /** Resolves when the store really answers */
  check(signal: AbortSignal): Promise<void>
}

export type StoredObject = { readonly key: string; readonly lastModified: Date }
