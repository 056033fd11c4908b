import { AppError } from '../errors.ts'
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

/** The same store for the routes: what it fails with becomes a 503, whose text says nothing of hosts and buckets */
export const guarded = (store: Store): Store => {
  const guard =
    <Given extends unknown[], Result>(call: (...given: Given) => Promise<Result>) =>
    (...given: Given) =>
      call(...given).catch((cause) => {
        if (cause instanceof AppError) throw cause
        throw new AppError(503, 'files_unavailable', 'Cannot reach the bytes of files: their store does not answer, try again', { cause })
      })
  return { ...store, put: guard(store.put), get: guard(store.get), remove: guard(store.remove) }
}
