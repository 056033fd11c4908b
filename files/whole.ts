import { log } from '../log.ts'
import { blame } from './blame.ts'

/**
 * The same bytes, but a stream that ends before `size`, or says nothing for `silenceMs` while we wait for it, ends with an error:
 * a reader must see a broken transfer, never a short file. A reader that leaves (`signal`) cancels the source.
 */
export const whole = (
  source: ReadableStream<Uint8Array>,
  size: number,
  { silenceMs, signal }: { silenceMs: number; signal: AbortSignal },
): ReadableStream<Uint8Array> => {
  const reader = source.getReader()
  let left = size
  return new ReadableStream<Uint8Array>({
    async pull(controller) {
      try {
        const { done, value } = await within(silenceMs, reader.read())
        left -= value?.length ?? 0
        if (left < 0 || (done && left > 0)) throw new Error(`The store sent ${size - left} bytes of ${size}`)
        if (done) controller.close()
        else controller.enqueue(value)
      } catch (error) {
        // the answer has begun, so this is the only place where it is told
        if (!signal.aborted) log.error({ error: blame(error) }, 'A download broke off')
        // not awaited: a source that is silent may be so about this too
        reader.cancel(error).catch((failure) => log.debug({ error: blame(failure) }, 'Cannot cancel a download'))
        throw error
      }
    },
    cancel: (reason) => reader.cancel(reason),
  })
}

const within = <T>(ms: number, work: Promise<T>): Promise<T> => {
  const { promise: late, reject } = Promise.withResolvers<never>()
  const timer = setTimeout(() => reject(new Error(`The store said nothing for ${ms} ms`)), ms)
  return Promise.race([work, late]).finally(() => clearTimeout(timer))
}
