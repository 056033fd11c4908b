type Answer = { readonly target: string; readonly error?: string }

/** Unmounts on a thread of its own, see unmounter.ts */
export type Unmounter = Disposable & { unmount(target: string): Promise<void> }

export const openUnmounter = (): Unmounter => {
  const thread = new Worker(new URL('./unmounter.ts', import.meta.url))
  const waiting = new Map<string, PromiseWithResolvers<void>>()
  thread.onmessage = ({ data: { target, error } }: MessageEvent<Answer>) => {
    const asked = waiting.get(target)
    waiting.delete(target)
    if (error) asked?.reject(new Error(error))
    else asked?.resolve()
  }
  return {
    unmount: (target) => {
      const asked = Promise.withResolvers<void>()
      waiting.set(target, asked)
      thread.postMessage(target)
      return asked.promise
    },
    [Symbol.dispose]: () => thread.terminate(),
  }
}
