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
  let dead: Error | null = null
  const die = (why: string) => {
    dead ??= new Error(`Cannot unmount: its thread ${why}`)
    for (const asked of waiting.values()) asked.reject(dead)
    waiting.clear()
  }
  thread.onerror = ({ message }) => die(`failed: ${message}`)
  thread.addEventListener('close', () => die('ended'))
  return {
    unmount: (target) => {
      if (dead) return Promise.reject(dead)
      const asked = Promise.withResolvers<void>()
      waiting.set(target, asked)
      thread.postMessage(target)
      return asked.promise
    },
    [Symbol.dispose]: () => thread.terminate(),
  }
}
